"""Policies, their versions, and what a check of one found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyGroup:
    """The state of one group of a policy: ``ok``, ``pending``, ``firing``, ``no_data`` or ``error``."""

    group: Mapping[str, Any] = field(default_factory=dict)
    state: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One version of a policy; ``version`` is the hash that identifies its text."""

    version: str
    state: str = ""
    author: str | None = None
    created_at: datetime | None = None
    activated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy in a list, at its newest version."""

    id: str
    version: str
    state: str = ""
    severity: str | None = None
    scope: Mapping[str, Any] = field(default_factory=dict)
    author: str | None = None
    created_at: datetime | None = None
    activated_at: datetime | None = None
    groups: tuple[PolicyGroup, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDetail(Policy):
    """One policy with its source text and its versions."""

    source: str = ""
    versions: tuple[PolicyVersion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDraft:
    """A submitted version; ``findings`` are hints that did not stop it."""

    id: str
    version: str
    state: str = ""
    findings: tuple[Mapping[str, Any], ...] = ()
