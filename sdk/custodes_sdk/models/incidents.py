"""Incidents, the decisions behind them, and the webhooks they caused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from custodes_sdk.models.traces import TraceRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident in a list. ``resolved_at`` is None while it is open."""

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
class IncidentDetail(Incident):
    """One incident with its whole story; ``traces`` are at most 20, the worst in its window and group."""

    timeline: tuple[TimelineEntry, ...] = ()
    decisions: tuple[Decision, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    audit_seqs: tuple[int, ...] = ()
    policy: PolicySource | None = None
    traces: tuple[TraceRow, ...] = ()
