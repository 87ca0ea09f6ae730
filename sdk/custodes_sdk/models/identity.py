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
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    secret: str | None = None
