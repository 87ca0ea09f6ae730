"""GenAI metrics as clients and inference servers sent them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric with where it comes from; ``same_as`` are its names in other generations of the conventions."""

    name: str
    unit: str = ""
    kind: str = ""
    services: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    series: int = 0
    last_seen: datetime | None = None
    same_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFigures:
    """Count, sum, mean and quantiles of a distribution; ``value`` of a counter (its increase) or a gauge (its mean)."""

    count: int | None = None
    sum: float | None = None
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPoint(MetricFigures):
    """The figures of one bucket, which begins at ``t``."""

    t: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricGroup:
    """One group: its attributes, the figures of the whole range, and those of every bucket in time order."""

    group: Mapping[str, str] = field(default_factory=dict)
    total: MetricFigures = field(default_factory=MetricFigures)
    points: tuple[MetricPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSeries:
    """One metric over time; buckets are ``step_s`` seconds wide, groups come largest first."""

    name: str
    unit: str = ""
    kind: str = ""
    step_s: int = 0
    series: tuple[MetricGroup, ...] = ()
    omitted_groups: int = 0
