"""What bounds the requests that are taken in at the same time: bytes, parsing, and the share of each key.

Whoever is over a limit gets ``OverloadedError``, which becomes 503 with ``Retry-After`` and, over gRPC, UNAVAILABLE
with ``RetryInfo``. The rate of a key is answered in the same way and not by 429: every exporter sends again after 503,
while OpenTelemetry's exporter for Python, up to 1.38 at least, drops the batch after 429. Everything is thread-safe.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from collector.auth import Principal
from custodes.kernel.errors import OverloadedError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings

_RETRY_AFTER_S = 1.0
# Exporters give a batch up when they are told to wait longer than their timeout of 10 s leaves.
_MOST_RETRY_AFTER_S = 5.0

Monotonic = Callable[[], float]


class InflightBytes:
    """Counts the bytes of bodies from their arrival to the answer and lets in no more than ``limit``.

    A body that alone is larger than the limit is let in when there is no other, or it never could be.
    """

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit = limit
        self._metrics = metrics
        self._lock = threading.Lock()
        self._used = 0
        metrics.ingest_inflight_bytes.set_function(lambda: self._used)

    @contextmanager
    def open(self) -> Iterator[Reservation]:
        """Give a reservation of no bytes; what it has grown to is given back at the end."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            reservation.shrink(reservation.size)

    def _take(self, size: int, held: int) -> None:
        with self._lock:
            others = self._used - held
            if others and self._used + size > self._limit:
                self._metrics.ingest_refusals.labels("inflight_bytes").inc()
                raise OverloadedError(
                    f"bodies of {self._used} bytes wait for commit, the limit is {self._limit}; "
                    "send the request again, or raise CUSTODES_INGEST__MAX_INFLIGHT_BYTES",
                    _RETRY_AFTER_S,
                )
            self._used += size

    def _give_back(self, size: int) -> None:
        with self._lock:
            self._used -= size


class Reservation:
    """The bytes that one request holds."""

    def __init__(self, account: InflightBytes) -> None:
        self._account = account
        self.size = 0

    def grow(self, size: int) -> None:
        """Take ``size`` more bytes; raises ``OverloadedError`` when there is no room for them."""
        self._account._take(size, self.size)
        self.size += size

    def shrink(self, size: int) -> None:
        """Give ``size`` bytes back."""
        self.size -= size
        self._account._give_back(size)


class MemoryGate:
    """Lets as many in at once as their weights allow; the others wait, first come, first served.

    Parsing holds the interpreter, so waiting for it costs no throughput. A weight above ``capacity`` goes in alone.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._used = 0
        self._waiting: deque[tuple[int, Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, weight: int) -> AsyncIterator[None]:
        """Wait until there is room for ``weight``, and keep it until the block ends."""
        ticket: Future[None] = Future()
        with self._lock:
            self._waiting.append((weight, ticket))
            self._let_in()
        try:
            await asyncio.wrap_future(ticket)
        except asyncio.CancelledError:
            # A ticket that cannot be cancelled any more was let in at that very moment.
            if not ticket.cancel():
                self._leave(weight)
            raise
        try:
            yield
        finally:
            self._leave(weight)

    def _leave(self, weight: int) -> None:
        with self._lock:
            self._used -= weight
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            weight, ticket = self._waiting[0]
            if self._used and self._used + weight > self._capacity:
                return
            self._waiting.popleft()
            if ticket.set_running_or_notify_cancel():
                self._used += weight
                ticket.set_result(None)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class KeyLimits:
    """The share of each key: requests at a time and spans a second; a key's own limits come before the settings."""

    def __init__(self, settings: IngestSettings, metrics: Metrics, monotonic: Monotonic = time.monotonic) -> None:
        self._settings = settings
        self._metrics = metrics
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._buckets: dict[str, _Bucket] = {}

    @contextmanager
    def enter(self, caller: Principal) -> Iterator[None]:
        """Count one running request; raises ``OverloadedError`` above the key's concurrency or rate."""
        most = self._settings.max_concurrent if caller.max_concurrent is None else caller.max_concurrent
        with self._lock:
            if self._running[caller.actor] >= most:
                self._metrics.ingest_refusals.labels("key_concurrency").inc()
                raise OverloadedError(
                    f"{most} requests of this key run already, which is its limit; send fewer at a time, or raise "
                    "CUSTODES_INGEST__MAX_CONCURRENT or the key's own limit",
                    _RETRY_AFTER_S,
                )
            self._check_rate(caller)
            self._running[caller.actor] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[caller.actor] -= 1
                if not self._running[caller.actor]:
                    del self._running[caller.actor]

    def charge(self, caller: Principal, spans: int) -> None:
        """Take ``spans`` from what the key may send.

        How many there are is known only when a request has been read, so a key may run into debt with the requests
        it has under way; it then waits until the debt is paid. The rate holds on average.
        """
        rate = self._rate(caller)
        if rate:
            with self._lock:
                self._refill(caller.actor, rate).tokens -= spans

    def _rate(self, caller: Principal) -> float:
        return self._settings.max_spans_per_s if caller.max_spans_per_s is None else caller.max_spans_per_s

    def _check_rate(self, caller: Principal) -> None:
        rate = self._rate(caller)
        if not rate:
            self._buckets.pop(caller.actor, None)
            return
        tokens = self._refill(caller.actor, rate).tokens
        if tokens <= 0:
            self._metrics.ingest_refusals.labels("key_rate").inc()
            raise OverloadedError(
                f"this key has sent more than its {rate:g} spans a second; send the request again, or raise "
                "CUSTODES_INGEST__MAX_SPANS_PER_S or the key's own limit",
                min(_MOST_RETRY_AFTER_S, max(_RETRY_AFTER_S, -tokens / rate)),
            )

    def _refill(self, actor: str, rate: float) -> _Bucket:
        """Return the key's bucket as it stands now; it holds the spans of one second."""
        now = self._monotonic()
        bucket = self._buckets.setdefault(actor, _Bucket(rate, now))
        bucket.tokens = min(rate, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        return bucket


class IngestLimits:
    """Every limit on requests that run at once, shared by all listeners of a process."""

    def __init__(self, settings: IngestSettings, metrics: Metrics, monotonic: Monotonic = time.monotonic) -> None:
        self.keys = KeyLimits(settings, metrics, monotonic)
        self.inflight = InflightBytes(settings.max_inflight_bytes, metrics)
        self.parsing = MemoryGate(settings.max_parsed_bytes)

    @contextmanager
    def admit(self, caller: Principal) -> Iterator[Reservation]:
        """Let a request of ``caller`` in, with a reservation for its bytes; raises ``OverloadedError``."""
        with self.keys.enter(caller), self.inflight.open() as reservation:
            yield reservation
