"""Policies, their versions and reviews, and what a check or a back-test of one found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from custodes_sdk.models.scores import AuditReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyGroup:
    """The state of one group of a policy: ``ok``, ``pending``, ``firing``, ``no_data`` or ``error``."""

    group: Mapping[str, Any] = field(default_factory=dict)
    state: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One version of a policy; ``version`` is the hash that identifies its text.

    ``state`` is draft, shadow, approved, active, retired or rejected. ``expires_at`` is set for one that was activated
    without review and has not been ratified.
    """

    version: str
    state: str = ""
    kind: str = "Policy"
    author: str | None = None
    origin: Mapping[str, str] | None = None
    revision: int = 0
    backtest_id: str | None = None
    created_at: datetime | None = None
    shadow_at: datetime | None = None
    activated_at: datetime | None = None
    retired_at: datetime | None = None
    expires_at: datetime | None = None
    evaluated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(PolicyVersion):
    """One policy in a list, at its active or newest version. ``in_review`` counts its drafts and shadows."""

    id: str
    severity: str | None = None
    owner: str | None = None
    scope: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[PolicyGroup, ...] = ()
    in_review: int = 0
    audit: AuditReceipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPage:
    """One page of policies; ``totals`` counts ``policies``, those ``active``, and versions ``in_review``, in all."""

    rows: tuple[Policy, ...]
    next_cursor: str | None = None
    totals: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDetail(Policy):
    """One policy with its source text and its versions."""

    source: str = ""
    versions: tuple[PolicyVersion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one person said of something another one asked for. ``waived``: the rule of four eyes did not hold."""

    id: str
    kind: str
    subject: str
    requested_by: str
    approver: str
    verdict: str
    at: datetime
    comment: str = ""
    waived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReview(Policy):
    """One version as its reviewers see it: its text, the verdicts so far, and what is still missing."""

    source: str = ""
    approvals: tuple[Verdict, ...] = ()
    approvals_needed: int | None = None
    missing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDraft:
    """A submitted version; ``findings`` are hints that did not stop it."""

    id: str
    version: str
    state: str = ""
    revision: int = 0
    findings: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """A back-test attached to a version. ``report`` is described in the documentation of policies."""

    id: str
    created_at: datetime
    actor: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field that differs between two versions: ``change`` is added, removed or changed."""

    field: str
    change: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDiff:
    """How two versions differ."""

    policy_id: str
    changes: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyHour:
    """What one version's evaluations of one hour came to; ``minutes`` of 60 were evaluated."""

    version: str
    hour: datetime
    minutes: int = 0
    evaluations: int = 0
    no_data: int = 0
    errors: int = 0
    firings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingApproval:
    """Something that waits for a second person. ``mine`` says that the caller cannot decide it."""

    kind: str
    subject: str
    requested_by: str
    since: datetime
    state: str = ""
    policy_id: str | None = None
    version: str | None = None
    expires_at: datetime | None = None
    approvals: tuple[str, ...] = ()
    needed: int | None = None
    mine: bool = False
    matchers: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
