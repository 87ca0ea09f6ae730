"""The services of a project over a time range, worst first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select

from collector.rest.parameters import TimeRange
from collector.rest.queries.policy_status import WORST_FIRST, PolicyStatus
from collector.rest.queries.reach import IncidentReach
from collector.rest.queries.rollup_sums import (
    CENSUS_METRIC,
    RollupMinute,
    RollupSum,
    load_segments,
    range_to_minutes,
    read_minutes,
)
from collector.rest.queries.timeseries import bucket_starts, pick_step
from custodes.db import ReadTx
from custodes.db.segments import Segment
from custodes.db.tables import exchange, segment, trace
from custodes.kernel.clock import DAY_NS, MINUTE_NS, ns_to_rfc3339
from policies.rules.vocabulary import JUDGED_METRICS, SCORE_METRICS

SILENT_AFTER_NS = 7 * DAY_NS
"""A service without traffic in the range is still shown, as no_data, for this long after its last exchange."""

SPARK_BUCKETS = 30
_RANKED = ("toxicity", "hallucination")
_DRAWN = frozenset({*_RANKED, CENSUS_METRIC})


@dataclass(slots=True)
class ServiceTraffic:
    """What one service in one environment did in the range, while it is being summed."""

    service: str
    environment: str
    segments: set[Segment] = field(default_factory=set)
    active: set[Segment] = field(default_factory=set)
    sums: dict[str, RollupSum] = field(default_factory=dict)
    buckets: dict[tuple[int, str], RollupSum] = field(default_factory=dict)
    last_ns: int | None = None

    def add(self, row: RollupMinute, part: Segment, bucket: int) -> None:
        """Add one row of segment ``part``; ``bucket`` is the sparkline's it falls into."""
        metric = row.metric
        self.active.add(part)
        whole = self.sums.get(metric)
        if whole is None:
            whole = self.sums[metric] = RollupSum(metric)
        whole.add(row)
        if metric in _DRAWN:
            drawn = self.buckets.get((bucket, metric))
            if drawn is None:
                drawn = self.buckets[bucket, metric] = RollupSum(metric)
            drawn.add(row)

    @property
    def exchanges(self) -> int:
        """Scored exchanges, assessed or not."""
        return self.sums[CENSUS_METRIC].seen if CENSUS_METRIC in self.sums else 0

    @property
    def not_assessed_ratio(self) -> float | None:
        """The share that even the best covered metric has no value for; ``None`` without exchanges."""
        ratios = [self.sums[one].not_assessed_ratio for one in JUDGED_METRICS if one in self.sums]
        return min((ratio for ratio in ratios if ratio is not None), default=None)

    @property
    def worst_p95(self) -> float:
        """The highest p95 of the ranked metrics, 0 without any."""
        values = [self.sums[one].quantile(0.95) for one in _RANKED if one in self.sums]
        return max((value for value in values if value is not None), default=0.0)


def load_services(tx: ReadTx, project: str, span: TimeRange) -> list[ServiceTraffic]:
    """Return every service with traffic in the range or shortly before it, in no particular order."""
    segments = load_segments(tx, project)
    last_seen = _load_last_seen(tx, project)
    oldest = min(span.from_ns, span.to_ns - SILENT_AFTER_NS)
    services: dict[tuple[str, str], ServiceTraffic] = {}
    for key, one in segments.items():
        last = last_seen.get(key)
        if last is None or last < oldest:
            continue
        traffic = services.setdefault((one.service, one.environment), ServiceTraffic(one.service, one.environment))
        traffic.segments.add(one)
        traffic.last_ns = last if traffic.last_ns is None else max(traffic.last_ns, last)
    step = pick_step(span, SPARK_BUCKETS) // 60
    for row in read_minutes(tx, project, (*SCORE_METRICS, CENSUS_METRIC), range_to_minutes(span)):
        one = segments[row.segment_id]
        found = services.get((one.service, one.environment))
        if found is None:
            continue
        found.add(row, one, row.minute // step * step)
    return list(services.values())


def describe_services(
    services: Sequence[ServiceTraffic], span: TimeRange, policies: PolicyStatus, open_incidents: Sequence[IncidentReach]
) -> list[dict[str, Any]]:
    """Return the public form of the services, worst first: by state, then by score, then by traffic, then by name."""
    starts = bucket_starts(range_to_minutes(span), pick_step(span, SPARK_BUCKETS))
    described = []
    for one in services:
        incidents = sum(any(reach.covers(part) for part in one.segments) for reach in open_incidents)
        status = "firing" if incidents else policies.of(one.segments)
        if status in ("ok", "pending") and not one.exchanges:
            status = "no_data"
        rank = (WORST_FIRST.index(status), -one.worst_p95, -one.exchanges, one.service, one.environment)
        described.append((rank, _service_to_json(one, status, incidents, starts)))
    return [payload for _, payload in sorted(described, key=lambda pair: pair[0])]


def _service_to_json(one: ServiceTraffic, status: str, incidents: int, starts: range) -> dict[str, Any]:
    shown = one.active or one.segments
    return {
        "service": one.service,
        "environment": one.environment,
        "deployments": sorted({part.deployment for part in shown if part.deployment}),
        "models": sorted({part.model for part in shown if part.model}),
        "status": status,
        "exchanges": one.exchanges,
        "not_assessed_ratio": one.not_assessed_ratio,
        "last_seen": None if one.last_ns is None else ns_to_rfc3339(one.last_ns),
        "open_incidents": incidents,
        "metrics": {metric: _summary(metric, found) for metric, found in sorted(one.sums.items())},
        "sparkline": [_spark(minute, one.buckets) for minute in starts],
    }


def _summary(metric: str, found: RollupSum) -> dict[str, Any]:
    summary = {"n": found.n, "mean": found.mean, "p50": found.quantile(0.50), "p95": found.quantile(0.95)}
    return {**summary, "rate_above_05": found.rate_above(0.5)} if metric in SCORE_METRICS else summary


def _spark(minute: int, buckets: Mapping[tuple[int, str], RollupSum]) -> dict[str, Any]:
    census = buckets.get((minute, CENSUS_METRIC))
    values: dict[str, float | None] = defaultdict(lambda: None)
    for metric in _RANKED:
        found = buckets.get((minute, metric))
        values[f"{metric}_p95"] = None if found is None else found.quantile(0.95)
    return {"t": ns_to_rfc3339(minute * MINUTE_NS), "exchanges": census.seen if census else 0, **values}


def _load_last_seen(tx: ReadTx, project: str) -> dict[int, int]:
    """Return when every segment's latest exchange happened, in unix ns: a few steps down an index each.

    A segment that was never scored takes the start of its service's latest trace.
    """
    inner = exchange.alias()
    latest = (
        select(func.max(inner.c.rolled_minute))
        .where(inner.c.rolled_segment_id == segment.c.id)
        .correlate(segment)
        .scalar_subquery()
    )
    happened = (
        select(func.max(exchange.c.at_ns))
        .where(exchange.c.rolled_segment_id == segment.c.id, exchange.c.rolled_minute == latest)
        .correlate(segment)
        .scalar_subquery()
    )
    started = (
        select(func.max(trace.c.start_ns))
        .where(trace.c.project_id == project, trace.c.service == segment.c.service)
        .correlate(segment)
        .scalar_subquery()
    )
    columns = (segment.c.id, happened.label("at_ns"), started.label("start_ns"))
    found: dict[int, int] = {}
    for row in tx.execute(select(*columns).where(segment.c.project_id == project)):
        last_ns = row.at_ns if row.at_ns is not None else row.start_ns
        if last_ns is not None:
            found[row.id] = last_ns
    return found
