"""The server's own bookkeeping: webhook endpoints, detectors, the loss ledger and text coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A webhook receiver. ``secret`` is present only in the answer that created it."""

    id: str
    url: str
    state: str = ""
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A detector that has scored traffic."""

    name: str
    version: str = ""
    digest: str = ""
    first_seen: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What became of everything that arrived: ``received`` = ``stored`` + ``duplicates`` + all ``rejected``."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    exchanges: int = 0
    assessed: int = 0
    not_assessed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How complete one service's telemetry is; ``hint`` says what its exporter should change."""

    service: str
    dialects: Mapping[str, int] = field(default_factory=dict)
    exchanges: int = 0
    with_text_ratio: float | None = None
    dropped_attributes: int = 0
    missing_usage: int = 0
    hint: str | None = None
