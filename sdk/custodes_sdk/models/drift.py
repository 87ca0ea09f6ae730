"""Drift: monitors, stretches of drift with their explanation, references and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRules:
    """What is promised: one false alarm of a deployment in so many exchanges, on average."""

    enabled: bool = True
    exchanges_per_false_alarm: int = 0
    reference_exchanges: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftVersion:
    """The version of what is usual that a monitor compares with."""

    id: str
    version: int
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingDrift:
    """The stretch of drift that stands for a monitor."""

    id: str
    at: datetime
    onset: datetime | None = None
    incident_id: str | None = None
    repeats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftMonitor:
    """One thing that is watched in one deployment.

    ``monitor`` is ``prompt`` or ``response`` for embeddings, else the name of a number. ``state`` is ``drift``,
    ``watching``, ``learning`` or ``damaged``; an alarm is raised when ``statistic`` reaches ``threshold``. ``current``
    is false where values of another encoder or detector have replaced those of ``maker``.
    """

    monitor_id: int
    place_id: int
    monitor: str
    state: str
    reference: DriftVersion
    service: str = ""
    environment: str = ""
    deployment: str = ""
    maker: str = ""
    current: bool = True
    statistic: float = 0.0
    threshold: float = 0.0
    learned: int = 0
    seen: int = 0
    began_at: datetime | None = None
    updated_at: datetime | None = None
    episode: StandingDrift | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Every monitor, what drifts first, and what is promised."""

    rules: DriftRules = DriftRules()
    rows: tuple[DriftMonitor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPoint:
    """A monitor's largest statistic in one minute."""

    at: datetime
    statistic: float = 0.0
    threshold: float = 0.0
    seen: int = 0
    alarms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCourse:
    """One monitor over time, oldest first."""

    points: tuple[DriftPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCluster:
    """One kind of traffic: its share of the reference and since the onset; ``examples`` are ids of exchanges."""

    cell: int
    before: float = 0.0
    since: float = 0.0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftMap:
    """Points ``(x, y)`` on the reference's two main directions; ``current_exchanges`` names those since the onset."""

    reference: tuple[tuple[float, ...], ...] = ()
    current: tuple[tuple[float, ...], ...] = ()
    current_exchanges: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFigures:
    """What a number was like over ``n`` exchanges."""

    n: int
    mean: float
    p10: float
    p50: float
    p90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftExplanation:
    """What is known about a stretch of drift; ``kind`` is ``embedding`` or ``number``.

    ``separation`` is the chance that an exchange since the onset looks more like the change than a usual one;
    ``novel_share`` the share that is unlike anything in the reference. ``examples`` are ids of exchanges.
    """

    kind: str
    exchanges_since: int | None = None
    separation: float | None = None
    novel_share: float | None = None
    clusters: tuple[DriftCluster, ...] = ()
    examples: tuple[str, ...] = ()
    map: DriftMap | None = None
    direction: str | None = None
    before: DriftFigures | None = None
    since: DriftFigures | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """An Evidently report; ``state`` is ``requested``, ``ready`` or ``failed``."""

    id: str
    monitor_id: int
    state: str
    monitor: str = ""
    episode_id: str | None = None
    requested_by: str = ""
    created_at: datetime | None = None
    ready_at: datetime | None = None
    rows_before: int | None = None
    rows_since: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftEpisode:
    """One stretch of drift of one monitor; ``ended_as`` is ``over`` or ``expected`` once it has ended.

    ``view`` says which bets found it, or for a number whether it went ``up`` or ``down``.
    """

    id: str
    monitor_id: int
    place_id: int
    monitor: str
    at: datetime
    service: str = ""
    environment: str = ""
    deployment: str = ""
    onset: datetime | None = None
    last_at: datetime | None = None
    repeats: int = 0
    statistic: float = 0.0
    threshold: float = 0.0
    view: str = ""
    reference_version: int = 0
    incident_id: str | None = None
    ended_at: datetime | None = None
    ended_as: str | None = None
    explanation: DriftExplanation | None = None
    reports: tuple[DriftReport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReference:
    """One version of what counts as usual for a deployment.

    ``state`` is ``proposed``, ``active``, ``superseded`` or ``rejected``.
    """

    id: str
    place_id: int
    version: int
    state: str
    source: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    requested_by: str = ""
    created_at: datetime | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    revision: int = 1
