"""Signal values of a policy from the minute roll-ups: O(window * segments), whatever the traffic.

A minute counts once it is complete: its data belong to its end, so the window ``(now - window, now]``
holds the last ``window`` whole minutes before ``now``. The same stored roll-ups therefore give the same
values whenever one asks. What is *no data* is ``None``: any aggregation of nothing, except ``count``,
which is then 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select

from custodes.db import ReadTx
from custodes.db.tables import rollup_minute, segment
from custodes.kernel.clock import MINUTE_NS, ns_to_minute
from custodes.kernel.histogram import Histogram, metric_scale
from policies.groups import Group, make_group
from policies.rules.compile import CompiledPolicy, SignalSpec
from policies.rules.vocabulary import EXCHANGES_METRIC, WITHOUT_SOURCE

SignalValues = dict[str, float | None]

_QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "latency_p95": 0.95}
# Every exchange has a latency row, assessed or not, so that row counts exchanges.
_CENSUS_METRIC = "latency_ms"


@dataclass(frozen=True, slots=True)
class WindowTotals:
    """The sum of a window's roll-ups of one metric and group. ``histogram`` only where it was asked for."""

    n: int = 0
    not_assessed: int = 0
    total: float = 0.0
    maximum: float | None = None
    histogram: Histogram | None = None


def read_signals(tx: ReadTx, project_id: str, policy: CompiledPolicy, now_ns: int) -> dict[Group, SignalValues]:
    """Return the value of every signal for every group seen in any window of the policy.

    A policy without ``group_by`` always has its one group. Only traffic inside ``scope`` counts.
    """
    specs = [spec for spec in policy.signals if spec.aggregation.name not in WITHOUT_SOURCE]
    totals = {
        reading: _read_totals(tx, project_id, policy, reading, now_ns)
        for reading in sorted({_reading_of(spec) for spec in specs})
    }
    groups = {group for found in totals.values() for group in found}
    if not policy.group_by:
        groups.add(Group())
    return {group: _group_values(policy, totals, group) for group in sorted(groups, key=lambda group: group.key)}


def empty_values(policy: CompiledPolicy) -> SignalValues:
    """Return the values of a group without any traffic in its windows."""
    return _group_values(policy, {}, Group())


@dataclass(frozen=True, slots=True, order=True)
class _Reading:
    """What one query fetches."""

    metric: str
    window_ns: int


def _reading_of(spec: SignalSpec) -> _Reading:
    return _Reading(_CENSUS_METRIC if spec.metric == EXCHANGES_METRIC else spec.metric, spec.window_ns)


def _group_values(
    policy: CompiledPolicy, totals: Mapping[_Reading, Mapping[Group, WindowTotals]], group: Group
) -> SignalValues:
    values: SignalValues = {}
    for spec in policy.signals:
        found = totals.get(_reading_of(spec), {}).get(group, WindowTotals())
        values[spec.name] = aggregate(spec, found)
    return values


def aggregate(spec: SignalSpec, totals: WindowTotals) -> float | None:
    """Return a signal's value from its window, ``None`` for no data."""
    name = spec.aggregation.name
    if name in WITHOUT_SOURCE:
        return None
    if name == "count":
        return float(totals.n + totals.not_assessed if spec.metric == EXCHANGES_METRIC else totals.n)
    if name == "not_assessed_ratio":
        seen = totals.n + totals.not_assessed
        return totals.not_assessed / seen if seen else None
    return _NEEDING_VALUES[name](spec, totals) if totals.n else None


def _quantile(spec: SignalSpec, totals: WindowTotals) -> float | None:
    return None if totals.histogram is None else totals.histogram.quantile(_QUANTILES[spec.aggregation.name])


def _rate_above(spec: SignalSpec, totals: WindowTotals) -> float | None:
    threshold = spec.aggregation.threshold
    return None if totals.histogram is None or threshold is None else totals.histogram.rate_above(threshold)


_NEEDING_VALUES: dict[str, Callable[[SignalSpec, WindowTotals], float | None]] = {
    "mean": lambda _, totals: totals.total / totals.n,
    "cost_sum": lambda _, totals: totals.total,
    "max": lambda _, totals: totals.maximum,
    "rate_above": _rate_above,
    **dict.fromkeys(_QUANTILES, _quantile),
}


def _read_totals(
    tx: ReadTx, project_id: str, policy: CompiledPolicy, reading: _Reading, now_ns: int
) -> dict[Group, WindowTotals]:
    columns = [segment.c[name] for name in policy.group_by]
    rollup = rollup_minute.c
    sums = (func.sum(rollup.n), func.sum(rollup.not_assessed), func.sum(rollup.total), func.max(rollup.maximum))
    statement = _within(select(*columns, *sums), project_id, policy, reading, now_ns)
    # Without GROUP BY an empty window would still give one row, of NULLs.
    statement = statement.group_by(*columns) if columns else statement.having(func.count() > 0)
    histograms = _read_histograms(tx, project_id, policy, reading, now_ns)
    result = {}
    for row in tx.execute(statement):
        labels, (n, not_assessed, total, maximum) = row[: len(columns)], row[len(columns) :]
        group = _group_of(policy, labels)
        result[group] = WindowTotals(int(n), int(not_assessed), float(total), maximum, histograms.get(group))
    return result


def _read_histograms(
    tx: ReadTx, project_id: str, policy: CompiledPolicy, reading: _Reading, now_ns: int
) -> dict[Group, Histogram]:
    """Return the merged histogram per group; nothing when no signal of this reading needs one."""
    wanted = any(
        _reading_of(spec) == reading and (spec.aggregation.name in _QUANTILES or spec.aggregation.name == "rate_above")
        for spec in policy.signals
    )
    if not wanted:
        return {}
    scale = metric_scale(reading.metric)
    merged: dict[Group, Histogram] = defaultdict(lambda: Histogram.empty(scale))
    columns = [segment.c[name] for name in policy.group_by]
    statement = _within(select(*columns, rollup_minute.c.hist), project_id, policy, reading, now_ns)
    for row in tx.execute(statement.where(rollup_minute.c.n > 0)):
        group = _group_of(policy, row[:-1])
        merged[group] = merged[group].merge(Histogram.from_bytes(row[-1], scale))
    return merged


def _within(
    statement: Select[Any], project_id: str, policy: CompiledPolicy, reading: _Reading, now_ns: int
) -> Select[Any]:
    end_minute = ns_to_minute(now_ns)
    rollup = rollup_minute.c
    statement = statement.select_from(rollup_minute.join(segment, segment.c.id == rollup.segment_id)).where(
        rollup.project_id == project_id,
        rollup.metric == reading.metric,
        rollup.minute >= end_minute - reading.window_ns // MINUTE_NS,
        rollup.minute < end_minute,
    )
    return statement.where(*(segment.c[name] == value for name, value in policy.scope))


def _group_of(policy: CompiledPolicy, labels: Any) -> Group:
    return make_group(dict(zip(policy.group_by, labels, strict=True)))
