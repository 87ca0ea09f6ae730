"""What every step of an action leaves behind: its own event, a line on the incident's timeline, an audit event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custodes.db import WriteTx
from policies.actions.action import Action
from policies.actions.store import ActionEvent, insert_action_event
from policies.actors import Actor, record
from policies.hooks.payload import console_link
from policies.incident_store import IncidentEvent, insert_incident_event

ENGINE = Actor("policy-engine", "system")
WORKER = Actor("action-worker", "system")


def leave_trace(
    tx: WriteTx, action: Action, kind: str, actor: Actor, now_ns: int, body: Mapping[str, Any] | None = None
) -> int:
    """Write down one step in the caller's unit of work; return the intake number of its audit event."""
    said = {"state": action.state, **({"reason": action.reason} if action.reason else {}), **(body or {})}
    insert_action_event(tx, ActionEvent(action.id, now_ns, kind, actor.name, said))
    shown = {
        "action_id": action.id,
        "action": {"kind": action.kind, "target": dict(action.target)},
        "mode": action.mode,
    }
    entry = IncidentEvent(action.incident_id, now_ns, f"action.{kind}"[:32], actor.name, {**shown, **said})
    if action.incident_id:  # Training is asked for by people, without an incident.
        insert_incident_event(tx, entry)
    facts = {
        "policy": action.policy_id,
        "policy_version": action.version,
        "decision": action.decision_id,
        "incident": action.incident_id,
        "target": action.target_key,
        "kind": action.kind,
        "mode": action.mode,
        "from_version": action.from_version,
        "to_version": action.to_version,
        "revision": action.revision,
        **said,
    }
    return record(tx, actor, f"action.{kind}", f"action/{action.id}", facts, action.project_id, now_ns)


def action_url(console_url: str, action_id: str) -> str:
    """Return the link that opens an action in the console."""
    return console_link(console_url, f"/action?id={action_id}")
