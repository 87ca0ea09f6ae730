"""What time itself does to open incidents: mutes end, escalations fall due, silences end, reminders come round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custodes.db import WriteTx
from policies.audit.intake import append_event
from policies.conduct import Conduct
from policies.decision_store import list_notified
from policies.incident_store import list_due_incidents, list_silences, list_untold, update_incident
from policies.incidents import Incident, escalate_incident, unmute_incident
from policies.notices import ENGINE_ACTOR, Notice, note, send_notices
from policies.rules.compile import CompiledPolicy
from policies.silences import Silence, find_silence
from policies.store import VersionKey

Policies = Mapping[VersionKey, CompiledPolicy]


def tend_incidents(tx: WriteTx, project_id: str | None, policies: Policies, conduct: Conduct, now_ns: int) -> int:
    """Do what has fallen due by ``now_ns``; return how many messages were queued.

    ``policies`` are the active versions, by key: their scopes are what silences compare, and their ``repeat_every``
    is what brings a message again.
    """
    notices: dict[str, list[Notice]] = {}
    for incident in list_due_incidents(tx, project_id, now_ns):
        changed = incident
        if incident.state == "muted":
            changed = unmute_incident(incident, now_ns)
            update_incident(tx, changed)
            note(tx, incident.id, "unmuted", {"reason": "the mute ended"}, now_ns)
        if changed.escalate_ns is not None and changed.escalate_ns <= now_ns:
            escalated = escalate(tx, changed, ENGINE_ACTOR, "system", "nobody took it over in time", now_ns)
            _add(notices, _notices(tx, escalated, "incident.escalated", policies))
    repeating = {key: policy.repeat_every_ns for key, policy in policies.items() if policy.repeat_every_ns is not None}
    silences: dict[str, list[Silence]] = {}
    for incident in list_untold(tx, project_id, repeating, now_ns):
        project = incident.project_id
        if project not in silences:
            silences[project] = list_silences(tx, project, ending_after_ns=now_ns)
        if find_silence(silences[project], incident, _scope(incident, policies), now_ns) is not None:
            continue  # Its timeline says so already; it is told when the silence ends.
        reminder = incident.notices if incident.notified_ns is not None else 0
        _add(notices, _notices(tx, incident, "incident.opened", policies, reminder))
    return sum(send_notices(tx, given, console_url=conduct.console_url, now_ns=now_ns) for given in notices.values())


def escalate(tx: WriteTx, incident: Incident, actor: str, role: str, reason: str, now_ns: int) -> Incident:
    """Store an incident as escalating, with timeline and audit event, and return it. Who is told is the caller's."""
    changed = escalate_incident(incident, now_ns)
    update_incident(tx, changed)
    note(tx, incident.id, "escalated", {"reason": reason, "by": actor}, now_ns)
    append_event(
        tx,
        action="incident.escalated",
        actor=actor,
        role=role,
        object=f"incident/{incident.id}",
        data={"reason": reason, "was": incident.state},
        at_ns=now_ns,
        project=incident.project_id,
    )
    return changed


def _notices(tx: WriteTx, incident: Incident, event: Any, policies: Policies, reminder: int = 0) -> list[Notice]:
    endpoints = list_notified(tx, incident.project_id, incident.id)
    return [Notice(one, event, incident, {}, _scope(incident, policies), reminder=reminder) for one in endpoints]


def _scope(incident: Incident, policies: Policies) -> dict[str, str]:
    policy = policies.get((incident.project_id, incident.policy_id, incident.version))
    return {} if policy is None else dict(policy.scope)


def _add(notices: dict[str, list[Notice]], more: list[Notice]) -> None:
    for one in more:
        notices.setdefault(one.incident.project_id, []).append(one)
