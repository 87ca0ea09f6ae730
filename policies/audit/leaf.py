"""Read what a leaf says. Standard library only; writing one is ``policies.audit.event``.

A leaf is the canonical JSON object ``{"v":1, "id", "time", "project", "actor", "role", "action", "object", …}``. The
verifier does not need it to be readable (hashes are over bytes); people do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policies.audit.errors import LeafError
from policies.audit.strict_json import parse_object

LEAF_VERSION = 1
TEXT_FIELDS = ("id", "time", "project", "actor", "role", "action", "object")
RESERVED_KEYS = frozenset({"v", *TEXT_FIELDS})


@dataclass(frozen=True, slots=True)
class Leaf:
    """What one leaf says. ``time`` is RFC 3339 UTC; ``data`` is every member beside the fixed ones."""

    id: str
    time: str
    project: str
    actor: str
    role: str
    action: str
    object: str
    data: Mapping[str, Any]


def body_to_leaf(body: bytes) -> Leaf:
    """Return what a leaf's bytes say; raise ``LeafError`` or ``CanonicalError`` if they are not a leaf we know."""
    value = parse_object(body)
    if value.get("v") != LEAF_VERSION or isinstance(value.get("v"), bool):
        raise LeafError(f"leaf format is not version {LEAF_VERSION}; a newer Custodes can read it")
    for field in TEXT_FIELDS:
        if not isinstance(value.get(field), str):
            raise LeafError(f"leaf has no text field {field!r}")
    fixed = {field: value[field] for field in TEXT_FIELDS}
    return Leaf(**fixed, data={key: member for key, member in value.items() if key not in RESERVED_KEYS})
