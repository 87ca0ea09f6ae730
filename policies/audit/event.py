"""What the business code hands to the audit log, and the leaf bytes it becomes.

A leaf lives for ever: it holds pseudonymous ids, digests, numbers and names of things, never personal data and never
captured prompt or response text. Custodes cannot tell one from the other; whoever builds an event must.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from custodes.kernel.clock import ns_to_rfc3339
from policies.audit.canonical import canonical_bytes
from policies.audit.errors import LeafError
from policies.audit.leaf import LEAF_VERSION, RESERVED_KEYS
from policies.audit.tiles import MAX_ENTRY_BYTES

MAX_CHARACTERS = {"id": 64, "project": 64, "actor": 128, "role": 32, "action": 64, "object": 256}
"""Longest value of each fixed text field, in characters; the columns that index leaves have these widths."""

_MAY_BE_EMPTY = frozenset({"project", "role"})


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened.

    ``actor`` did ``action`` (dotted lower case, e.g. ``policy.activated``) to ``object`` (e.g. ``policy/tox-spike``)
    acting as ``role``; ``project`` is empty for what concerns the whole server. ``data`` becomes further members of
    the leaf and may not use a fixed name. ``id`` is a uuid7; ``at_ns`` unix nanoseconds.
    """

    id: str
    at_ns: int
    actor: str
    role: str
    action: str
    object: str
    project: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def event_to_body(event: AuditEvent) -> bytes:
    """Return the leaf's bytes; raise ``LeafError`` or ``CanonicalError`` if the event cannot become a leaf.

    The same event always gives the same bytes. Values are not quoted in messages.
    """
    texts = {name: getattr(event, name) for name in MAX_CHARACTERS}
    for name, text in texts.items():
        if not isinstance(text, str) or (not text and name not in _MAY_BE_EMPTY):
            raise LeafError(f"audit event needs a non-empty text {name}")
        if len(text) > MAX_CHARACTERS[name] or "\x00" in text:
            raise LeafError(
                f"audit event {name} has {len(text)} characters; at most {MAX_CHARACTERS[name]}, none of them NUL"
            )
    if reserved := RESERVED_KEYS.intersection(event.data):
        raise LeafError(f"audit event data uses reserved names {sorted(reserved)}; rename them")
    try:
        time = ns_to_rfc3339(event.at_ns)
    except (OverflowError, ValueError, OSError) as error:
        raise LeafError(f"audit event time {event.at_ns} ns is outside the calendar") from error
    body = canonical_bytes({"v": LEAF_VERSION, "time": time, **texts, **event.data})
    if len(body) > MAX_ENTRY_BYTES:
        raise LeafError(
            f"audit event is {len(body)} bytes as a leaf, at most {MAX_ENTRY_BYTES} fit; log a digest of the content"
        )
    return body
