"""What a step leads to: decision, incident, timeline, audit event and outbox rows, in the caller's unit of work.

Nothing here decides anything; ``policies.engine`` has decided. Nothing is sent from here either:
webhooks become outbox rows that are delivered after the commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custodes.db import WriteTx
from custodes.kernel.errors import NotFoundError
from custodes.kernel.ids import new_uuid7
from policies.audit.intake import append_event
from policies.engine.step import Intent, Notify, OpenIncident, ProposeAction, ResolveIncident, StepResult
from policies.hooks.payload import incident_body
from policies.hooks.store import OutboxMessage, find_endpoint, insert_message
from policies.incidents import Incident, open_incident, resolve_incident
from policies.rules.compile import CompiledPolicy
from policies.store import (
    Decision,
    IncidentEvent,
    StoredState,
    find_incident,
    insert_decision,
    insert_incident,
    insert_incident_event,
    update_incident,
)

ENGINE_ACTOR = "policy-engine"

Values = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class StepContext:
    """Where and when a step happened. Without ``policy`` a version is ending, and no incident can open."""

    project_id: str
    policy_id: str
    version: str
    console_url: str
    now_ns: int
    policy: CompiledPolicy | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying one step wrote."""

    stored: StoredState
    decisions: int = 0
    opened: int = 0
    resolved: int = 0
    messages: int = 0


def apply_step(tx: WriteTx, context: StepContext, before: StoredState, values: Values, result: StepResult) -> Applied:
    """Write everything one step of one group leads to, and return the group's new stored state.

    Raises ``NotFoundError`` when the group's open incident has vanished; the unit of work then rolls back.
    """
    if not result.transitions:
        return Applied(StoredState(before.group, result.state, before.incident_id))
    incident = _change_incident(tx, context, before, values, result)
    incident_id = incident.id if incident else before.incident_id
    for transition in result.transitions:
        decision = Decision(
            id=new_uuid7(context.now_ns),
            project_id=context.project_id,
            policy_id=context.policy_id,
            version=context.version,
            group=before.group,
            at_ns=transition.at_ns,
            from_state=transition.from_state,
            to_state=transition.to_state,
            values=values,
            reason=transition.reason,
            intents=tuple(_intent_to_json(intent) for intent in result.intents),
            incident_id=incident_id,
        )
        insert_decision(tx, decision)
        _audit(tx, decision)
        if incident_id is not None:
            _note(tx, context, incident_id, "decision", _decision_note(decision))
    messages = 0
    if incident is not None:
        for intent in result.intents:
            messages += _follow(tx, context, incident, values, intent)
    is_open = result.state.firing_since_ns is not None
    return Applied(
        StoredState(before.group, result.state, incident_id if is_open else None),
        decisions=len(result.transitions),
        opened=sum(isinstance(intent, OpenIncident) for intent in result.intents),
        resolved=sum(isinstance(intent, ResolveIncident) for intent in result.intents),
        messages=messages,
    )


def _change_incident(
    tx: WriteTx, context: StepContext, before: StoredState, values: Values, result: StepResult
) -> Incident | None:
    """Open or resolve the group's incident if the step says so, and return it; ``None`` when it says neither."""
    kinds = {type(intent) for intent in result.intents}
    reason = result.transitions[-1].reason
    if context.policy is not None and OpenIncident in kinds:
        opened = open_incident(
            context.policy,
            before.group,
            values,
            project_id=context.project_id,
            incident_id=new_uuid7(context.now_ns),
            now_ns=context.now_ns,
        )
        insert_incident(tx, opened)
        _note(tx, context, opened.id, "opened", {"severity": opened.severity, "summary": opened.summary})
        return opened
    if ResolveIncident not in kinds:
        return None
    current = find_incident(tx, context.project_id, before.incident_id or "")
    if current is None:
        raise NotFoundError(
            f"policy {context.policy_id!r} is firing for {before.group.render()} but its incident "
            f"{before.incident_id!r} does not exist; the incident table was changed by hand"
        )
    resolved = resolve_incident(current, reason, context.now_ns)
    update_incident(tx, resolved)
    _note(tx, context, resolved.id, "resolved", {"reason": reason})
    return resolved


def _follow(tx: WriteTx, context: StepContext, incident: Incident, values: Values, intent: Intent) -> int:
    """Act on one intent of a step that changed an incident; return how many messages were queued."""
    if isinstance(intent, ProposeAction):
        body = {"action": dict(intent.action.body), "mode": intent.action.mode}
        kind = "action.shadowed" if intent.action.mode == "shadow" else "action.proposed"
        _note(tx, context, incident.id, kind, body)
    if not isinstance(intent, Notify):
        return 0
    receiver = find_endpoint(tx, context.project_id, intent.endpoint)
    if receiver is None or receiver.state != "active":
        reason = "no such endpoint" if receiver is None else f"disabled: {receiver.disabled_reason}"
        _note(tx, context, incident.id, "notification.skipped", {"endpoint": intent.endpoint, "reason": reason})
        return 0
    message = OutboxMessage(
        id=f"msg_{new_uuid7(context.now_ns)}",
        project_id=context.project_id,
        endpoint_id=intent.endpoint,
        event_type=intent.event,
        incident_id=incident.id,
        body=incident_body(intent.event, incident, values, console_url=context.console_url, at_ns=context.now_ns),
        state="pending",
        attempts=0,
        created_ns=context.now_ns,
        next_attempt_ns=context.now_ns,
    )
    insert_message(tx, message)
    note = {"endpoint": intent.endpoint, "event": intent.event, "message_id": message.id}
    _note(tx, context, incident.id, "notification.queued", note)
    return 1


def _note(tx: WriteTx, context: StepContext, incident_id: str, kind: str, body: Mapping[str, Any]) -> None:
    insert_incident_event(tx, IncidentEvent(incident_id, context.now_ns, kind, ENGINE_ACTOR, body))


def _audit(tx: WriteTx, decision: Decision) -> None:
    append_event(
        tx,
        action="policy.decided",
        actor=ENGINE_ACTOR,
        role="system",
        object=f"decision/{decision.id}",
        data={
            "policy": decision.policy_id,
            "policy_version": decision.version,
            "group": dict(decision.group.labels),
            "from": decision.from_state,
            "to": decision.to_state,
            "reason": decision.reason,
            "values": dict(decision.values),
            "intents": list(decision.intents),
            "incident": decision.incident_id,
        },
        at_ns=decision.at_ns,
        project=decision.project_id,
    )


def _decision_note(decision: Decision) -> dict[str, Any]:
    return {
        "decision_id": decision.id,
        "from": decision.from_state,
        "to": decision.to_state,
        "reason": decision.reason,
        "values": dict(decision.values),
    }


def _intent_to_json(intent: Intent) -> dict[str, Any]:
    if isinstance(intent, Notify):
        return {"kind": intent.kind, "endpoint": intent.endpoint, "event": intent.event}
    if isinstance(intent, ProposeAction):
        return {"kind": intent.kind, "mode": intent.action.mode, "action": dict(intent.action.body)}
    return {"kind": intent.kind}
