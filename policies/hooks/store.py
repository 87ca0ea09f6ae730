"""The SQL of the outbox and of delivery attempts. Functions never commit; rows never leave.

The messages of one incident to one endpoint form a line: only the earliest pending one can be claimed. While nobody
holds a message, ``lease_until_ns`` is the time before which nobody may, for the receiver's sake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import Row, and_, case, exists, func, insert, or_, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import delivery_attempt, endpoint, outbox
from policies.hooks.schedule import Retry

MAX_DETAIL_CHARACTERS = 256
OutboxState = Literal["pending", "delivered", "dead"]

# Looking for pending messages of one incident by what they are not keeps SQLite from walking everything that is
# pending, which takes seconds when a receiver has been down for long.
_FINAL_STATES: tuple[OutboxState, ...] = ("delivered", "dead")


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message on its way. ``id`` is the ``webhook-id``, the same at every attempt.

    ``incident_id`` is the incident whose line it stands in, ``members`` are those it tells about when they are several.
    ``attempts`` are those of its ten that are used up, ``tries`` all there ever were, before a replay too.
    """

    id: str
    project_id: str
    endpoint_id: str
    event_type: str
    incident_id: str | None
    body: bytes
    state: OutboxState
    attempts: int
    created_ns: int
    next_attempt_ns: int
    delivered_ns: int | None = None
    last_error: str | None = None
    members: tuple[str, ...] = ()
    tries: int = 0
    replayed_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One recorded delivery attempt; ``n`` counts from 1, ``detail`` is at most 256 characters."""

    outbox_id: str
    n: int
    at_ns: int
    outcome: str
    status: int | None
    duration_ms: float
    detail: str


# Outbox


def insert_message(tx: WriteTx, message: OutboxMessage) -> None:
    """Store a message in the transaction of the change it tells about, behind the earlier ones of its incident.

    ``created_ns`` is moved past theirs where it is not later: it orders the line. Those that wait for a retry are made
    due with this one, which cannot overtake them, but never sooner than their ``Retry.not_before_ns``. Callers take
    turns on one incident.
    """
    created_ns = message.created_ns
    if message.incident_id is not None:
        last_ns = tx.execute(select(func.max(outbox.c.created_ns)).where(_is_in_line_of(message))).scalar_one()
        created_ns = created_ns if last_ns is None else max(created_ns, last_ns + 1)
        _hasten_line(tx, message)
    tx.execute(
        insert(outbox).values(
            id=message.id,
            project_id=message.project_id,
            endpoint_id=message.endpoint_id,
            event_type=message.event_type,
            incident_id=message.incident_id,
            members=orjson.dumps(list(message.members)) if message.members else None,
            body=message.body,
            state=message.state,
            attempts=message.attempts,
            created_ns=created_ns,
            next_attempt_ns=message.next_attempt_ns,
        )
    )


def _hasten_line(tx: WriteTx, message: OutboxMessage) -> None:
    """Make the pending messages ahead of a new one due when it is."""
    columns = outbox.c
    wanted_ns = message.next_attempt_ns
    # A message in flight is changed too: by that, ``record_attempt`` sees that another came to wait for it.
    is_held = columns.lease_owner.is_not(None)
    is_paused = and_(columns.lease_owner.is_(None), columns.lease_until_ns > wanted_ns)
    tx.execute(
        update(outbox)
        .where(
            _is_in_line_of(message),
            columns.state.not_in(_FINAL_STATES),
            or_(is_held, columns.next_attempt_ns > wanted_ns),
        )
        .values(next_attempt_ns=case((is_paused, columns.lease_until_ns), else_=wanted_ns))
    )


def _is_in_line_of(message: OutboxMessage) -> Any:
    columns = outbox.c
    return and_(
        columns.incident_id == message.incident_id,
        columns.project_id == message.project_id,
        columns.endpoint_id == message.endpoint_id,
    )


def claim_due(tx: WriteTx, owner: str, *, now_ns: int, lease_ns: int, limit: int) -> list[OutboxMessage]:
    """Lease up to ``limit`` due messages to ``owner``, most overdue first.

    Rows another process is claiming at the same moment are skipped; a lease that has run out can be
    taken over. Messages to disabled or missing endpoints are not claimed, nor those whose endpoint's breaker is open,
    nor is one while an earlier one of the same incident to the same endpoint is pending, in flight or not.
    """
    columns = outbox.c
    is_reachable = exists().where(
        endpoint.c.project_id == columns.project_id,
        endpoint.c.id == columns.endpoint_id,
        endpoint.c.state == "active",
        or_(endpoint.c.open_until_ns.is_(None), endpoint.c.open_until_ns <= now_ns),
    )
    earlier = outbox.alias("earlier")
    # Safe among concurrent claims: what is pending here may be done by now, but never the other way round.
    has_earlier = exists().where(
        earlier.c.incident_id == columns.incident_id,
        earlier.c.project_id == columns.project_id,
        earlier.c.endpoint_id == columns.endpoint_id,
        earlier.c.state.not_in(_FINAL_STATES),
        earlier.c.created_ns < columns.created_ns,
    )
    # A CTE, because PostgreSQL may run a plain subquery with LIMIT and SKIP LOCKED more than once.
    due = (
        select(columns.id)
        .where(
            columns.state == "pending",
            columns.next_attempt_ns <= now_ns,
            or_(columns.lease_until_ns.is_(None), columns.lease_until_ns <= now_ns),
            is_reachable,
            ~has_earlier,
        )
        .order_by(columns.next_attempt_ns, columns.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    statement = (
        update(outbox)
        .where(columns.id.in_(select(due.c.id)))
        .values(lease_owner=owner, lease_until_ns=now_ns + lease_ns)
        .returning(*columns)
    )
    messages = [_row_to_message(row) for row in tx.execute(statement)]
    return sorted(messages, key=lambda message: (message.next_attempt_ns, message.id))


def release_message(tx: WriteTx, message: OutboxMessage, owner: str) -> None:
    """Give back a claimed message that was not tried."""
    tx.execute(update(outbox).where(_is_held(message, owner)).values(lease_owner=None, lease_until_ns=None))


def record_attempt(
    tx: WriteTx, message: OutboxMessage, owner: str, attempt: Attempt, state: OutboxState, retry: Retry | None
) -> bool:
    """Store the outcome of an attempt and return True; False, changing nothing, when the lease went to someone else.

    ``retry`` belongs to the state ``pending``. Its time is cut short if another message came to wait for this one
    during the attempt.
    """
    changed = tx.execute(
        update(outbox)
        .where(_is_held(message, owner))
        .values(
            state=state,
            attempts=message.attempts + 1,
            tries=attempt.n,
            next_attempt_ns=message.next_attempt_ns if retry is None else _retry_ns(message, retry),
            lease_owner=None,
            lease_until_ns=None if retry is None else retry.not_before_ns,
            delivered_ns=attempt.at_ns if state == "delivered" else None,
            last_error=None if state == "delivered" else attempt.detail[:MAX_DETAIL_CHARACTERS],
        )
    )
    if changed.rowcount != 1:
        return False
    tx.execute(
        insert(delivery_attempt).values(
            outbox_id=attempt.outbox_id,
            n=attempt.n,
            at_ns=attempt.at_ns,
            outcome=attempt.outcome,
            status=attempt.status,
            duration_ms=attempt.duration_ms,
            detail=attempt.detail[:MAX_DETAIL_CHARACTERS],
        )
    )
    return True


def list_overdue(tx: ReadTx, before_ns: int, now_ns: int, *, limit: int = 100) -> list[OutboxMessage]:
    """Return pending messages that were queued before a time and that an open breaker keeps back."""
    columns = outbox.c
    is_kept_back = exists().where(
        endpoint.c.project_id == columns.project_id,
        endpoint.c.id == columns.endpoint_id,
        endpoint.c.open_until_ns > now_ns,
    )
    statement = (
        select(outbox)
        .where(
            columns.state == "pending",
            columns.next_attempt_ns <= now_ns,
            or_(columns.lease_until_ns.is_(None), columns.lease_until_ns <= now_ns),
            func.coalesce(columns.replayed_ns, columns.created_ns) < before_ns,
            is_kept_back,
        )
        .order_by(columns.created_ns)
        .limit(limit)
    )
    return [_row_to_message(row) for row in tx.execute(statement)]


def dead_letter(tx: WriteTx, message: OutboxMessage, reason: str, now_ns: int) -> bool:
    """Give up a pending message that nobody holds, and return True; False when it changed meanwhile."""
    columns = outbox.c
    where = and_(
        columns.id == message.id,
        columns.state == "pending",
        columns.tries == message.tries,
        or_(columns.lease_until_ns.is_(None), columns.lease_until_ns <= now_ns),
    )
    values = {"state": "dead", "last_error": reason[:MAX_DETAIL_CHARACTERS], "lease_owner": None}
    return tx.execute(update(outbox).where(where).values(values)).rowcount == 1


def _retry_ns(message: OutboxMessage, retry: Retry) -> Any:
    column = outbox.c.next_attempt_ns
    return case(
        (column == message.next_attempt_ns, retry.at_ns),
        (column > retry.not_before_ns, column),
        else_=retry.not_before_ns,
    )


def has_message(tx: ReadTx, message_id: str) -> bool:
    """Return whether there is a message with this id."""
    return tx.execute(select(outbox.c.id).where(outbox.c.id == message_id)).first() is not None


def list_messages(
    tx: ReadTx, project_id: str, *, incident_id: str | None = None, limit: int = 100
) -> list[OutboxMessage]:
    """Return outbox messages, newest first, of one incident when asked."""
    statement = select(outbox).where(outbox.c.project_id == project_id)
    if incident_id is not None:
        statement = statement.where(outbox.c.incident_id == incident_id)
    statement = statement.order_by(outbox.c.created_ns.desc(), outbox.c.id.desc()).limit(limit)
    return [_row_to_message(row) for row in tx.execute(statement)]


def list_deliveries(
    tx: ReadTx,
    project_id: str,
    endpoint_id: str,
    *,
    state: OutboxState | None = None,
    before: str | None = None,
    limit: int = 100,
) -> list[OutboxMessage]:
    """Return an endpoint's messages, newest first by their ids; ``before`` is that of the last one already seen."""
    columns = outbox.c
    statement = select(outbox).where(columns.project_id == project_id, columns.endpoint_id == endpoint_id)
    if state is not None:
        statement = statement.where(columns.state == state)
    if before is not None:
        statement = statement.where(columns.id < before)
    # By the primary key, whose ids rise with time: an index of its own would tempt SQLite away in ``claim_due``.
    statement = statement.order_by(columns.id.desc()).limit(limit)
    return [_row_to_message(row) for row in tx.execute(statement)]


def count_messages(tx: ReadTx, project_id: str) -> dict[str, dict[str, int]]:
    """Return how many messages of a project wait and how many are dead, by endpoint."""
    columns = outbox.c
    statement = (
        select(columns.endpoint_id, columns.state, func.count().label("n"))
        .where(columns.project_id == project_id, columns.state.in_(("pending", "dead")))
        .group_by(columns.endpoint_id, columns.state)
    )
    found: dict[str, dict[str, int]] = {}
    for row in tx.execute(statement):
        found.setdefault(row.endpoint_id, {})[row.state] = row.n
    return found


def lock_dead_letters(
    tx: WriteTx, project_id: str, endpoint_id: str, ids: Sequence[str] | None, *, limit: int
) -> list[OutboxMessage]:
    """Return, locked, the dead messages of an endpoint, those with these ids or the oldest ones."""
    columns = outbox.c
    statement = select(outbox).where(
        columns.project_id == project_id, columns.endpoint_id == endpoint_id, columns.state == "dead"
    )
    if ids is not None:
        statement = statement.where(columns.id.in_(ids))
    rows = tx.execute(statement.order_by(columns.created_ns, columns.id).limit(limit).with_for_update())
    return [_row_to_message(row) for row in rows]


def has_later_delivered(tx: ReadTx, message: OutboxMessage) -> bool:
    """Return whether a later message of the same incident has reached this endpoint."""
    columns = outbox.c
    statement = select(columns.id).where(
        _is_in_line_of(message), columns.state == "delivered", columns.created_ns > message.created_ns
    )
    return tx.execute(statement.limit(1)).first() is not None


def revive_messages(tx: WriteTx, ids: Sequence[str], now_ns: int) -> None:
    """Give dead messages ten new attempts, the first of them now, under their old ids."""
    values = {"state": "pending", "attempts": 0, "replayed_ns": now_ns, "next_attempt_ns": now_ns}
    where = and_(outbox.c.id.in_(ids), outbox.c.state == "dead")
    tx.execute(update(outbox).where(where).values(**values, lease_owner=None, lease_until_ns=None))


def is_waiting(tx: ReadTx, project_id: str, endpoint_id: str, incident_id: str) -> bool:
    """Return whether a message of this incident's line still waits for this endpoint."""
    columns = outbox.c
    statement = select(columns.id).where(
        columns.incident_id == incident_id,
        columns.project_id == project_id,
        columns.endpoint_id == endpoint_id,
        columns.state.not_in(_FINAL_STATES),
    )
    return tx.execute(statement.limit(1)).first() is not None


def list_told(tx: ReadTx, project_id: str, incident_id: str) -> list[str]:
    """Return the endpoints that messages of an incident's line were queued for, by name."""
    columns = outbox.c
    statement = select(columns.endpoint_id).where(columns.incident_id == incident_id, columns.project_id == project_id)
    return list(tx.execute(statement.distinct().order_by(columns.endpoint_id)).scalars())


def list_attempts(tx: ReadTx, outbox_ids: Sequence[str]) -> list[Attempt]:
    """Return the attempts at these messages, by message and number."""
    columns = delivery_attempt.c
    statement = select(delivery_attempt).where(columns.outbox_id.in_(outbox_ids)).order_by(columns.outbox_id, columns.n)
    return [
        Attempt(row.outbox_id, row.n, row.at_ns, row.outcome, row.status, row.duration_ms, row.detail)
        for row in tx.execute(statement)
    ]


def _is_held(message: OutboxMessage, owner: str) -> Any:
    columns = outbox.c
    return and_(columns.id == message.id, columns.lease_owner == owner, columns.tries == message.tries)


def _row_to_message(row: Row[Any]) -> OutboxMessage:
    return OutboxMessage(
        row.id,
        row.project_id,
        row.endpoint_id,
        row.event_type,
        row.incident_id,
        bytes(row.body),
        row.state,
        row.attempts,
        row.created_ns,
        row.next_attempt_ns,
        row.delivered_ns,
        row.last_error,
        () if row.members is None else tuple(orjson.loads(row.members)),
        row.tries,
        row.replayed_ns,
    )
