"""The audit log: its state, its entries, and proofs about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditStatus:
    """The log at its last signed checkpoint. ``key`` is in signed-note verifier form, ``root`` a hash in hex.

    ``pending`` counts entries that no checkpoint covers yet.
    """

    origin: str
    key: str
    size: int = 0
    root: str | None = None
    checkpoint_at: datetime | None = None
    pending: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One leaf: who did what to which object, and when. ``hash`` is the leaf hash in hex."""

    seq: int
    time: datetime
    action: str
    actor: str | None = None
    role: str | None = None
    object: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionProof:
    """An RFC 6962 proof that leaf ``seq`` is in the tree of ``size`` leaves with this ``root``; hashes in hex.

    ``note`` is the signed checkpoint that vouches for the root.
    """

    seq: int
    leaf_hash: str
    size: int
    root: str
    proof: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerification:
    """The result of a check that recomputed the tree from its leaves. ``verdict`` is ``intact`` when all agrees."""

    verdict: str
    checked_leaves: int = 0
    size: int = 0
    root: str | None = None
    checkpoint_at: datetime | None = None
    message: str = ""
    how_to_verify_offline: tuple[str, ...] = ()
