"""The life of an incident, without a database: it opens once, resolves once, and says why in numbers.

An incident belongs to one policy version and group. After it has resolved, a new firing of the same
policy and group opens a new incident; a resolved one never reopens, so its record stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from custodes.kernel.errors import ConflictError
from policies.groups import Group
from policies.rules.compile import CompiledPolicy
from policies.rules.duration import duration_to_text

MAX_TITLE_CHARACTERS = 256
MAX_SUMMARY_CHARACTERS = 2000
IncidentState = Literal["new", "resolved"]


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident as it stands. ``summary`` is built from numbers and names only, never from captured text."""

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


def open_incident(
    policy: CompiledPolicy,
    group: Group,
    values: Mapping[str, float | None],
    *,
    project_id: str,
    incident_id: str,
    now_ns: int,
) -> Incident:
    """Return the incident that a firing of ``policy`` for ``group`` opens."""
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
    )


def resolve_incident(incident: Incident, reason: str, now_ns: int) -> Incident:
    """Return the resolved incident; raise ``ConflictError`` when it has been resolved before."""
    if incident.state == "resolved":
        raise ConflictError(f"incident {incident.id} is already resolved; a new firing opens a new incident")
    lasted = duration_to_text(now_ns - incident.opened_ns)
    summary = f"{incident.summary} Resolved after {lasted}: {reason}."[:MAX_SUMMARY_CHARACTERS]
    return replace(incident, state="resolved", summary=summary, updated_ns=now_ns, resolved_ns=now_ns)


def summarise(policy: CompiledPolicy, group: Group, values: Mapping[str, float | None]) -> str:
    """Return one sentence with the numbers that made the policy fire.

    Example: "toxicity-spike fired for deployment=bot-v7: n is 80 and tox_p95 is 0.934, so
    `n >= 50.0 && tox_p95 > 0.80` held for 5m."
    """
    names = sorted(policy.when.names)
    numbers = " and ".join(f"{name} is {number_to_text(values.get(name))}" for name in names) or "no signal is read"
    held = f"held for {duration_to_text(policy.for_ns)}" if policy.for_ns else "held"
    sentence = f"{policy.id} fired for {group.render()}: {numbers}, so `{policy.when.source}` {held}."
    return sentence[:MAX_SUMMARY_CHARACTERS]


def number_to_text(value: float | None) -> str:
    """Return a number with three significant decimals, whole numbers in full, ``None`` as "no data"."""
    if value is None:
        return "no data"
    return f"{value:.0f}" if value == int(value) else f"{value:.3f}" if abs(value) >= 0.001 else f"{value:.3g}"
