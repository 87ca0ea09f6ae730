"""What becomes of messages that have been delivered: they are kept for a while, then removed with their attempts.

The audit log and the timelines of incidents keep what happened. A message stays while anything may still ask for it:
while it is not delivered, while its incident, or one told in the same line, is open (those who were told of its
beginning are told of its end), and while another message of its line to the same receiver waits or is dead (a replay
must know what has arrived since). Dead messages stay until somebody sends them again or discards them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, delete, exists, or_, select

from custodes.db import WriteTx
from custodes.db.tables import delivery_attempt, incident, outbox


def remove_old_messages(tx: WriteTx, before_ns: int, *, limit: int) -> int:
    """Remove at most ``limit`` messages that were delivered before a time, with their attempts; return how many."""
    message, other = outbox.c, outbox.alias("other")
    unfinished = exists().where(
        other.c.incident_id == message.incident_id,
        other.c.project_id == message.project_id,
        other.c.endpoint_id == message.endpoint_id,
        other.c.state != "delivered",
    )
    told = or_(incident.c.id == message.incident_id, incident.c.lead_id == message.incident_id)
    is_open = exists().where(told, incident.c.project_id == message.project_id, incident.c.state != "resolved")
    statement = (
        select(message.id)
        .where(
            message.state == "delivered",
            # By the index; no attempt was due after the one that arrived.
            message.next_attempt_ns < before_ns,
            message.delivered_ns < before_ns,
            or_(message.incident_id.is_(None), and_(~unfinished, ~is_open)),
        )
        .order_by(message.next_attempt_ns)
        .limit(limit)
    )
    ids = list(tx.execute(statement).scalars())
    delete_messages(tx, ids)
    return len(ids)


def delete_messages(tx: WriteTx, ids: Sequence[str]) -> None:
    """Remove messages and their attempts."""
    if ids:
        tx.execute(delete(delivery_attempt).where(delivery_attempt.c.outbox_id.in_(ids)))
        tx.execute(delete(outbox).where(outbox.c.id.in_(ids)))
