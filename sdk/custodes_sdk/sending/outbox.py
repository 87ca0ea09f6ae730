"""A bounded queue with one daemon thread behind it: the only way anything leaves the host process.

:meth:`Outbox.put` never waits and never raises. When the queue is full, or the server stays away, units are lost,
and every lost unit is counted with a reason.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from custodes_sdk.sending.outcome import Delivered, Outcome, Refused, TooLarge, TryLater
from custodes_sdk.sending.quiet import QuietLog

UnitT = TypeVar("UnitT")

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait, and how much goes at once.

    ``delay_s`` is how long the first unit of a batch waits for others.
    """

    units: int = 20_000
    size_bytes: int = 64 * 1024 * 1024
    batch: int = 512
    batch_bytes: int = 4 * 1024 * 1024
    delay_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of every unit since the process started: ``taken = queued + sent + sum(lost.values())``.

    Reasons of loss: ``queue_full``, ``refused`` (the server did not want it), ``unreachable`` (it was still waiting
    when the process ended), ``failed`` (it could not be encoded or sent) and ``closed`` (it came after the end).
    """

    taken: int = 0
    queued: int = 0
    sent: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)


class Outbox(Generic[UnitT]):
    """Hands units in batches to ``deliver``, which runs on the thread of the outbox and may block there.

    The thread starts with the first unit, so that servers may fork after set-up; a child begins with an empty queue,
    because what waited belongs to the parent. ``at_end`` runs on the thread when it ends. ``put`` may be called from
    anywhere, also from destructors while another ``put`` of the same thread is under way: the lock is reentrant and
    :class:`queue.SimpleQueue` too.
    """

    def __init__(
        self,
        deliver: Callable[[Sequence[UnitT]], Outcome],
        *,
        name: str,
        bounds: Bounds | None = None,
        log: QuietLog | None = None,
        clock: Callable[[], float] = time.monotonic,
        after_fork: Callable[[], None] | None = None,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self._deliver = deliver
        self._name = name
        self._bounds = bounds or Bounds()
        self._log = log or QuietLog()
        self._clock = clock
        self._after_fork = after_fork
        self._at_end = at_end
        self._start_empty()
        if hasattr(os, "register_at_fork"):
            itself = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _call(itself))

    def _start_empty(self) -> None:
        self._lock = threading.RLock()
        self._done = threading.Condition(threading.Lock())
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._queue: deque[tuple[UnitT, int]] = deque()
        self._queued_bytes = 0
        self._thread: threading.Thread | None = None
        self._closing_at: float | None = None
        self._hurry = False
        self._in_hand = 0
        self._abandoned = False
        self._taken = self._sent = 0
        self._lost: Counter[str] = Counter()

    def put(self, unit: UnitT, size_bytes: int = 0) -> bool:
        """Take a unit; false when it is lost because the queue is full or closed. Never waits, never raises."""
        with self._lock:
            self._taken += 1
            reason = self._refusal(size_bytes)
            if reason is not None:
                self._lost[reason] += 1
            else:
                self._queue.append((unit, size_bytes))
                self._queued_bytes += size_bytes
            waiting = len(self._queue)
            idle = self._thread is None
        if reason == "queue_full":
            self._log.caution("the queue of %s for Custodes is full: %d lost so far", self._name, self._lost[reason])
        if reason is not None:
            return False
        if idle:
            self._start_thread()
        if waiting in (1, self._bounds.batch):
            self._bell.put(None)
        return True

    def counts(self) -> Counts:
        """Return what became of every unit so far."""
        with self._lock:
            lost = dict(self._lost)
            queued = self._taken - self._sent - sum(lost.values())
            return Counts(self._taken, queued, self._sent, lost)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything taken so far is sent or lost; false when that took longer than ``timeout_s``."""
        with self._lock:
            wanted = self._taken
        self._hurry = True
        self._bell.put(None)
        return self._wait_for(lambda: self._settled() >= wanted, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Send what waits, for at most ``timeout_s``; the rest is lost. Returns whether nothing was. Idempotent."""
        with self._lock:
            if self._closing_at is None:
                self._closing_at = self._clock() + timeout_s
            thread = self._thread
        self._bell.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
        self._give_up()
        return not self._lost["unreachable"]

    def _begin_again_in_child(self) -> None:
        self._start_empty()
        if self._after_fork is not None:
            self._after_fork()

    def _refusal(self, size_bytes: int) -> str | None:
        if self._closing_at is not None:
            return "closed"
        full = len(self._queue) >= self._bounds.units or self._queued_bytes + size_bytes > self._bounds.size_bytes
        return "queue_full" if full else None

    def _start_thread(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name=f"custodes-{self._name}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # No threads left, or the interpreter is on its way out.
                self._log.caution("cannot start the thread that sends %s to Custodes: %s", self._name, error)
                return
            self._thread = thread

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            if self._at_end is not None:
                self._at_end()

    def _serve(self) -> None:
        _silence_instrumentations()
        while True:
            if not self._queue:
                if self._closing_at is not None:
                    return
                self._bell.get()
                continue
            self._gather()
            batch = self._take()
            try:
                self._send(batch)
            finally:
                with self._lock:
                    self._in_hand = 0
                with self._done:
                    self._done.notify_all()
            if self._expired():
                return

    def _gather(self) -> None:
        """Wait until the batch is full, its first unit has waited long enough, or somebody is in a hurry."""
        until = self._clock() + self._bounds.delay_s
        while len(self._queue) < self._bounds.batch and self._closing_at is None and not self._hurry:
            left = until - self._clock()
            if left <= 0 or not self._listen(left):
                return

    def _listen(self, timeout_s: float) -> bool:
        try:
            self._bell.get(timeout=timeout_s)
        except Empty:
            return False
        return True

    def _take(self) -> list[UnitT]:
        batch: list[UnitT] = []
        size = 0
        with self._lock:
            while self._queue and len(batch) < self._bounds.batch:
                if batch and size + self._queue[0][1] > self._bounds.batch_bytes:
                    break
                unit, unit_bytes = self._queue.popleft()
                size += unit_bytes
                batch.append(unit)
            self._queued_bytes -= size
            self._in_hand = len(batch)
            if not self._queue:
                self._hurry = False
        return batch

    def _send(self, batch: Sequence[UnitT]) -> None:
        """Settle every unit of a batch: sent, or lost with a reason."""
        attempt = 0
        while True:
            attempt += 1
            outcome = self._attempt(batch)
            if isinstance(outcome, Delivered):
                refused = min(outcome.refused, len(batch))
                self._settle(sent=len(batch) - refused, lost=refused, reason="refused")
                if refused:
                    self._log.caution("Custodes refused %d of %d %s; see its ledger", refused, len(batch), self._name)
                return
            if isinstance(outcome, TooLarge) and len(batch) > 1:
                middle = len(batch) // 2
                self._send(batch[:middle])
                self._send(batch[middle:])
                return
            if not isinstance(outcome, TryLater):
                why = "one alone is larger than the server takes" if isinstance(outcome, TooLarge) else outcome.why
                reason = "failed" if why.startswith("failed") else "refused"
                self._settle(lost=len(batch), reason=reason)
                self._log.caution("%d %s for Custodes are lost: %s", len(batch), self._name, why)
                return
            self._log.caution("cannot send %s to Custodes: %s; %d wait", self._name, outcome.why, len(self._queue))
            if not self._wait_before(attempt, outcome.wait_s):
                self._settle(lost=len(batch), reason="unreachable")
                return

    def _attempt(self, batch: Sequence[UnitT]) -> Outcome:
        try:
            return self._deliver(batch)
        except Exception as error:  # Whatever it is, the host goes on and the loss is counted.
            return Refused(f"failed with {type(error).__name__}")

    def _settle(self, *, sent: int = 0, lost: int = 0, reason: str = "") -> None:
        with self._lock:
            if self._abandoned:  # Counted as lost already, by whoever would not wait any longer.
                return
            self._sent += sent
            if lost:
                self._lost[reason] += lost
            self._in_hand = max(0, self._in_hand - sent - lost)

    def _wait_before(self, attempt: int, asked_s: float | None) -> bool:
        """Wait before the next attempt; false when the process ends sooner."""
        wait_s = min(FIRST_WAIT_S * 2 ** min(attempt - 1, 6), LONGEST_WAIT_S) * random.uniform(0.8, 1.2)
        if asked_s is not None:
            wait_s = min(max(asked_s, 0.05), LONGEST_WAIT_S)
        until = self._clock() + wait_s
        while (left := until - self._clock()) > 0:
            if self._closing_at is not None:
                left = min(left, self._closing_at - self._clock())
                if left <= 0:
                    return False
            if self._hurry:
                self._hurry = False
                return True
            self._listen(left)
        return not self._expired()

    def _expired(self) -> bool:
        return self._closing_at is not None and self._clock() >= self._closing_at

    def _give_up(self) -> None:
        with self._lock:
            left = len(self._queue) + self._in_hand
            self._queue.clear()
            self._queued_bytes = 0
            if left:
                self._settle(lost=left, reason="unreachable")
            self._abandoned = True
        with self._done:
            self._done.notify_all()

    def _settled(self) -> int:
        with self._lock:
            return self._sent + sum(self._lost.values())

    def _wait_for(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        until = self._clock() + timeout_s
        with self._done:
            while not holds():
                left = until - self._clock()
                if left <= 0:
                    return False
                # Bounded, because a notification may come between the question and the wait.
                self._done.wait(min(left, 0.2))
        return True


def _call(outbox: weakref.ref[Outbox[UnitT]]) -> None:
    alive = outbox()
    if alive is not None:
        alive._begin_again_in_child()


def _silence_instrumentations() -> None:
    """Keep instrumentations of HTTP clients from recording what this thread sends; it would record itself."""
    try:
        from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY as KEY  # noqa: PLC0415
        from opentelemetry.context import attach, get_current, set_value  # noqa: PLC0415
    except ImportError:
        return
    context = set_value("suppress_instrumentation", True, set_value(KEY, True, get_current()))
    attach(context)
