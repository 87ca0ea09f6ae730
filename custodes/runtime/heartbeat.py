"""Signs of life of workers: how a collector knows that somebody scores, and other workers that a batch is in hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from sqlalchemy import delete, func, select

from custodes.db import ReadTx, WriteTx
from custodes.db.leases import acquire_lease
from custodes.db.tables import lease
from custodes.kernel.clock import DAY_NS, SECOND_NS
from custodes.kernel.errors import CustodesError
from custodes.kernel.logs import fields, get_logger

log = get_logger("heartbeat")

BEAT_NS = 5 * SECOND_NS
TTL_NS = 30 * SECOND_NS
_PREFIX = "worker/"


def beat(tx: WriteTx, owner: str, *, now_ns: int) -> None:
    """Say that ``owner`` lives, for the next half minute; forget workers that died a day ago."""
    acquire_lease(tx, (_PREFIX + owner)[:64], owner, now_ns=now_ns, ttl_ns=TTL_NS)
    tx.execute(delete(lease).where(lease.c.name.startswith(_PREFIX), lease.c.until_ns < now_ns - DAY_NS))


def rest(tx: WriteTx, owner: str) -> None:
    """Say that ``owner`` stopped."""
    tx.execute(delete(lease).where(lease.c.name == (_PREFIX + owner)[:64]))


def live_workers(tx: ReadTx, *, now_ns: int) -> int:
    """Return how many workers gave a sign of life within the last half minute."""
    counted = tx.execute(
        select(func.count()).select_from(lease).where(lease.c.name.startswith(_PREFIX), lease.c.until_ns > now_ns)
    )
    return int(counted.scalar_one())


class Pulse:
    """Calls ``run`` every ``interval_s`` in a thread of its own for as long as the ``with`` block lasts.

    So a lease can be short, and a dead worker's batches are taken over soon, although scoring a claim may
    take longer than the lease. A call that fails is logged and made again at the next interval.
    """

    def __init__(self, run: Callable[[], None], interval_s: float) -> None:
        self._run = run
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="custodes-pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self._run()
            except CustodesError as error:
                log.warning("could not renew a lease", extra=fields(error=str(error)))
