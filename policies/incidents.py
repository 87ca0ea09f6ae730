"""The life of an incident, without a database: what may follow what, and what it says in numbers.

::

    new ─────────► acknowledged ──┐
     │  └► escalating ─► ┘        ├─► resolved ─► regressed ─► (as new)
     └─────── muted until … ──────┘

An incident belongs to one policy and group. While it is open, a firing of the same group changes nothing: there is one
incident, however often a policy is evaluated. A group that fires again soon after its incident was resolved makes that
incident ``regressed``, unless somebody has labelled it meanwhile; later, or after a label, a new one opens.

Each function returns the changed incident, one revision on, or raises ``ConflictError`` when its state forbids it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from custodes.kernel.clock import DAY_NS
from custodes.kernel.errors import ConflictError, InvalidInputError
from policies.groups import Group
from policies.rules.compile import CompiledPolicy
from policies.rules.duration import duration_to_text

MAX_TITLE_CHARACTERS = 256
MAX_SUMMARY_CHARACTERS = 2000
LONGEST_MUTE_NS = 30 * DAY_NS
SEVERE = frozenset({"high", "critical"})
"""Severities whose silence needs a second person."""
IncidentState = Literal["new", "acknowledged", "escalating", "muted", "resolved", "regressed"]
Origin = Literal["policy", "exchange", "person"]
Label = Literal["true_alarm", "false_alarm"]
UNATTENDED: frozenset[IncidentState] = frozenset({"new", "regressed"})
"""States in which nobody has taken an incident over yet."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident as it stands. ``summary`` is built from numbers and names only, never from captured text.

    ``episode_ns`` is when it last began to fire; ``notified_ns`` is when receivers were last told that it is open, and
    ``None`` while a silence keeps that back. ``lead_id`` is the incident it was notified together with.
    """

    id: str
    project_id: str
    policy_id: str
    version: str
    group: Group
    severity: str
    state: IncidentState
    title: str
    summary: str
    opened_ns: int
    updated_ns: int
    resolved_ns: int | None = None
    origin: Origin = "policy"
    revision: int = 1
    lead_id: str | None = None
    assignee: str | None = None
    label: Label | None = None
    labelled_by: str | None = None
    episode_ns: int | None = None
    acknowledged_ns: int | None = None
    escalate_ns: int | None = None
    muted_until_ns: int | None = None
    muted_state: IncidentState | None = None
    notified_ns: int | None = None
    notices: int = 0
    was_muted: bool = False
    """Whether it was muted when it was resolved."""

    @property
    def is_open(self) -> bool:
        """Whether it has not been resolved."""
        return self.state != "resolved"


def open_incident(
    policy: CompiledPolicy,
    group: Group,
    values: Mapping[str, Any],
    *,
    project_id: str,
    incident_id: str,
    now_ns: int,
    escalate_after_ns: int | None = None,
    lead_id: str | None = None,
) -> Incident:
    """Return the incident that a firing of ``policy`` for ``group`` opens, led by ``lead_id`` or by itself."""
    return Incident(
        id=incident_id,
        project_id=project_id,
        policy_id=policy.id,
        version=policy.version,
        group=group,
        severity=policy.severity,
        state="new",
        title=f"{policy.id}: {group.render()}"[:MAX_TITLE_CHARACTERS],
        summary=summarise(policy, group, values),
        opened_ns=now_ns,
        updated_ns=now_ns,
        origin="policy" if policy.kind == "Policy" else "exchange",
        lead_id=lead_id or incident_id,
        episode_ns=now_ns,
        escalate_ns=_escalate_ns(policy, now_ns, escalate_after_ns),
    )


def regress_incident(
    incident: Incident,
    policy: CompiledPolicy,
    values: Mapping[str, Any],
    now_ns: int,
    escalate_after_ns: int | None = None,
    lead_id: str | None = None,
) -> Incident:
    """Return a resolved incident whose group fires again. It keeps its id, its opening and its assignee."""
    if incident.is_open:
        raise ConflictError(f"incident {incident.id} is open; it cannot regress")
    return _change(
        incident,
        now_ns,
        state="regressed",
        version=policy.version,
        severity=policy.severity,
        summary=summarise(policy, incident.group, values),
        resolved_ns=None,
        episode_ns=now_ns,
        lead_id=lead_id or incident.id,
        was_muted=False,
        acknowledged_ns=None,
        escalate_ns=_escalate_ns(policy, now_ns, escalate_after_ns),
        notified_ns=None,
    )


def resolve_incident(incident: Incident, reason: str, now_ns: int) -> Incident:
    """Return the resolved incident; raise ``ConflictError`` when it has been resolved before."""
    if not incident.is_open:
        raise ConflictError(f"incident {incident.id} is already resolved; a new firing opens a new incident")
    begun_ns = incident.opened_ns if incident.episode_ns is None else incident.episode_ns
    lasted = duration_to_text(now_ns - begun_ns)
    summary = f"{incident.summary} Resolved after {lasted}: {reason}."[:MAX_SUMMARY_CHARACTERS]
    return _change(
        incident,
        now_ns,
        state="resolved",
        summary=summary,
        resolved_ns=now_ns,
        escalate_ns=None,
        muted_until_ns=None,
        muted_state=None,
        was_muted=incident.state == "muted",
    )


def acknowledge_incident(incident: Incident, actor: str, now_ns: int) -> Incident:
    """Return the incident as taken over by ``actor``, who also becomes its assignee if it has none."""
    _require_open(incident, "acknowledged")
    if incident.state == "acknowledged":
        raise ConflictError(f"incident {incident.id} is acknowledged already")
    return _change(
        incident,
        now_ns,
        state="acknowledged",
        acknowledged_ns=now_ns,
        assignee=incident.assignee or actor,
        escalate_ns=None,
        muted_until_ns=None,
        muted_state=None,
    )


def escalate_incident(incident: Incident, now_ns: int) -> Incident:
    """Return the incident as escalating: nobody took it over in time, or somebody asks for help."""
    _require_open(incident, "escalated")
    if incident.state == "escalating":
        raise ConflictError(f"incident {incident.id} is escalating already")
    return _change(incident, now_ns, state="escalating", escalate_ns=None, muted_until_ns=None, muted_state=None)


def mute_incident(incident: Incident, until_ns: int, now_ns: int) -> Incident:
    """Return the incident as muted: receivers hear nothing of it until then. It is evaluated as before."""
    _require_open(incident, "muted")
    if not now_ns < until_ns <= now_ns + LONGEST_MUTE_NS:
        raise InvalidInputError("a mute ends later than now and within 30 days")
    before = incident.muted_state if incident.state == "muted" else incident.state
    return _change(incident, now_ns, state="muted", muted_until_ns=until_ns, muted_state=before)


def unmute_incident(incident: Incident, now_ns: int) -> Incident:
    """Return the incident in the state it had before it was muted."""
    if incident.state != "muted":
        raise ConflictError(f"incident {incident.id} is not muted")
    return _change(incident, now_ns, state=incident.muted_state or "new", muted_until_ns=None, muted_state=None)


def assign_incident(incident: Incident, assignee: str | None, now_ns: int) -> Incident:
    """Return the incident with another assignee, or with none."""
    return _change(incident, now_ns, assignee=assignee)


def label_incident(incident: Incident, label: Label | None, actor: str, now_ns: int) -> Incident:
    """Return the incident with a person's verdict on it: whether the alarm was right. Back-tests are judged by it."""
    return _change(incident, now_ns, label=label, labelled_by=None if label is None else actor)


def change_severity(incident: Incident, severity: str, now_ns: int) -> Incident:
    """Return the incident with another severity."""
    _require_open(incident, "given another severity")
    return _change(incident, now_ns, severity=severity)


def may_regress(incident: Incident, now_ns: int, window_ns: int) -> bool:
    """Return whether a new firing of its group reopens this incident rather than opening another."""
    if incident.resolved_ns is None or incident.label is not None or incident.origin == "person":
        return False
    return now_ns - incident.resolved_ns <= window_ns


def summarise(policy: CompiledPolicy, group: Group, values: Mapping[str, Any]) -> str:
    """Return one sentence with the numbers that made the policy fire.

    Example: "toxicity-spike fired for deployment=bot-v7: n is 80 and tox_p95 is 0.934, so
    `n >= 50.0 && tox_p95 > 0.80` held for 5m."
    """
    names = sorted(policy.when.names)
    numbers = " and ".join(f"{name} is {number_to_text(values.get(name))}" for name in names) or "no signal is read"
    held = f"held for {duration_to_text(policy.for_ns)}" if policy.for_ns else "held"
    sentence = f"{policy.id} fired for {group.render()}: {numbers}, so `{policy.when.source}` {held}."
    return sentence[:MAX_SUMMARY_CHARACTERS]


def number_to_text(value: float | str | None) -> str:
    """Return a number with three significant decimals, whole numbers in full, ``None`` as "no data"."""
    if value is None or isinstance(value, str):
        return value or "no data"
    return f"{value:.0f}" if value == int(value) else f"{value:.3f}" if abs(value) >= 0.001 else f"{value:.3g}"


def _escalate_ns(policy: CompiledPolicy, now_ns: int, default_ns: int | None) -> int | None:
    """Return when nobody's attention becomes everybody's; by default for severe incidents only."""
    after_ns = policy.escalate_after_ns
    if after_ns is None and policy.severity in SEVERE:
        after_ns = default_ns
    return now_ns + after_ns if after_ns else None


def _require_open(incident: Incident, what: str) -> None:
    if not incident.is_open:
        raise ConflictError(f"incident {incident.id} is resolved and cannot be {what}")


def _change(incident: Incident, now_ns: int, **changes: Any) -> Incident:
    return replace(incident, updated_ns=now_ns, revision=incident.revision + 1, **changes)
