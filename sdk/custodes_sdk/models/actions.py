"""Actions that policies ask for, the chain one stands in, and the switch that stops them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from custodes_sdk.models.incidents import Decision, Incident
from custodes_sdk.models.policies import Verdict
from custodes_sdk.models.scores import AuditReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionEvent:
    """One step of an action."""

    at: datetime
    kind: str
    actor: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSwitch:
    """Whether actions are stopped in ``scope``: a project, or ``everywhere``."""

    scope: str = ""
    stopped: bool = False
    reason: str = ""
    actor: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSwitches:
    """Every switch that holds for the project; ``stopped`` if any is off."""

    stopped: bool = False
    switches: tuple[ActionSwitch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action as it stands. ``finding`` is what verification saw, ``reason`` why it stands where it stands."""

    id: str
    kind: str = ""
    adapter: str = ""
    target: Mapping[str, Any] = field(default_factory=dict)
    state: str = ""
    mode: str = ""
    reason: str = ""
    policy_id: str = ""
    policy_version: str | None = None
    decision_id: str | None = None
    incident_id: str | None = None
    group: Mapping[str, Any] = field(default_factory=dict)
    author: str | None = None
    approver: str | None = None
    waived: bool = False
    from_version: str | None = None
    to_version: str | None = None
    deployment: str | None = None
    traffic_share: float | None = None
    external_id: str | None = None
    evidence_digest: str | None = None
    finding: Mapping[str, Any] | None = None
    terms: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    planned_at: datetime | None = None
    approved_at: datetime | None = None
    snapshot_at: datetime | None = None
    sent_at: datetime | None = None
    acknowledged_at: datetime | None = None
    verify_from_at: datetime | None = None
    verify_until_at: datetime | None = None
    finished_at: datetime | None = None
    audit: AuditReceipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDetail(Action):
    """One action with what led to it and what came of it."""

    decision: Decision | None = None
    incident: Incident | None = None
    approvals: tuple[Verdict, ...] = ()
    events: tuple[ActionEvent, ...] = ()
    evidence: Mapping[str, Any] | None = None
    audit_seqs: tuple[int, ...] = ()
    switches: tuple[ActionSwitch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whether a deployment may go on: ``ok``, ``fail`` or ``inconclusive``, and why."""

    verdict: str
    deployment: str = ""
    reason: str = ""
    decision: Mapping[str, Any] | None = None
    policies: tuple[Mapping[str, Any], ...] = ()
    incidents: tuple[str, ...] = ()
    at: datetime | None = None
