"""One aggregation of one metric over time, from the minute roll-ups."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from collector.rest.parameters import TimeRange
from collector.rest.queries.rollup_sums import (
    CENSUS_METRIC,
    RollupSum,
    load_segments,
    range_to_minutes,
    read_minutes,
)
from custodes.db import ReadTx
from custodes.kernel.clock import MINUTE_NS, ns_to_rfc3339
from custodes.kernel.errors import InvalidInputError
from policies.rules.vocabulary import Aggregation

EXCHANGES = "exchanges"
MAX_BUCKETS = 300
MAX_GROUPS = 50
"""Most series in one answer: the groups with the most exchanges; ``omitted_groups`` counts the others."""

STEPS_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800)
_QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """What to draw: ``group_by`` a segment dimension or ``None``, ``step_s`` of ``None`` for :func:`pick_step`."""

    metric: str
    aggregation: Aggregation
    span: TimeRange
    group_by: str | None
    service: str | None
    step_s: int | None


def load_series(tx: ReadTx, project: str, wanted: SeriesRequest) -> dict[str, Any]:
    """Return the series of every group, each with every bucket of the range, in time order.

    Buckets start at multiples of the step since 1970. A bucket without data has value ``None`` (0 for ``count``).
    """
    step_s = wanted.step_s or pick_step(wanted.span, MAX_BUCKETS)
    minutes = range_to_minutes(wanted.span)
    starts = bucket_starts(minutes, step_s)
    if len(starts) > MAX_BUCKETS:
        raise InvalidInputError(f"step {step_s} gives {len(starts)} buckets; at most {MAX_BUCKETS}, take a larger one")
    metric = CENSUS_METRIC if wanted.metric == EXCHANGES else wanted.metric
    segments = load_segments(tx, project)
    chosen = {key: one for key, one in segments.items() if wanted.service is None or one.service == wanted.service}
    sums: dict[str, dict[int, RollupSum]] = defaultdict(lambda: defaultdict(lambda: RollupSum(metric)))
    step_minutes = step_s // 60
    for row in read_minutes(tx, project, [metric], minutes, None if wanted.service is None else chosen):
        group = "" if wanted.group_by is None else str(getattr(chosen[row.segment_id], wanted.group_by))
        sums[group][row.minute // step_minutes * step_minutes].add(row)
    ordered = sorted(sums, key=lambda group: (-sum(one.seen for one in sums[group].values()), group))
    return {
        "from": ns_to_rfc3339(wanted.span.from_ns),
        "to": ns_to_rfc3339(wanted.span.to_ns),
        "step_s": step_s,
        "series": [
            {
                "group": "all" if wanted.group_by is None else group,
                "points": _points(wanted, sums[group], starts),
            }
            for group in ordered[:MAX_GROUPS]
        ],
        "omitted_groups": max(0, len(ordered) - MAX_GROUPS),
    }


def pick_step(span: TimeRange, most: int) -> int:
    """Return the smallest round step, in seconds, that cuts the range into at most ``most`` buckets."""
    minutes = range_to_minutes(span)
    for step_s in STEPS_S:
        if len(bucket_starts(minutes, step_s)) <= most:
            return step_s
    return STEPS_S[-1]


def bucket_starts(minutes: range, step_s: int) -> range:
    """Return the first minute of every bucket that the minutes touch."""
    step = step_s // 60
    return range(minutes.start // step * step, minutes.stop, step)


def _points(wanted: SeriesRequest, sums: dict[int, RollupSum], starts: range) -> list[dict[str, Any]]:
    points = []
    for minute in starts:
        one = sums.get(minute)
        value, n = (None, 0) if one is None else (aggregate(one, wanted.aggregation, wanted.metric), _size(one, wanted))
        if value is None and wanted.aggregation.name == "count":
            value = 0.0
        points.append({"t": ns_to_rfc3339(minute * MINUTE_NS), "value": value, "n": n})
    return points


def _size(one: RollupSum, wanted: SeriesRequest) -> int:
    return one.seen if wanted.metric == EXCHANGES or wanted.aggregation.name == "not_assessed_ratio" else one.n


def aggregate(one: RollupSum, aggregation: Aggregation, metric: str) -> float | None:
    """Return the aggregation's value, ``None`` where it has none."""
    name = aggregation.name
    if name == "count":
        return float(one.seen if metric == EXCHANGES else one.n)
    if name in _QUANTILES:
        return one.quantile(_QUANTILES[name])
    if name == "rate_above" and aggregation.threshold is not None:
        return one.rate_above(aggregation.threshold)
    if name == "not_assessed_ratio":
        return one.not_assessed_ratio
    return one.maximum if name == "max" else one.mean
