"""Claiming ingest batches by lease: the unit of scoring work.

A batch is ``ready``, then ``leased`` to one worker until a time, then ``done``. A worker that dies
leaves a lease that runs out, and another worker takes the batch over. ``attempts`` is the fencing
token: it rises with every claim, and results are only written under the claim they were made for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import ingest_batch


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """A batch this worker holds; ``attempt`` counts from 1."""

    id: int
    project: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for scoring: how many batches, and since when the oldest does."""

    batches: int
    oldest_ns: int | None


def claim_batches(tx: WriteTx, owner: str, *, now_ns: int, lease_ns: int, limit: int) -> list[ClaimedBatch]:
    """Lease up to ``limit`` batches that are ready or whose lease ran out, oldest first."""
    columns = ingest_batch.c
    expired = and_(columns.state == "leased", columns.lease_until_ns < now_ns)
    rows = tx.execute(
        select(columns.id, columns.project_id, columns.attempts)
        .where(or_(columns.state == "ready", expired))
        .order_by(columns.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if rows:
        tx.execute(
            update(ingest_batch)
            .where(columns.id.in_([row.id for row in rows]))
            .values(state="leased", lease_owner=owner, lease_until_ns=now_ns + lease_ns, attempts=columns.attempts + 1)
        )
    return [ClaimedBatch(row.id, row.project_id, row.attempts + 1) for row in rows]


def renew_batches(tx: WriteTx, owner: str, claimed: Sequence[ClaimedBatch], *, until_ns: int) -> None:
    """Keep those of ``claimed`` that are still ours until ``until_ns``."""
    held = still_held(tx, owner, claimed)
    if held:
        tx.execute(
            update(ingest_batch)
            .where(ingest_batch.c.id.in_([batch.id for batch in held]))
            .values(lease_until_ns=until_ns)
        )


def still_held(tx: WriteTx, owner: str, claimed: Sequence[ClaimedBatch]) -> list[ClaimedBatch]:
    """Return those of ``claimed`` that are still ours, locked until the transaction ends."""
    columns = ingest_batch.c
    rows = tx.execute(
        select(columns.id, columns.attempts)
        .where(columns.id.in_([batch.id for batch in claimed]))
        .where(columns.state == "leased", columns.lease_owner == owner)
        .order_by(columns.id)
        .with_for_update()
    ).all()
    held = {(row.id, row.attempts) for row in rows}
    return [batch for batch in claimed if (batch.id, batch.attempt) in held]


def mark_batches(tx: WriteTx, batches: Sequence[ClaimedBatch], state: str, *, now_ns: int, error: str | None) -> None:
    """Set held batches to ``done``, ``failed`` or (to be tried again) ``ready``."""
    if batches:
        tx.execute(
            update(ingest_batch)
            .where(ingest_batch.c.id.in_([batch.id for batch in batches]))
            .values(
                state=state,
                lease_owner=None,
                lease_until_ns=None,
                done_ns=None if state == "ready" else now_ns,
                error=error,
            )
        )


def read_backlog(tx: ReadTx) -> Backlog:
    """Return how much waits for scoring."""
    row = tx.execute(
        select(func.count().label("batches"), func.min(ingest_batch.c.received_ns).label("oldest_ns")).where(
            ingest_batch.c.state.in_(("ready", "leased"))
        )
    ).one()
    return Backlog(row.batches, row.oldest_ns)
