"""Silences, without a database: which incidents stay quiet, for which reason, and until when.

A silence keeps notifications back and nothing else: policies are evaluated, incidents open and the audit log fills as
always. It ends by itself. Severe incidents are silenced only once a second person has agreed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from custodes.kernel.clock import DAY_NS
from custodes.kernel.errors import InvalidInputError
from policies.groups import make_group
from policies.incidents import SEVERE, Incident
from policies.rules.finding import nearest_name

LONGEST_NS = 30 * DAY_NS
MATCHER_NAMES = ("policy", "severity", "service", "environment", "deployment", "model")
MAX_VALUE_CHARACTERS = 256
SilenceState = Literal["pending", "active", "ended"]


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence. Every matcher must match; ``*`` in a value stands for any characters."""

    id: str
    project_id: str
    matchers: Mapping[str, str]
    reason: str
    author: str
    created_ns: int
    starts_ns: int
    ends_ns: int
    approver: str | None = None
    waived: bool = False
    ended_ns: int | None = None
    ended_by: str | None = None
    revision: int = 1

    def state(self, now_ns: int) -> SilenceState:
        """Return where it stands: not begun, in force, or over."""
        if now_ns >= (self.ends_ns if self.ended_ns is None else self.ended_ns):
            return "ended"
        return "active" if now_ns >= self.starts_ns else "pending"

    @property
    def covers_severe(self) -> bool:
        """Whether it holds for high and critical incidents too."""
        return self.waived or self.approver is not None

    def needs_approval(self) -> bool:
        """Return whether it could match severe incidents but does not hold for them yet."""
        wanted = self.matchers.get("severity", "*")
        return not self.covers_severe and any(fnmatchcase(severity, wanted) for severity in SEVERE)

    def matches(self, incident: Incident, scope: Mapping[str, str]) -> bool:
        """Return whether an incident stays quiet under it. ``scope`` is that of the incident's policy."""
        if incident.severity in SEVERE and not self.covers_severe:
            return False
        labels = {**dict(make_group(dict(scope)).labels), **dict(incident.group.labels)}
        labels |= {"policy": incident.policy_id, "severity": incident.severity}
        return all(fnmatchcase(labels.get(name, ""), wanted) for name, wanted in _shortened(self.matchers).items())


def find_silence(
    silences: Iterable[Silence], incident: Incident, scope: Mapping[str, str], now_ns: int
) -> Silence | None:
    """Return the silence in force that keeps an incident quiet longest, or ``None``."""
    found = [one for one in silences if one.state(now_ns) == "active" and one.matches(incident, scope)]
    return max(found, key=lambda one: (one.ends_ns, one.id), default=None)


def check_silence(matchers: Mapping[str, str], reason: str, starts_ns: int, ends_ns: int, now_ns: int) -> None:
    """Raise ``InvalidInputError`` unless a silence may be made of these."""
    if not matchers:
        raise InvalidInputError("a silence without matchers would silence everything; name at least one")
    for name, value in matchers.items():
        if name not in MATCHER_NAMES:
            nearest = nearest_name(name, MATCHER_NAMES)
            hint = f" (did you mean {nearest!r}?)" if nearest else ""
            raise InvalidInputError(f"unknown matcher {name!r}; known are {', '.join(MATCHER_NAMES)}{hint}")
        if not 1 <= len(value) <= MAX_VALUE_CHARACTERS or any(character in "[]?" for character in value):
            raise InvalidInputError(f"the value of {name} is 1 to 256 characters, with * for any others")
    if not any(value.strip("*") for value in matchers.values()):
        raise InvalidInputError("these matchers match everything; name a value in at least one")
    if not 10 <= len(reason.strip()) <= 1000:
        raise InvalidInputError("a reason has 10 to 1000 characters; say why nobody needs to hear of this")
    if ends_ns <= max(now_ns, starts_ns):
        raise InvalidInputError("a silence ends later than it starts, and later than now")
    if ends_ns - starts_ns > LONGEST_NS or starts_ns > now_ns + LONGEST_NS:
        raise InvalidInputError("a silence lasts at most 30 days; make another one then if it is still needed")


def _shortened(matchers: Mapping[str, str]) -> dict[str, str]:
    """Return the matchers with long labels in the form that group keys hold."""
    return {name: value if "*" in value else make_group({name: value}).labels[0][1] for name, value in matchers.items()}
