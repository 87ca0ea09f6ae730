"""The SQL about the traffic an action is about: its share, its sums, and what was on record before acting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, select

from custodes.db import ReadTx
from custodes.db.tables import detector, exchange, rollup_minute, score, segment, span
from custodes.kernel.clock import ns_to_rfc3339
from custodes.kernel.histogram import Histogram, metric_scale
from policies.rules.vocabulary import EXCHANGES_METRIC
from policies.signals import CENSUS_METRIC

_DIMENSIONS = frozenset({"service", "environment", "deployment", "model"})
MOST_EXCHANGES = 20


@dataclass(frozen=True, slots=True)
class MetricTotals:
    """What some minutes of one metric add up to."""

    n: int
    not_assessed: int
    histogram: Histogram


def read_share(
    tx: ReadTx, project_id: str, labels: Mapping[str, str], from_minute: int, to_minute: int
) -> float | None:
    """Return the share of the project's exchanges that carry some labels; ``None`` without any exchange."""
    columns = rollup_minute.c
    counted = (
        select(func.sum(columns.n + columns.not_assessed))
        .select_from(rollup_minute.join(segment, segment.c.id == columns.segment_id))
        .where(
            columns.project_id == project_id,
            columns.metric == CENSUS_METRIC,
            columns.minute >= from_minute,
            columns.minute < to_minute,
        )
    )
    total = tx.execute(counted).scalar()
    if not total:
        return None
    part = tx.execute(counted.where(*_has_labels(labels))).scalar()
    return float(part or 0) / float(total)


def read_totals(
    tx: ReadTx, project_id: str, labels: Mapping[str, str], metric: str, from_minute: int, to_minute: int
) -> MetricTotals:
    """Return the sums of one metric over the minutes in [from, to) of the traffic that carries some labels."""
    columns = rollup_minute.c
    metric = CENSUS_METRIC if metric == EXCHANGES_METRIC else metric
    statement = (
        select(columns.n, columns.not_assessed, columns.hist)
        .select_from(rollup_minute.join(segment, segment.c.id == columns.segment_id))
        .where(
            columns.project_id == project_id,
            columns.metric == metric,
            columns.minute >= from_minute,
            columns.minute < to_minute,
            *_has_labels(labels),
        )
    )
    scale = metric_scale(metric)
    n = not_assessed = 0
    merged = Histogram.empty(scale)
    for row in tx.execute(statement):
        n += row.n
        not_assessed += row.not_assessed
        merged = merged.merge(Histogram.from_bytes(bytes(row.hist), scale))
    return MetricTotals(n, not_assessed, merged)


def read_worst(
    tx: ReadTx, project_id: str, labels: Mapping[str, str], metrics: frozenset[str], from_ns: int, to_ns: int
) -> list[dict[str, Any]]:
    """Return the exchanges with the highest scores, by id: evidence that can be looked up, without its text."""
    statement = (
        select(span.c.trace_id, span.c.span_id, exchange.c.at_ns, score.c.metric, score.c.value)
        .select_from(
            exchange.join(score, score.c.span_id == exchange.c.span_id)
            .join(span, span.c.id == exchange.c.span_id)
            .join(segment, segment.c.id == exchange.c.segment_id)
        )
        .where(
            exchange.c.project_id == project_id,
            exchange.c.at_ns >= from_ns,
            exchange.c.at_ns < to_ns,
            score.c.metric.in_(metrics),
            score.c.value.is_not(None),
            *_has_labels(labels),
        )
        .order_by(score.c.value.desc(), span.c.id)
        .limit(MOST_EXCHANGES)
    )
    return [
        {
            "exchange": bytes(row.trace_id).hex() + bytes(row.span_id).hex(),
            "at": ns_to_rfc3339(row.at_ns),
            "metric": row.metric,
            "value": row.value,
        }
        for row in tx.execute(statement)
    ]


def read_detectors(tx: ReadTx, project_id: str, from_ns: int, to_ns: int) -> list[dict[str, str]]:
    """Return the detectors whose scores stand on the exchanges of some time, by name."""
    used = (
        select(score.c.detector_id)
        .select_from(score.join(exchange, exchange.c.span_id == score.c.span_id))
        .where(and_(exchange.c.project_id == project_id, exchange.c.at_ns >= from_ns, exchange.c.at_ns < to_ns))
        .distinct()
    )
    statement = select(detector).where(detector.c.id.in_(used)).order_by(detector.c.name, detector.c.id)
    return [{"name": row.name, "version": row.version, "digest": row.digest} for row in tx.execute(statement)]


def _has_labels(labels: Mapping[str, str]) -> list[Any]:
    return [segment.c[name] == value for name, value in sorted(labels.items()) if name in _DIMENSIONS]
