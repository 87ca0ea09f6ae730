"""What steps lead to: decisions, incidents, timelines, audit events and outbox rows, in the caller's unit of work.

Nothing here decides anything; ``policies.engine`` has decided. Nothing is sent from here either:
webhooks become outbox rows that are delivered after the commit. Of a version in shadow the decisions are recorded
and nothing else happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from custodes.db import WriteTx
from custodes.kernel.errors import NotFoundError
from custodes.kernel.ids import new_uuid7
from policies.actions.proposals import propose, withdraw_proposals
from policies.audit.intake import append_event
from policies.conduct import Conduct
from policies.decision_store import Decision, Mode, insert_decision
from policies.engine.step import Intent, Notify, OpenIncident, ProposeAction, ResolveIncident, StepResult
from policies.incident_store import (
    find_incident,
    find_latest_incident,
    find_lead,
    insert_incident,
    mark_notified,
    update_incident,
)
from policies.incidents import Incident, may_regress, open_incident, regress_incident, resolve_incident
from policies.notices import ENGINE_ACTOR, Notice, note, send_notices
from policies.rules.compile import CompiledPolicy
from policies.store import StoredState, find_policy_version

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepContext:
    """Where and when steps happened. Without ``policy`` a version is ending, and no incident can open."""

    project_id: str
    policy_id: str
    version: str
    conduct: Conduct
    now_ns: int
    policy: CompiledPolicy | None = None
    mode: Mode = "live"


@dataclass(frozen=True, slots=True)
class Step:
    """One group's step: its state before, the values it was taken on, and what came out."""

    before: StoredState
    values: Values
    result: StepResult


@dataclass(slots=True)
class Applied:
    """What applying steps wrote. ``states`` holds the groups' new states, changed or not, in the order given."""

    states: list[StoredState] = field(default_factory=list)
    decisions: int = 0
    opened: int = 0
    resolved: int = 0
    messages: int = 0


def apply_steps(tx: WriteTx, context: StepContext, steps: Sequence[Step]) -> Applied:
    """Write everything the steps of some groups of one version lead to.

    Raises ``NotFoundError`` when a group's open incident has vanished; the unit of work then rolls back.
    """
    applied = Applied()
    notices: list[Notice] = []
    lead: Incident | None = None
    for one in steps:
        if not one.result.transitions:
            applied.states.append(StoredState(one.before.group, one.result.state, one.before.incident_id))
            continue
        incident = None
        if context.mode == "live":
            incident, lead = _change_incident(tx, context, one, lead)
            applied.opened += sum(isinstance(intent, OpenIncident) for intent in one.result.intents)
            applied.resolved += sum(isinstance(intent, ResolveIncident) for intent in one.result.intents)
        incident_id = incident.id if incident else one.before.incident_id
        decided = _record_decisions(tx, context, one, incident_id)
        applied.decisions += len(decided)
        if incident is not None:
            notices += _follow(tx, context, incident, one, decided[-1])
        is_open = one.result.state.firing_since_ns is not None
        applied.states.append(StoredState(one.before.group, one.result.state, incident_id if is_open else None))
    applied.messages = send_notices(tx, notices, console_url=context.conduct.console_url, now_ns=context.now_ns)
    return applied


def _change_incident(
    tx: WriteTx, context: StepContext, one: Step, lead: Incident | None
) -> tuple[Incident | None, Incident | None]:
    """Open, reopen or resolve the group's incident if the step says so.

    Returns it, ``None`` when the step says neither, and the incident that those which begin now belong to.
    """
    kinds = {type(intent) for intent in one.result.intents}
    if context.policy is not None and OpenIncident in kinds:
        incident, lead = _begin(tx, context, context.policy, one, lead)
        return incident, lead
    if ResolveIncident not in kinds:
        return None, lead
    current = find_incident(tx, context.project_id, one.before.incident_id or "", lock=True)
    if current is None:
        raise NotFoundError(
            f"policy {context.policy_id!r} is firing for {one.before.group.render()} but its incident "
            f"{one.before.incident_id!r} does not exist; the incident table was changed by hand"
        )
    reason = one.result.transitions[-1].reason
    resolved = resolve_incident(current, reason, context.now_ns)
    update_incident(tx, resolved)
    note(tx, resolved.id, "resolved", {"reason": reason, "was": current.state}, context.now_ns)
    withdraw_proposals(tx, resolved, reason, context.now_ns)
    return resolved, lead


def _begin(
    tx: WriteTx, context: StepContext, policy: CompiledPolicy, one: Step, lead: Incident | None
) -> tuple[Incident, Incident]:
    conduct, now_ns, group = context.conduct, context.now_ns, one.before.group
    if lead is None:
        since_ns = now_ns - conduct.group_within_ns
        lead = find_lead(tx, context.project_id, context.policy_id, context.version, since_ns)
    former = find_latest_incident(tx, context.project_id, context.policy_id, group)
    if former is not None and may_regress(former, now_ns, conduct.regress_within_ns):
        incident = regress_incident(former, policy, one.values, now_ns, conduct.escalate_after_ns, lead_id=_id(lead))
        update_incident(tx, incident)
        kind = "regressed"
    else:
        incident = open_incident(
            policy,
            group,
            one.values,
            project_id=context.project_id,
            incident_id=new_uuid7(now_ns),
            now_ns=now_ns,
            escalate_after_ns=conduct.escalate_after_ns,
            lead_id=_id(lead),
        )
        insert_incident(tx, incident)
        kind = "opened"
    note(tx, incident.id, kind, {"severity": incident.severity, "summary": incident.summary}, now_ns)
    if all(action.endpoint is None for action in policy.actions):
        mark_notified(tx, [incident.id], now_ns)  # There is nobody to tell, now or later.
    return incident, lead or incident


def _id(lead: Incident | None) -> str | None:
    return None if lead is None else lead.id


def _record_decisions(tx: WriteTx, context: StepContext, one: Step, incident_id: str | None) -> list[str]:
    made = []
    for transition in one.result.transitions:
        decision = Decision(
            id=new_uuid7(context.now_ns),
            project_id=context.project_id,
            policy_id=context.policy_id,
            version=context.version,
            group=one.before.group,
            at_ns=transition.at_ns,
            from_state=transition.from_state,
            to_state=transition.to_state,
            values=one.values,
            reason=transition.reason,
            intents=tuple(intent_to_json(intent) for intent in one.result.intents),
            incident_id=incident_id,
            mode=context.mode,
            state=one.result.state,
        )
        insert_decision(tx, decision)
        made.append(decision.id)
        _audit(tx, decision)
        if incident_id is not None:
            note(tx, incident_id, "decision", _decision_note(decision), context.now_ns)
    return made


def _follow(tx: WriteTx, context: StepContext, incident: Incident, one: Step, decision_id: str) -> list[Notice]:
    """Store the proposals of a step that changed an incident, and return the notices it leads to."""
    scope = {} if context.policy is None else dict(context.policy.scope)
    muted = incident.state == "resolved" and incident.was_muted
    notices = []
    for intent in one.result.intents:
        if isinstance(intent, ProposeAction):
            version = find_policy_version(tx, context.project_id, context.policy_id, context.version)
            author = ENGINE_ACTOR if version is None else version.author
            propose(tx, incident, intent.action, author=author, decision_id=decision_id, now_ns=context.now_ns)
        elif isinstance(intent, Notify):
            notices.append(Notice(intent.endpoint, intent.event, incident, one.values, scope, muted))
    return notices


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
            "mode": decision.mode,
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


def intent_to_json(intent: Intent) -> dict[str, Any]:
    """Return an intent as it is recorded, which is also how a back-test reports what would have been done."""
    if isinstance(intent, Notify):
        return {"kind": intent.kind, "endpoint": intent.endpoint, "event": intent.event}
    if isinstance(intent, ProposeAction):
        return {"kind": intent.kind, "mode": intent.action.mode, "action": dict(intent.action.body)}
    return {"kind": intent.kind}
