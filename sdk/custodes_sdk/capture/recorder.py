"""Where captured calls go: one outbox that reads, encodes and sends them in the background."""

from __future__ import annotations

from collections.abc import Sequence

from custodes_sdk.capture.otlp import CONTENT_TYPE, PATH, Origin, encode_calls
from custodes_sdk.capture.record import CallRecord
from custodes_sdk.sending.http import HttpWay
from custodes_sdk.sending.outbox import Bounds, Counts, Outbox
from custodes_sdk.sending.outcome import Outcome
from custodes_sdk.sending.quiet import QuietLog

BOUNDS = Bounds(units=10_000, size_bytes=128 * 1024 * 1024, batch=64, batch_bytes=8 * 1024 * 1024, delay_s=0.5)


class Recorder:
    """Takes finished calls without ever waiting. ``oversized`` counts those whose text was over the limit."""

    def __init__(
        self, endpoint: str, key: str | None, origin: Origin, *, bounds: Bounds = BOUNDS, log: QuietLog | None = None
    ) -> None:
        self._way = HttpWay(endpoint, key)
        self._origin = origin
        self.oversized = 0
        self._outbox: Outbox[CallRecord] = Outbox(
            self._deliver,
            name="captured calls",
            bounds=bounds,
            log=log,
            after_fork=self._way.forget,
            at_end=self._way.close,
        )

    def take(self, record: CallRecord) -> None:
        """Queue a finished call."""
        if record.request.overflowed or record.response.overflowed:
            self.oversized += 1
        self._outbox.put(record, record.size_bytes)

    def counts(self) -> Counts:
        """Return what became of every call."""
        return self._outbox.counts()

    def flush(self, timeout_s: float) -> bool:
        """Wait until every call taken so far is settled; false when that took longer than ``timeout_s``."""
        return self._outbox.flush(timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Send what waits, for at most ``timeout_s``; returns whether nothing was lost for lack of time."""
        return self._outbox.close(timeout_s)

    def _deliver(self, records: Sequence[CallRecord]) -> Outcome:
        return self._way.post(PATH, encode_calls(records, self._origin), CONTENT_TYPE)
