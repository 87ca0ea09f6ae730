"""The columns a leaf is found by. They are copies: the sequencer derives them from the leaf's bytes, and so does the
check of the whole log, which refuses a row whose columns say something else.
"""

from __future__ import annotations

from typing import NamedTuple

from custodes.kernel.clock import rfc3339_to_ns
from policies.audit.errors import AuditError
from policies.audit.leaf import body_to_leaf

UNREADABLE_ACTION = "unreadable"
"""Indexed as the action of a leaf whose bytes are not a leaf we know; it is logged all the same."""

_MICROSECOND_NS = 1000


class LeafIndex(NamedTuple):
    """What a row of ``audit_leaf`` can be searched by, under the names of its columns."""

    at_ns: int
    action: str
    actor: str
    object: str
    project_id: str


def index_leaf(body: bytes, at_ns: int) -> LeafIndex:
    """Return the columns of a leaf with these bytes; never raises, whatever they are.

    A leaf says its time to the microsecond, so ``at_ns`` is kept where it agrees that far, and where the bytes give no
    time. Bytes that cannot be read are found under ``UNREADABLE_ACTION``, of nobody and nothing.
    """
    try:
        leaf = body_to_leaf(body)
    except AuditError:
        return LeafIndex(at_ns, UNREADABLE_ACTION, "", "", "")
    return LeafIndex(_settle_time(leaf.time, at_ns), leaf.action, leaf.actor, leaf.object, leaf.project)


def _settle_time(time: str, at_ns: int) -> int:
    try:
        told_ns = rfc3339_to_ns(time)
    except ValueError:
        return at_ns
    agrees = told_ns // _MICROSECOND_NS == at_ns // _MICROSECOND_NS
    return at_ns if agrees or not -(2**63) <= told_ns < 2**63 else told_ns
