"""Leases with fencing tokens: at most one holder at a time, and a late holder can be told apart.

A lease is one row. Whoever takes it over gets a higher token; work done under a lease checks its
token inside its own commit, so a paused former holder can do no harm (Kleppmann, "How to do
distributed locking", 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, update

from custodes.db.database import WriteTx
from custodes.db.tables import lease
from custodes.kernel.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lease: its name, its holder, the fencing token and when it ends."""

    name: str
    owner: str
    token: int
    until_ns: int


def acquire_lease(tx: WriteTx, name: str, owner: str, *, now_ns: int, ttl_ns: int) -> Lease | None:
    """Take or renew the lease; ``None`` while somebody else holds it.

    Renewal keeps the token; taking over an expired lease raises it by one.
    """
    tx.execute(tx.insert(lease).values(name=name, owner="", token=0, until_ns=0).on_conflict_do_nothing())
    row = tx.execute(select(lease).where(lease.c.name == name).with_for_update()).one()
    if row.owner != owner and row.until_ns > now_ns:
        return None
    token = row.token if row.owner == owner and row.until_ns > now_ns else row.token + 1
    until_ns = now_ns + ttl_ns
    tx.execute(update(lease).where(lease.c.name == name).values(owner=owner, token=token, until_ns=until_ns))
    return Lease(name, owner, token, until_ns)


def check_lease(tx: WriteTx, held: Lease) -> None:
    """Raise ``ConflictError`` unless ``held`` is still the newest holder; call it inside the commit it protects."""
    row = tx.execute(select(lease.c.owner, lease.c.token).where(lease.c.name == held.name).with_for_update()).first()
    if row is None or row.owner != held.owner or row.token != held.token:
        raise ConflictError(f"the lease {held.name!r} went to another process; this one stops acting on it")


def renew_lease(tx: WriteTx, held: Lease, *, now_ns: int, ttl_ns: int) -> None:
    """Check as :func:`check_lease` does, and let the lease last from ``now_ns`` on: for work in many commits."""
    check_lease(tx, held)
    here = (lease.c.name == held.name, lease.c.until_ns < now_ns + ttl_ns)
    tx.execute(update(lease).where(*here).values(until_ns=now_ns + ttl_ns))


def release_lease(tx: WriteTx, held: Lease) -> None:
    """Give the lease back early, if it is still ours."""
    tx.execute(
        update(lease)
        .where(lease.c.name == held.name, lease.c.owner == held.owner, lease.c.token == held.token)
        .values(until_ns=0)
    )
