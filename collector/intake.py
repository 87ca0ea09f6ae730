"""Takes spans in and answers only when they are committed.

The caller's thread decodes, reads, prices and packs a request, a few at a time; what is ready then waits in a bounded
queue, and one thread commits all that waits in one transaction, so a hundred concurrent requests cost one
commit. A future is resolved after that commit and never before. When the shared transaction fails, each
request is tried alone, so one that cannot be stored fails alone.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from collector.arrivals import IncomingRequest, prepare_request
from collector.content import Contents
from collector.dialects.normalise import Normaliser
from collector.dialects.operations import COUNTED
from collector.dialects.reading import first_count
from collector.dialects.span import NormalSpan
from collector.otlp.body import Encoding, parse_content_type, read_body
from collector.otlp.decode import Decoder
from collector.otlp.spans import DecodedRequest, Rejection
from collector.prices import PriceBooks
from collector.store import StoreOutcome, store_requests
from collector.store_exchanges import SegmentIds
from custodes.db.database import Database
from custodes.kernel.clock import SECOND_NS, Clock, system_clock
from custodes.kernel.errors import ConflictError, DatabaseError, OverloadedError
from custodes.kernel.ids import RowIds
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings

_GROUP_SPANS = 8_192
_MAX_SEGMENTS = 50_000
_CACHED_TOKENS = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
# Decoding holds the interpreter's lock nearly all the time. A second thread only takes turns with the first, which
# costs both what their cores had in their caches: a tenth of the throughput, measured in ``bench ingest``.
_DECODERS = 1
_ATTEMPTS = 3
_RETRY_AFTER_S = 1.0
_log = get_logger("intake")


@dataclass(slots=True)
class _Waiting:
    request: IncomingRequest
    future: Future[StoreOutcome] = field(default_factory=Future)


class Intake:
    """The queue in front of the database. Thread-safe; start it once, stop it once."""

    def __init__(
        self,
        database: Database,
        contents: Contents,
        settings: IngestSettings,
        metrics: Metrics,
        clock: Clock = system_clock,
        prices: PriceBooks | None = None,
    ) -> None:
        self._database = database
        self._contents = contents
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._prices = prices
        self._decoder = Decoder(settings)
        self._normaliser = Normaliser(on_failure=self._note_failure)
        self._decoding = threading.BoundedSemaphore(_DECODERS)
        self._row_ids = RowIds()
        self._segments: SegmentIds = {}
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._queued_spans = 0
        self._open = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to accept and commit requests."""
        with self._changed:
            if self._thread is not None:
                return
            self._open = True
            self._thread = threading.Thread(target=self._run, name="custodes-intake", daemon=True)
        self._metrics.ingest_queue_spans.set_function(lambda: self._queued_spans)
        self._metrics.ingest_queue_age_s.set_function(self._oldest_age_s)
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing more, commit what waits, and return when all of it is answered."""
        with self._changed:
            self._open = False
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def ingest_body(
        self, project: str, body: bytes, content_type: str | None, content_encoding: str | None = None
    ) -> Future[StoreOutcome]:
        """Take one request as it came over HTTP; see :meth:`submit` for what the future means.

        Raises ``UnsupportedError``, ``TooLargeError``, ``MalformedError`` or ``OverloadedError`` at once.
        """
        encoding = parse_content_type(content_type)
        return self.ingest_plain(project, read_body(body, content_encoding, self._settings), encoding)

    def ingest_plain(self, project: str, body: bytes, encoding: Encoding) -> Future[StoreOutcome]:
        """Take one request whose body is decompressed; see :meth:`submit` for what the future means.

        Raises ``TooLargeError``, ``MalformedError`` or ``OverloadedError`` at once.
        """
        with self._decoding:
            self._check_room(1)
            return self.submit(project, self._decoder.decode(body, encoding, self._clock()))

    def submit(self, project: str, decoded: DecodedRequest) -> Future[StoreOutcome]:
        """Take one decoded request; the future resolves after its spans are committed.

        It fails with ``DatabaseError`` or ``ConflictError`` when they could not be stored. Raises
        ``OverloadedError`` at once when the queue is full or the intake is stopped.
        """
        return self.submit_spans(project, self._normaliser.normalise_all(decoded.spans), decoded.rejected)

    def submit_spans(
        self, project: str, spans: Sequence[NormalSpan], rejected: Counter[Rejection] | None = None
    ) -> Future[StoreOutcome]:
        """Take spans that are normalised already; otherwise as :meth:`submit`."""
        self._price(project, spans)
        request = prepare_request(project, spans, rejected or Counter(), self._clock(), self._contents)
        waiting = _Waiting(request)
        size = waiting.request.size
        with self._changed:
            self._check_room(size)
            self._queue.append(waiting)
            self._queued_spans += size
            self._changed.notify()
        return waiting.future

    def _note_failure(self, dialect: str, error: Exception) -> None:
        """A mistake of ours, found by somebody's span: nothing of the span itself may be in what is logged."""
        self._metrics.dialect_failures.labels(dialect).inc()
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where is not None else ""
        _log.error("a dialect failed", extra=fields(dialect=dialect, error=type(error).__name__, at=place))

    def _price(self, project: str, spans: Sequence[NormalSpan]) -> None:
        """Fill in the cost of calls that came without one, and say that it is ours."""
        if self._prices is None:
            return
        book = self._prices.current(project)
        for one in spans:
            if one.cost_usd is None and one.model and one.operation in COUNTED:
                cached = first_count(one.attributes, _CACHED_TOKENS) or 0
                cost = book.cost_usd(one.provider, one.model, one.input_tokens, one.output_tokens, cached)
                if cost is not None:
                    one.cost_usd = cost
                    one.attributes["custodes.cost.source"] = "price_table"

    def _check_room(self, size: int) -> None:
        """Raise ``OverloadedError`` unless ``size`` more spans may wait."""
        if not self._open:
            raise self._overloaded("the server is stopping or has not started; send the request again")
        # A request larger than the whole queue is let in when nothing else waits, or it never could be.
        if self._queue and self._queued_spans + size > self._settings.queue_spans:
            raise self._overloaded(
                f"{self._queued_spans} spans wait for commit, the limit is {self._settings.queue_spans}; "
                "send the request again, or raise CUSTODES_INGEST__QUEUE_SPANS"
            )

    def _overloaded(self, message: str) -> OverloadedError:
        self._metrics.ingest_overloads.inc()
        return OverloadedError(message, retry_after_s=_RETRY_AFTER_S)

    def _oldest_age_s(self) -> float:
        with self._changed:
            if not self._queue:
                return 0.0
            return max(0.0, (self._clock() - self._queue[0].request.received_ns) / SECOND_NS)

    def _run(self) -> None:
        while group := self._next_group():
            self._commit(group)

    def _next_group(self) -> list[_Waiting]:
        """Return the requests that wait, at least one; an empty list once the intake is stopped and drained."""
        with self._changed:
            while not self._queue and self._open:
                self._changed.wait()
            group: list[_Waiting] = []
            spans = 0
            while self._queue and (not group or spans + self._queue[0].request.size <= _GROUP_SPANS):
                waiting = self._queue.popleft()
                spans += waiting.request.size
                group.append(waiting)
            self._queued_spans -= spans
            return group

    def _commit(self, group: Sequence[_Waiting]) -> None:
        live = [waiting for waiting in group if waiting.future.set_running_or_notify_cancel()]
        if not live:
            return
        try:
            outcomes = self._store([waiting.request for waiting in live])
        except Exception as error:
            if len(live) > 1:
                for waiting in live:
                    self._commit_alone(waiting)
            else:
                self._fail(live[0], error)
            return
        for waiting, outcome in zip(live, outcomes, strict=True):
            self._succeed(waiting, outcome)

    def _commit_alone(self, waiting: _Waiting) -> None:
        try:
            outcome = self._store([waiting.request])[0]
        except Exception as error:
            self._fail(waiting, error)
        else:
            self._succeed(waiting, outcome)

    def _store(self, requests: Sequence[IncomingRequest]) -> list[StoreOutcome]:
        """Store requests in one transaction, trying again when another process got in the way."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._database.write() as tx:
                    stored = store_requests(tx, requests, self._row_ids, self._contents, self._segments)
            except (ConflictError, DatabaseError):
                if attempt == _ATTEMPTS:
                    raise
            else:
                if len(self._segments) > _MAX_SEGMENTS:
                    self._segments.clear()
                self._segments.update(stored.segments)
                return stored.outcomes
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _fail(self, waiting: _Waiting, error: Exception) -> None:
        request = waiting.request
        _log.error(
            "a request could not be stored",
            extra=fields(project=request.project, spans=request.size, error=type(error).__name__),
        )
        waiting.future.set_exception(error)

    def _succeed(self, waiting: _Waiting, outcome: StoreOutcome) -> None:
        metrics = self._metrics
        metrics.spans_received.inc(waiting.request.size)
        metrics.spans_stored.inc(outcome.stored)
        metrics.spans_duplicate.inc(outcome.duplicates)
        for rejection, n in outcome.rejected.items():
            metrics.spans_rejected.labels(reason=rejection.reason).inc(n)
        waited_ns = self._clock() - waiting.request.received_ns
        metrics.commit_seconds.observe(max(0.0, waited_ns / SECOND_NS))
        waiting.future.set_result(outcome)
