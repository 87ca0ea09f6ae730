"""Incidents, the decisions behind them, and the webhooks they caused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from custodes_sdk.models.traces import TraceRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident in a list. ``resolved_at`` is None while it is open.

    ``state`` is new, acknowledged, escalating, muted, regressed or resolved; ``label`` is true_alarm, false_alarm or
    None. ``lead_id`` is the incident it was notified together with.
    """

    id: str
    opened_at: datetime
    policy_id: str = ""
    policy_version: str | None = None
    group: Mapping[str, Any] = field(default_factory=dict)
    severity: str = ""
    state: str = ""
    title: str = ""
    summary: str = ""
    updated_at: datetime | None = None
    resolved_at: datetime | None = None
    origin: str = "policy"
    revision: int = 0
    lead_id: str | None = None
    assignee: str | None = None
    label: str | None = None
    labelled_by: str | None = None
    episode_at: datetime | None = None
    acknowledged_at: datetime | None = None
    escalates_at: datetime | None = None
    muted_until: datetime | None = None
    notified_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """Something that happened to an incident, in time order."""

    at: datetime
    kind: str
    actor: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A policy group changing state, with the signal values it was decided on."""

    id: str
    at: datetime
    from_state: str
    to_state: str
    mode: str = "live"
    values: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    policy_id: str | None = None
    policy_version: str | None = None
    group: Mapping[str, Any] = field(default_factory=dict)
    incident_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttempt:
    """One try to deliver a webhook; ``status`` is the receiver's HTTP status, None when it did not answer."""

    n: int
    at: datetime
    outcome: str
    status: int | None = None
    duration_ms: float | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One webhook message and all tries to deliver it."""

    id: str
    endpoint: str
    event_type: str
    state: str
    attempts: int = 0
    created_at: datetime | None = None
    delivered_at: datetime | None = None
    last_error: str | None = None
    attempts_log: tuple[DeliveryAttempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySource:
    """The policy text an incident was decided by."""

    id: str
    version: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegulatorClock:
    """A duty to report an incident: since when people know, when it is due, and when it was done."""

    name: str
    aware_at: datetime
    due_at: datetime
    reported_at: datetime | None = None
    started_by: str | None = None
    reported_by: str | None = None
    overdue: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedIncident:
    """Another incident that was notified together with this one."""

    id: str
    title: str = ""
    state: str = ""
    severity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """What keeps receivers quiet for a time. ``covers`` are the severities it holds for now."""

    id: str
    reason: str
    ends_at: datetime
    matchers: Mapping[str, str] = field(default_factory=dict)
    state: str = ""
    covers: tuple[str, ...] = ()
    needs_approval: bool = False
    author: str | None = None
    approver: str | None = None
    created_at: datetime | None = None
    starts_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentDetail(Incident):
    """One incident with its whole story; ``traces`` are at most 20, the worst in its window and group."""

    timeline: tuple[TimelineEntry, ...] = ()
    decisions: tuple[Decision, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    clocks: tuple[RegulatorClock, ...] = ()
    matches: int = 0
    grouped: tuple[GroupedIncident, ...] = ()
    audit_seqs: tuple[int, ...] = ()
    policy: PolicySource | None = None
    traces: tuple[TraceRow, ...] = ()
