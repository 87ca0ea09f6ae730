"""GenAI metrics as clients sent them: what there is, and one metric over time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson
from sqlalchemy import and_, func, select

from collector.metric_figures import Figures, Observation, Point, observe
from collector.metric_names import MetricSource, other_names, sources_of
from collector.rest.parameters import TimeRange
from collector.rest.queries.timeseries import MAX_BUCKETS, pick_step
from custodes.db import ReadTx
from custodes.db.tables import metric_point, metric_series
from custodes.kernel.clock import HOUR_NS, SECOND_NS, ns_to_rfc3339
from custodes.kernel.errors import InvalidInputError, NotFoundError

MAX_GROUPS = 50
"""Most series in one answer: those observed most; ``omitted_groups`` counts the others."""

MAX_POINTS = 250_000
"""Most stored points one answer is computed from."""

LOOKBACK_NS = HOUR_NS
"""How far before the range the point may lie that the first cumulative one is compared with."""

SERVICE = "service"
DISTRIBUTIONS = frozenset({"histogram", "exponential_histogram", "summary"})
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class MetricRequest:
    """What to show of one metric: ``group_by`` are names of attributes, or ``service``; none for one series."""

    name: str
    span: TimeRange
    step_s: int | None
    service: str | None
    group_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Series:
    id: int
    service: str
    unit: str
    kind: str
    temporality: str
    monotonic: bool
    attributes: Mapping[str, Any]
    asked: bool

    def group(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.service if name == SERVICE else str(self.attributes.get(name, "")) for name in names)


def list_metrics(tx: ReadTx, project: str) -> list[dict[str, Any]]:
    """Return every metric of the project by name, with its services and the names of its attributes.

    ``same_as`` are names under which another generation of clients sends the same, or a part of it.
    """
    columns = metric_series.c
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    services: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    attributes: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    statement = select(metric_series).where(columns.project_id == project)
    for row in tx.execute(statement.order_by(columns.name, columns.unit, columns.kind)):
        key = (row.name, row.unit, row.kind)
        one = found.setdefault(key, {"series": 0, "last_ns": 0})
        one["series"] += 1
        one["last_ns"] = max(one["last_ns"], row.last_ns)
        services[key].add(row.service)
        attributes[key].update(orjson.loads(row.attributes))
    return [
        {
            "name": key[0],
            "unit": key[1],
            "kind": key[2],
            "services": sorted(services[key]),
            "attributes": sorted(attributes[key]),
            "series": one["series"],
            "last_seen": ns_to_rfc3339(one["last_ns"]),
            "same_as": other_names(key[0]),
        }
        for key, one in found.items()
    ]


def load_metric(tx: ReadTx, project: str, wanted: MetricRequest) -> dict[str, Any]:
    """Return one metric over time, for every group, with every bucket of the range and the ``total`` of all of them.

    Buckets start at multiples of the step since 1970. A point counts where it was taken, though what it says happened
    since the one before. Raises ``NotFoundError`` for a metric the project has never had, ``InvalidInputError`` when
    the range holds too many buckets or points.
    """
    series = _find_series(tx, project, wanted)
    if not series:
        raise NotFoundError(f"no metric {wanted.name[:128]!r} in project {project}; GET /api/v1/metrics lists all")
    shown = next((one for one in series if one.asked), series[0])
    distribution = shown.kind in DISTRIBUTIONS and _natural(wanted.name, shown)
    step_ns = (wanted.step_s or pick_step(wanted.span, MAX_BUCKETS)) * SECOND_NS
    starts = range(wanted.span.from_ns // step_ns * step_ns, wanted.span.to_ns, step_ns)
    if len(starts) > MAX_BUCKETS:
        raise InvalidInputError(
            f"step {wanted.step_s} gives {len(starts)} buckets; at most {MAX_BUCKETS}, take a larger one"
        )
    buckets: defaultdict[tuple[str, ...], dict[int, Figures]] = defaultdict(dict)
    totals: defaultdict[tuple[str, ...], Figures] = defaultdict(Figures)
    for one, seen in _observations(tx, series, wanted.span):
        group = one.group(wanted.group_by)
        totals[group].add(seen)
        buckets[group].setdefault(seen.time_ns // step_ns * step_ns, Figures()).add(seen)
    ordered = sorted(totals, key=lambda group: (-totals[group].count, -totals[group].observations, group))
    nothing = Figures()
    return {
        "name": wanted.name,
        "unit": shown.unit,
        "kind": shown.kind if distribution or shown.kind not in DISTRIBUTIONS else "sum",
        "from": ns_to_rfc3339(wanted.span.from_ns),
        "to": ns_to_rfc3339(wanted.span.to_ns),
        "step_s": step_ns // SECOND_NS,
        "series": [
            {
                "group": dict(zip(wanted.group_by, group, strict=True)),
                "total": totals[group].to_json(distribution=distribution),
                "points": [
                    {
                        "t": ns_to_rfc3339(start),
                        **buckets[group].get(start, nothing).to_json(distribution=distribution),
                    }
                    for start in starts
                ],
            }
            for group in ordered[:MAX_GROUPS]
        ],
        "omitted_groups": max(0, len(ordered) - MAX_GROUPS),
    }


def _natural(name: str, shown: _Series) -> bool:
    """Return whether a metric is shown as the kind it is stored as: usage counters may come out of histograms."""
    return shown.asked or ".usage." not in name


def _find_series(tx: ReadTx, project: str, wanted: MetricRequest) -> list[_Series]:
    """Return the series of a metric under all its names, those under the name asked for first."""
    sources: dict[str, MetricSource] = {source.name: source for source in sources_of(wanted.name)}
    columns = metric_series.c
    statement = select(metric_series).where(columns.project_id == project, columns.name.in_(list(sources)))
    if wanted.service is not None:
        statement = statement.where(columns.service == wanted.service)
    found = []
    for row in tx.execute(statement.order_by(columns.id)):
        source, attributes = sources[row.name], orjson.loads(row.attributes)
        if source.takes(attributes):
            found.append(
                _Series(
                    id=row.id,
                    service=row.service,
                    unit=row.unit,
                    kind=row.kind,
                    temporality=row.temporality,
                    monotonic=row.monotonic,
                    attributes={**attributes, **source.added},
                    asked=row.name == wanted.name,
                )
            )
    return sorted(found, key=lambda one: not one.asked)


def _observations(tx: ReadTx, series: Sequence[_Series], span: TimeRange) -> Iterator[tuple[_Series, Observation]]:
    """Yield what every series says of the range.

    Some clients send a metric under both its names: where a process does, only the name asked for counts.
    """
    asked: set[tuple[str, int]] = set()
    budget = MAX_POINTS
    # Those asked for come first and tell for which processes the other names are left out.
    for start in range(0, len(series), _CHUNK):
        chunk = {one.id: one for one in series[start : start + _CHUNK]}
        runs = _read_runs(tx, chunk, span, budget)
        budget -= sum(len(points) for points in runs.values())
        for (number, stream, _), points in sorted(runs.items(), key=lambda run: not chunk[run[0][0]].asked):
            one = chunk[number]
            if one.asked:
                asked.add((one.service, stream))
            elif (one.service, stream) in asked:
                continue
            seen = observe(
                points,
                kind=one.kind,
                temporality=one.temporality,
                monotonic=one.monotonic,
                from_ns=span.from_ns,
            )
            yield from ((one, each) for each in seen)


def _read_runs(
    tx: ReadTx, series: Mapping[int, _Series], span: TimeRange, budget: int
) -> dict[tuple[int, int, int], list[Point]]:
    """Return the points of the range by series, process and start, with the cumulative ones before them."""
    columns = metric_point.c
    within = and_(columns.series_id.in_(list(series)), columns.time_ns >= span.from_ns, columns.time_ns < span.to_ns)
    order = (columns.series_id, columns.stream, columns.start_ns, columns.time_ns)
    rows = tx.execute(select(metric_point).where(within).order_by(*order).limit(budget + 1)).all()
    if len(rows) > budget:
        raise InvalidInputError(
            f"the range holds more than {MAX_POINTS} points of this metric; ask for a shorter one, or for one service"
        )
    found: dict[tuple[int, int, int], list[Point]] = {
        key: [_to_point(row) for row in run]
        for key, run in groupby(rows, key=lambda row: (row.series_id, row.stream, row.start_ns))
    }
    for row in _read_before(tx, series, span):
        run = found.get((row.series_id, row.stream, row.start_ns))
        if run is not None:
            run.insert(0, _to_point(row))
    return found


def _read_before(tx: ReadTx, series: Mapping[int, _Series], span: TimeRange) -> Sequence[Any]:
    """Return the last point before the range of every run of the cumulative series."""
    columns = metric_point.c
    cumulative = [number for number, one in series.items() if one.temporality == "cumulative"]
    if not cumulative:
        return []
    last = (
        select(columns.series_id, columns.stream, columns.start_ns, func.max(columns.time_ns).label("time_ns"))
        .where(
            columns.series_id.in_(cumulative),
            columns.time_ns >= span.from_ns - LOOKBACK_NS,
            columns.time_ns < span.from_ns,
        )
        .group_by(columns.series_id, columns.stream, columns.start_ns)
        .subquery()
    )
    same = and_(
        columns.series_id == last.c.series_id, columns.stream == last.c.stream, columns.time_ns == last.c.time_ns
    )
    return tx.execute(select(metric_point).join(last, same)).all()


def _to_point(row: Any) -> Point:
    detail = None if row.detail is None else orjson.loads(row.detail)
    return Point(row.time_ns, row.start_ns, row.count, row.total, row.minimum, row.maximum, detail)
