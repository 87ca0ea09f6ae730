"""Gaps between groups of people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessRules:
    """What is tolerated: gaps up to ``epsilon``, and alarms with probability ``alpha`` where no gap is larger."""

    enabled: bool = True
    epsilon: float = 0.0
    alpha: float = 0.0
    min_pairs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GapInterval:
    """A gap with the ends of its confidence sequence over the pairs since ``since``; numbers in [-1, 1]."""

    pairs: int = 0
    gap: float | None = None
    gap_low: float = -1.0
    gap_high: float = 1.0
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GapStratum:
    """The comparison inside one stratum: a language and a kind of prompt."""

    stratum: str
    n_group: int = 0
    n_others: int = 0
    pairs: int = 0
    mean_group: float | None = None
    mean_others: float | None = None
    gap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GapAlarm:
    """The alarm that stands for a gap."""

    id: str
    at: datetime
    onset: datetime | None = None
    incident_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How one outcome of one group differs from everybody else's in one deployment of a service.

    ``state`` is ``gap``, ``withheld``, ``watching``, ``within_tolerance`` or ``too_few_data``. The gap itself is since
    the comparison began, ``recent`` since a gap most likely began. ``own_gap`` is what the detector of ``metric`` could
    make by itself, ``None`` where nobody has audited it or no detector is involved.
    """

    segment_id: int
    family: str
    group: str
    outcome: str
    state: str
    at: datetime
    service: str = ""
    environment: str = ""
    deployment: str = ""
    model: str = ""
    n_group: int = 0
    n_others: int = 0
    unplaced: int = 0
    pairs: int = 0
    gap: float | None = None
    gap_low: float = -1.0
    gap_high: float = 1.0
    since: datetime | None = None
    recent: GapInterval = GapInterval()
    statistic: float = 0.0
    direction: str = ""
    metric: str | None = None
    audited: bool = False
    own_gap: float | None = None
    strata: tuple[GapStratum, ...] = ()
    alarm: GapAlarm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """Every gap that is watched, alarms first, and what is tolerated."""

    rules: FairnessRules = FairnessRules()
    rows: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GapPoint:
    """One gap in one minute; ``withheld`` where the detector could have made it by itself."""

    at: datetime
    pairs: int = 0
    gap: float = 0.0
    gap_low: float = -1.0
    gap_high: float = 1.0
    withheld: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GapCourse:
    """One gap over time, oldest first."""

    points: tuple[GapPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessRestart:
    """What beginning a comparison anew ended."""

    alarms: int = 0
    incidents: tuple[str, ...] = ()
