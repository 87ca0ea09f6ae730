"""Who does something, as the audit log will name them, and the record they leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custodes.db import WriteTx
from policies.audit.intake import append_event


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and in which role.

    ``waived`` marks the keyless caller of ``--dev``, for whom the rule that two people must agree does not hold. It is
    on record wherever it made a difference.
    """

    name: str
    role: str
    waived: bool = False


def record(
    tx: WriteTx, actor: Actor, action: str, thing: str, data: Mapping[str, Any], project_id: str, now_ns: int
) -> int:
    """Append an audit event about what ``actor`` does to ``thing``, and return its intake number."""
    return append_event(
        tx,
        action=action,
        actor=actor.name,
        role=actor.role,
        object=thing,
        data=data,
        at_ns=now_ns,
        project=project_id,
    )
