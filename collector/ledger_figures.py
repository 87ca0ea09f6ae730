"""The loss ledger at ``/metrics``: the same sums as the database, with a bounded number of time series.

Clients choose their service names, so only the first :data:`MAX_SERVICES` become labels; the rest are summed as
``other``. A name that once was a label stays one, so that no counter ever falls.
"""

from __future__ import annotations

import threading
from collections import Counter

from prometheus_client import Counter as PrometheusCounter

from collector.rest.queries.ledger import LedgerKey, ServiceKey, find_services, sum_ledger
from custodes.db import Database
from custodes.kernel.clock import DAY_NS, MINUTE_NS, SECOND_NS, Clock
from custodes.kernel.errors import DatabaseError
from custodes.kernel.logs import get_logger
from custodes.kernel.metrics import Metrics

MAX_SERVICES = 100
"""Most services, of all projects together, that get time series of their own."""

OTHER = "other"
"""The label under which all further services are summed."""

REFRESH_NS = 5 * SECOND_NS
"""Reading more often than this gives the figures of before."""

_SETTLED_MINUTES = DAY_NS // MINUTE_NS
_SPAN_KINDS = ("received", "stored", "duplicates", "rejected")
_EXCHANGE_STATES = {"exchanges": "seen", "assessed": "assessed", "not_assessed": "not_assessed"}
_log = get_logger("ledger")


class LedgerFigures:
    """Keeps ``custodes_ledger_spans`` and ``custodes_ledger_exchanges`` equal to the ledger. Thread-safe.

    Minutes of the last day are summed at every refresh; older ones once a day, since only a late score can still
    change them. ``received = stored + duplicates + rejected`` and ``seen = assessed + not_assessed + pending`` hold in
    every answer, because all of it comes from one consistent read.
    """

    def __init__(self, database: Database, metrics: Metrics, clock: Clock) -> None:
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._named: set[ServiceKey] = set()
        self._settled: Counter[LedgerKey] = Counter()
        self._settled_until: int | None = None
        self._settled_ns = 0
        self._shown: Counter[LedgerKey] = Counter()
        self._read_ns: int | None = None

    def refresh(self) -> None:
        """Bring the metrics up to date; while the database cannot be read they stay as they are."""
        with self._lock:
            now_ns = self._clock()
            if self._read_ns is not None and self._read_ns <= now_ns < self._read_ns + REFRESH_NS:
                return
            try:
                sums = self._sum(now_ns)
            except DatabaseError:
                _log.warning("the ledger could not be read; its metrics stay as they were")
                return
            self._read_ns = now_ns
            self._show(sums)

    def _sum(self, now_ns: int) -> Counter[LedgerKey]:
        with self._database.read() as tx:
            stale = self._settled_until is None or not 0 <= now_ns - self._settled_ns < DAY_NS
            if len(self._named) < MAX_SERVICES:
                since = None if stale else self._settled_until
                for service in find_services(tx, from_minute=since, limit=MAX_SERVICES):
                    if len(self._named) < MAX_SERVICES:
                        self._named.add(service)
            if stale:
                until = now_ns // MINUTE_NS - _SETTLED_MINUTES
                self._settled = sum_ledger(tx, self._named, OTHER, to_minute=until)
                self._settled_until, self._settled_ns = until, now_ns
            live = sum_ledger(tx, self._named, OTHER, from_minute=self._settled_until)
        # Not with +, which leaves out the zeros: a state that nothing is in any more must show 0.
        sums = self._settled.copy()
        sums.update(live)
        return sums

    def _show(self, sums: Counter[LedgerKey]) -> None:
        exchanges: Counter[LedgerKey] = Counter()
        for (project, service, kind, reason), n in sums.items():
            if kind in _SPAN_KINDS:
                self._raise((project, service, kind, reason), n)
            state = _EXCHANGE_STATES.get(kind)
            if state is not None:
                exchanges[project, service, state, reason] += n
                exchanges[project, service, "pending", ""] += n if state == "seen" else -n
        for labels, n in exchanges.items():
            self._metrics.ledger_exchanges.labels(*labels).set(n)

    def _raise(self, labels: LedgerKey, n: int) -> None:
        """Bring a counter to ``n``; one that would fall stays, since the ledger only ever adds spans."""
        counter: PrometheusCounter = self._metrics.ledger_spans
        if n > self._shown[labels]:
            counter.labels(*labels).inc(n - self._shown[labels])
            self._shown[labels] = n
