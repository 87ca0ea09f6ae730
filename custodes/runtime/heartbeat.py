"""Signs of life of workers, as leases named ``worker/<owner>``: how a collector knows that somebody scores."""

from __future__ import annotations

from sqlalchemy import delete, func, select

from custodes.db import ReadTx, WriteTx
from custodes.db.leases import acquire_lease
from custodes.db.tables import lease
from custodes.kernel.clock import DAY_NS, SECOND_NS

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
