"""What an adapter promises: to plan, to do a thing once however often it is told to, and to say what came of it.

An adapter is told the same order again after a crash, so each looks before it acts: where the other side already
stands where the order wants it, the order is done. Outcomes are values; nothing the other side does raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from policies.errors import EndpointError


@dataclass(frozen=True, slots=True)
class Plan:
    """What an order would change: the version that serves now and those to go to, the best first.

    ``deployments`` maps versions to the deployment under which their traffic arrives. An adapter without versions
    plans nothing and has all of it empty.
    """

    from_version: str | None = None
    candidates: tuple[str, ...] = ()
    deployments: Mapping[str, str] | None = None
    has_versions: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done. ``again`` says that it may have been done before: look first.

    ``action_id`` is the idempotency key towards the other side, the same at every attempt. ``facts`` are the names
    and numbers a receiver is told.
    """

    action_id: str
    project_id: str
    target: Mapping[str, str]
    from_version: str | None
    to_version: str | None
    sent_ns: int
    again: bool
    facts: Mapping[str, object]
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The other side stands where the order wants it; that was read back, not assumed."""

    detail: str
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The other side has taken the order and will be done later."""

    detail: str
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class TryLater:
    """Nothing is known to have happened; a later attempt may succeed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot be done, or must not: trying again cannot help."""

    reason: str


Result = Done | Waiting | TryLater | Refused


class Adapter(Protocol):
    """Acts on one kind of target. Safe to share between threads."""

    def plan(self, target: Mapping[str, str]) -> Plan | TryLater | Refused:
        """Return what an order on this target would change; changes nothing."""
        ...

    def send(self, order: Order) -> Result:
        """Carry the order out, unless that was done already."""
        ...

    def look(self, order: Order) -> Result:
        """Return what became of an order that the other side has taken; changes nothing."""
        ...


def checked_name(value: str | None, what: str, *, extra: str = "-_.", most: int = 200) -> str:
    """Return a name that is safe inside a path or a query; raise ``EndpointError`` otherwise."""
    if not value or len(value) > most:
        raise EndpointError(f"{what} is missing, or longer than {most} characters")
    if value in (".", "..") or not all(c.isascii() and (c.isalnum() or c in extra) for c in value):
        raise EndpointError(f"{what} may hold letters, digits and {extra!r} only, not {value[:64]!r}")
    return value
