"""What the detectors said about an exchange, and on which evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorRef:
    """Which detector made a score; ``digest`` pins its weights."""

    name: str
    version: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSpan:
    """Characters ``start`` to ``end`` (exclusive) of the response, with how strongly they count, in [0, 1]."""

    start: int
    end: int
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One metric of one exchange.

    ``state`` is ``assessed`` or ``not_assessed``. ``value`` is in [0, 1], higher is worse, and None unless
    assessed; ``reason`` says why not.
    """

    state: str
    value: float | None = None
    reason: str | None = None
    labels: Mapping[str, float | None] | None = None
    spans: tuple[EvidenceSpan, ...] | None = None
    detector: DetectorRef | None = None
    scored_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One inference call. ``prompt``, ``response`` and ``contexts`` are None unless ``text_visible``.

    ``state`` is ``assessed``, ``partial``, ``not_assessed`` or ``pending``.
    """

    id: str
    span_id: str
    prompt: str | None = None
    response: str | None = None
    contexts: tuple[Any, ...] | None = None
    text_visible: bool = False
    scores: Mapping[str, Score] = field(default_factory=dict)
    state: str = "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReceipt:
    """The leaf that recorded an action, and the size of the signed checkpoint that covers it."""

    seq: int
    checkpoint_size: int | None = None


@dataclass(frozen=True, slots=True)
class RevealedExchange:
    """An exchange with its text, and the audit leaf that records who asked and why."""

    exchange: Exchange
    audit: AuditReceipt | None
