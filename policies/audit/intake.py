"""Writing an audit event in the transaction of the business change it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custodes.db import WriteTx
from custodes.kernel.ids import new_uuid7
from policies.audit.event import AuditEvent
from policies.audit.log import append_intake


def append_event(
    tx: WriteTx,
    *,
    action: str,
    actor: str,
    role: str,
    object: str,
    data: Mapping[str, Any],
    at_ns: int,
    project: str,
) -> int:
    """Store an event with a fresh id; return its intake number, for ``AuditLog.flush_until``.

    It becomes a leaf exactly if the caller's transaction commits. Raises what ``append_intake`` raises.
    """
    event = AuditEvent(new_uuid7(), at_ns, actor, role, action, object, project, data)
    return append_intake(tx, event)
