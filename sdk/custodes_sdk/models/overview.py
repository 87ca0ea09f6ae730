"""Aggregates over a time window: the overview, and series for charts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from custodes_sdk.models.incidents import Incident


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """One metric in the window. ``n`` counts assessed exchanges; the rest is None when ``n`` is 0.

    Scores are in [0, 1], higher is worse; ``latency_ms`` is in milliseconds. ``rate_above_05`` is the share of
    exchanges that score above 0.5.
    """

    n: int = 0
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    rate_above_05: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkPoint:
    """One bucket of a service's sparkline; a score is None where nothing was assessed."""

    t: datetime
    exchanges: int = 0
    toxicity_p95: float | None = None
    hallucination_p95: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One service in one environment. ``status`` is ``ok``, ``pending``, ``firing`` or ``no_data``."""

    service: str
    environment: str | None = None
    deployments: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    status: str = "no_data"
    exchanges: int = 0
    not_assessed_ratio: float | None = None
    last_seen: datetime | None = None
    open_incidents: int = 0
    metrics: Mapping[str, MetricSummary] = field(default_factory=dict)
    sparkline: tuple[SparkPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counts in the window; ``exchanges`` = ``assessed`` + ``not_assessed`` + those still waiting for a score."""

    traces: int = 0
    exchanges: int = 0
    assessed: int = 0
    not_assessed: int = 0
    not_assessed_reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the overview's recent events."""

    at: datetime
    kind: str
    text: str
    incident_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything the first page shows. ``services`` are worst first; ``summary`` is one plain sentence.

    ``last_trace_at`` is None when the project never received a trace.
    """

    now: datetime
    summary: str = ""
    last_trace_at: datetime | None = None
    totals: Totals = field(default_factory=Totals)
    services: tuple[ServiceStatus, ...] = ()
    open_incidents: tuple[Incident, ...] = ()
    recent_events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One bucket: its start, its value (None where nothing was assessed) and how many observations it covers."""

    t: datetime
    value: float | None = None
    n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points of one group in time order."""

    group: str
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeseries:
    """One aggregation of one metric over time; buckets are ``step_s`` seconds wide."""

    step_s: int
    metric: str = ""
    agg: str = ""
    series: tuple[Series, ...] = ()
