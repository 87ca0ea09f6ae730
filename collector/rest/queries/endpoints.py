"""Removing a webhook receiver."""

from __future__ import annotations

from sqlalchemy import delete

from custodes.db import WriteTx
from custodes.db.tables import endpoint
from custodes.kernel.errors import NotFoundError
from policies.actors import Actor
from policies.audit.intake import append_event
from policies.hooks.store import disable_endpoint, find_endpoint


def remove_endpoint(tx: WriteTx, project: str, endpoint_id: str, actor: Actor, now_ns: int) -> int:
    """Delete a receiver, give up what still waits for it, and return the audit event's intake number.

    Raises ``NotFoundError`` when there is none.
    """
    if find_endpoint(tx, project, endpoint_id) is None:
        raise NotFoundError(f"no endpoint {endpoint_id[:64]!r} in project {project}")
    disable_endpoint(tx, project, endpoint_id, "the endpoint was removed")
    tx.execute(delete(endpoint).where(endpoint.c.project_id == project, endpoint.c.id == endpoint_id))
    return append_event(
        tx,
        action="endpoint.removed",
        actor=actor.name,
        role=actor.role,
        object=f"endpoint/{endpoint_id}",
        data={},
        at_ns=now_ns,
        project=project,
    )
