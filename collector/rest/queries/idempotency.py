"""The SQL of repeated writes: which keys were used, for what, and what they were answered."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, insert, select, update

from custodes.db import Database
from custodes.db.tables import idempotency
from custodes.kernel.clock import HOUR_NS, MINUTE_NS
from custodes.kernel.errors import ConflictError

KEPT_NS = 24 * HOUR_NS
ABANDONED_NS = 2 * MINUTE_NS
"""A request that has not been answered for this long died with its process; its key may be used again."""


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What identifies a request that may be repeated: whose it is, the key chosen, and a hash of what was asked."""

    project: str
    actor: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What the first request was answered."""

    status: int
    body: bytes
    etag: str | None


def claim_key(db: Database, request: RequestKey, now_ns: int) -> StoredAnswer | None:
    """Return what this request was answered before; ``None`` when it is the first, and claimed now.

    Raises ``ConflictError`` when the key was used for another request, or the first one is still under way.
    """
    columns = idempotency.c
    with db.write() as tx:
        tx.execute(delete(idempotency).where(columns.created_ns < now_ns - KEPT_NS))
        row = tx.execute(select(idempotency).where(_is(request)).with_for_update()).first()
        if row is None:
            tx.execute(
                insert(idempotency).values(
                    project_id=request.project,
                    actor=request.actor,
                    key=request.key,
                    fingerprint=request.fingerprint,
                    created_ns=now_ns,
                )
            )
            return None
        if row.fingerprint != request.fingerprint:
            raise ConflictError("this Idempotency-Key was used for another request; choose a new one")
        if row.status is not None:
            return StoredAnswer(row.status, row.body, row.etag)
        if row.created_ns > now_ns - ABANDONED_NS:
            raise ConflictError("the first request with this Idempotency-Key is still under way")
        tx.execute(update(idempotency).where(_is(request)).values(created_ns=now_ns))
        return None


def keep_answer(db: Database, request: RequestKey, answer: StoredAnswer) -> None:
    """Store what a claimed request was answered."""
    values = {"status": answer.status, "body": answer.body, "etag": answer.etag}
    with db.write() as tx:
        tx.execute(update(idempotency).where(_is(request)).values(**values))


def release_key(db: Database, request: RequestKey) -> None:
    """Give a claimed key back: the request was refused and changed nothing."""
    with db.write() as tx:
        tx.execute(delete(idempotency).where(_is(request), idempotency.c.status.is_(None)))


def _is(request: RequestKey) -> ColumnElement[bool]:
    columns = idempotency.c
    return and_(columns.project_id == request.project, columns.actor == request.actor, columns.key == request.key)
