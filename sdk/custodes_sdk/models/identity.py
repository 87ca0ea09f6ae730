"""Who is asking, and whether the server is well."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """The caller as the server sees it. ``dev`` means a keyless loopback caller who holds every role."""

    actor: str
    project: str
    role: str
    roles: tuple[str, ...] = ()
    dev: bool = False
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """``ready`` is true when traffic is accepted and scored; otherwise ``reasons`` says what is missing."""

    ready: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key. ``secret`` is present only in the answer that created it."""

    id: str
    role: str
    project: str = ""
    note: str = ""
    max_spans_per_s: float | None = None
    max_concurrent: int | None = None
    replaced_by: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedKey(Key):
    """The key that takes over, with its secret; ``old`` shows until when the one it replaces works."""

    old: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project. ``admin_key`` is present only in the answer that created it."""

    id: str
    created_at: datetime | None = None
    admin_key: Key | None = None
