"""Takes OTLP logs and metrics in: bytes to rows, committed before the call returns.

The HTTP routes and the gRPC server call the same two functions. They work in the caller's thread; how many requests may
be in work at once is for :mod:`collector.limits` to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from prometheus_client import Counter as PrometheusCounter

from collector.content import Contents
from collector.dialects.events import read_event
from collector.otlp.body import Encoding
from collector.otlp.logs import decode_logs
from collector.otlp.metrics import decode_metrics
from collector.otlp.spans import Rejection
from collector.otlp.values import service_of
from collector.store_events import pack_events, queue_exchanges, store_events, to_incoming
from collector.store_metrics import store_points
from custodes.db.database import Database, WriteTx
from custodes.kernel.clock import Clock
from custodes.kernel.errors import ConflictError, DatabaseError
from custodes.kernel.ids import RowIds
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings

_ATTEMPTS = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SignalOutcome:
    """What became of one request; ``accepted + duplicates + rejected`` is what it sent.

    ``queued`` exchanges got text from this request after they were stored and are scored again.
    """

    accepted: int
    duplicates: int
    rejected: Counter[Rejection] = field(default_factory=Counter)
    queued: int = 0


class SignalIntake:
    """The door for logs and metrics. Thread-safe; nothing to start or stop."""

    def __init__(
        self, database: Database, contents: Contents, settings: IngestSettings, metrics: Metrics, clock: Clock
    ) -> None:
        self._database = database
        self._contents = contents
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._row_ids = RowIds()

    def ingest_logs(self, project: str, body: bytes, encoding: Encoding) -> SignalOutcome:
        """Store the GenAI events of a decompressed ``ExportLogsServiceRequest`` and return after they are committed.

        Every other log record is rejected as ``not_genai_event``. An event that is stored already is a duplicate.
        Raises ``MalformedError`` and ``TooLargeError`` for the request as a whole, and ``DatabaseError`` or
        ``ConflictError`` when it could not be stored.
        """
        now_ns = self._clock()
        decoded = decode_logs(body, encoding, self._settings, now_ns)
        given = [
            to_incoming(one.trace_id, one.span_id, service_of(one.resource), read_event(one)) for one in decoded.events
        ]
        events = list({one.key: one for one in given}.values())
        stored = queued = 0
        if events:
            packed = pack_events(self._contents, project, events)
            stored = self._write(
                lambda tx: store_events(
                    tx, self._contents, project, events, packed, self._row_ids.take(len(events)), now_ns
                )
            )
            queued = self._write(lambda tx: queue_exchanges(tx, self._contents, project, events, now_ns))
        outcome = SignalOutcome(stored, len(given) - stored, decoded.rejected, queued)
        _count(self._metrics.log_records, outcome)
        return outcome

    def ingest_metrics(self, project: str, body: bytes, encoding: Encoding) -> SignalOutcome:
        """Store the points of a decompressed ``ExportMetricsServiceRequest`` and return after they are committed.

        Metrics that are not about GenAI are rejected as ``not_genai_metric``. Raises as :meth:`ingest_logs` does.
        """
        now_ns = self._clock()
        decoded = decode_metrics(body, encoding, self._settings, now_ns)
        found = self._write(
            lambda tx: store_points(tx, project, decoded.points, self._row_ids, self._settings.max_series)
        )
        outcome = SignalOutcome(found.stored + decoded.gaps, found.duplicates, decoded.rejected + found.rejected)
        _count(self._metrics.metric_points, outcome)
        return outcome

    def _write(self, work: Callable[[WriteTx], T]) -> T:
        """Do ``work`` in one transaction, trying again when another process got in the way."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._database.write() as tx:
                    done = work(tx)
            except (ConflictError, DatabaseError):
                if attempt == _ATTEMPTS:
                    raise
            else:
                return done
        raise AssertionError("unreachable: the last attempt returns or raises")


def _count(counter: PrometheusCounter, outcome: SignalOutcome) -> None:
    counter.labels(outcome="accepted").inc(outcome.accepted)
    counter.labels(outcome="duplicate").inc(outcome.duplicates)
    counter.labels(outcome="rejected").inc(outcome.rejected.total())
