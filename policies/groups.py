"""Policy groups: the part of the traffic that one state machine watches, and its key in the database."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import orjson

from custodes.kernel.errors import MalformedError

MAX_LABEL_CHARACTERS = 96
_HASH_CHARACTERS = 12
_ESCAPED = frozenset('"\\')


@dataclass(frozen=True, slots=True)
class Group:
    """Labels of one group, e.g. ``(("deployment", "bot-v7"),)``; empty for a policy without ``group_by``."""

    labels: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """The group as a JSON object with sorted names, the same text for the same labels."""
        return orjson.dumps(dict(self.labels), option=orjson.OPT_SORT_KEYS).decode()

    def render(self) -> str:
        """Return the labels as people read them: ``deployment=bot-v7``; ``all traffic`` without any."""
        return ", ".join(f"{name}={value or '(none)'}" for name, value in self.labels) or "all traffic"


def make_group(labels: dict[str, str]) -> Group:
    """Return the group of these labels, so that its key always fits its column.

    A label that is longer than 96 characters, or that holds characters JSON would escape, keeps its
    readable start and 12 hex digits of its SHA-256, which keeps two such names apart.
    """
    return Group(tuple((name, _shorten(value)) for name, value in sorted(labels.items())))


def key_to_group(key: str) -> Group:
    """Return the group of a stored key; raise ``MalformedError`` if the key is not one."""
    try:
        labels = orjson.loads(key)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"a stored group key is not JSON: {key[:80]!r}") from error
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise MalformedError(f"a stored group key is not an object of texts: {key[:80]!r}")
    return Group(tuple(sorted(labels.items())))


def _shorten(value: str) -> str:
    printable = "".join(c if c.isprintable() and c not in _ESCAPED else "\ufffd" for c in value)
    if printable == value and len(value) <= MAX_LABEL_CHARACTERS:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARACTERS]
    return f"{printable[: MAX_LABEL_CHARACTERS - _HASH_CHARACTERS - 1]}~{digest}"
