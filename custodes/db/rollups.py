"""Minute roll-ups: one row per (minute, segment, metric), written in the scoring transaction.

A row holds count, not-assessed count, sum, sum of squares, extremes and a 128-bin histogram, so
dashboards and policies read time, not traffic. First scores are added; when an exchange is scored
again, every row it touched is computed afresh from the scores, so the roll-ups always equal them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, select, update

from custodes.db.database import WriteTx
from custodes.db.keys import is_one_of
from custodes.db.rollup_versions import keep_versions
from custodes.db.tables import exchange, rollup_minute, score, span
from custodes.kernel.histogram import Histogram, metric_scale, value_to_bin

QUANTITIES = ("latency_ms", "ttft_ms", "cost_usd", "input_tokens", "output_tokens")
"""Roll-up metrics taken from the span itself rather than from a detector."""


@dataclass(frozen=True, slots=True, order=True)
class RollupKey:
    """Which row: project, unix minute, segment, metric."""

    project: str
    minute: int
    segment_id: int
    metric: str


@dataclass(slots=True)
class RollupRow:
    """A row under construction; ``value`` of ``None`` counts as not assessed."""

    n: int = 0
    not_assessed: int = 0
    total: float = 0.0
    total_sq: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    counts: list[int] | None = None

    def add(self, metric: str, value: float | None) -> None:
        """Count one value."""
        self.add_all(metric, (value,))

    def add_all(self, metric: str, values: Sequence[float | None]) -> None:
        """Count many values; raises ``ValueError`` for one that is not finite, and then counts none."""
        known = [value for value in values if value is not None]
        scale = metric_scale(metric)
        bins = [value_to_bin(value, scale) for value in known]
        self.not_assessed += len(values) - len(known)
        if not known:
            return
        if self.counts is None:
            self.counts = list(Histogram.empty().counts)
        for place in bins:
            self.counts[place] += 1
        self.n += len(known)
        self.total += sum(known)
        self.total_sq += sum(value * value for value in known)
        self.minimum = min(known) if self.minimum is None else min(self.minimum, *known)
        self.maximum = max(known) if self.maximum is None else max(self.maximum, *known)

    def histogram(self, metric: str) -> Histogram:
        """Return the histogram so far."""
        scale = metric_scale(metric)
        return Histogram(tuple(self.counts), scale) if self.counts is not None else Histogram.empty(scale)

    def to_values(self, metric: str) -> dict[str, Any]:
        """Return the column values of the row."""
        return {
            "n": self.n,
            "not_assessed": self.not_assessed,
            "total": self.total,
            "total_sq": self.total_sq,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "hist": self.histogram(metric).to_bytes(),
        }


def add_to_rollups(tx: WriteTx, values: Iterable[tuple[RollupKey, float | None]]) -> None:
    """Add values to their rows. Concurrent writers of one row wait for each other."""
    by_key: defaultdict[RollupKey, list[float | None]] = defaultdict(list)
    for key, value in values:
        by_key[key].append(value)
    add_all_to_rollups(tx, by_key)


def add_all_to_rollups(tx: WriteTx, values: Mapping[RollupKey, Sequence[float | None]]) -> None:
    """Add values to their rows, row by row: quicker than ``add_to_rollups`` when they are already together."""
    fresh: dict[RollupKey, RollupRow] = {}
    for key, of_key in values.items():
        fresh[key] = RollupRow()
        fresh[key].add_all(key.metric, of_key)
    stored = _lock_rows(tx, sorted(fresh))
    keep_versions(tx, {_key_tuple(key): stored.get(key) for key in fresh})
    inserts: list[dict[str, Any]] = []
    for key, row in sorted(fresh.items(), key=lambda pair: pair[0]):
        old = stored.get(key)
        if old is None:
            inserts.append({**_key_values(key), **row.to_values(key.metric)})
            continue
        merged = Histogram.from_bytes(old.hist, metric_scale(key.metric)).merge(row.histogram(key.metric))
        tx.execute(
            update(rollup_minute)
            .where(_is_key(key))
            .values(
                n=old.n + row.n,
                not_assessed=old.not_assessed + row.not_assessed,
                total=old.total + row.total,
                total_sq=old.total_sq + row.total_sq,
                minimum=_extreme(min, old.minimum, row.minimum),
                maximum=_extreme(max, old.maximum, row.maximum),
                hist=merged.to_bytes(),
            )
        )
    tx.execute_many(rollup_minute.insert(), inserts)


def rebuild_rollups(tx: WriteTx, places: Iterable[tuple[str, int, int]]) -> None:
    """Compute every row of the given (project, minute, segment) places afresh from scores and spans."""
    for project, minute, segment_id in sorted(set(places)):
        here = and_(
            exchange.c.project_id == project,
            exchange.c.rolled_minute == minute,
            exchange.c.rolled_segment_id == segment_id,
        )
        rows: dict[str, RollupRow] = defaultdict(RollupRow)
        scored = select(score.c.metric, score.c.value).join(exchange, exchange.c.span_id == score.c.span_id)
        for one in tx.execute(scored.where(here)):
            rows[one.metric].add(one.metric, one.value)
        columns = (span.c.start_ns, span.c.end_ns, span.c.complete, span.c.ttft_ms, span.c.cost_usd)
        tokens = (span.c.input_tokens, span.c.output_tokens)
        for one in tx.execute(select(*columns, *tokens).join(exchange, exchange.c.span_id == span.c.id).where(here)):
            for metric, value in span_quantities(dict(one._mapping)).items():
                rows[metric].add(metric, value)
        place = and_(
            rollup_minute.c.project_id == project,
            rollup_minute.c.minute == minute,
            rollup_minute.c.segment_id == segment_id,
        )
        former = {one.metric: one for one in tx.execute(select(rollup_minute).where(place).with_for_update())}
        touched = sorted(former.keys() | rows.keys())
        keep_versions(tx, {(project, minute, segment_id, metric): former.get(metric) for metric in touched})
        tx.execute(delete(rollup_minute).where(place))
        tx.execute_many(
            rollup_minute.insert(),
            [
                {**_key_values(RollupKey(project, minute, segment_id, metric)), **row.to_values(metric)}
                for metric, row in sorted(rows.items())
            ],
        )


def span_quantities(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the quantities of one exchange's span; ``None`` where the client did not say."""
    latency = (row["end_ns"] - row["start_ns"]) / 1e6 if row["complete"] and row["end_ns"] >= row["start_ns"] else None
    return {
        "latency_ms": latency,
        "ttft_ms": row["ttft_ms"],
        "cost_usd": row["cost_usd"],
        "input_tokens": None if row["input_tokens"] is None else float(row["input_tokens"]),
        "output_tokens": None if row["output_tokens"] is None else float(row["output_tokens"]),
    }


def _lock_rows(tx: WriteTx, keys: list[RollupKey]) -> dict[RollupKey, Any]:
    """Return the stored rows among ``keys``, locked in key order so that two writers cannot deadlock."""
    if tx.dialect == "postgresql" and keys:
        empty = RollupRow()
        tx.execute_many(
            tx.insert(rollup_minute).on_conflict_do_nothing(),
            [{**_key_values(key), **empty.to_values(key.metric)} for key in keys],
        )
    stored: dict[RollupKey, Any] = {}
    columns = (
        rollup_minute.c.project_id,
        rollup_minute.c.minute,
        rollup_minute.c.segment_id,
        rollup_minute.c.metric,
    )
    for start in range(0, len(keys), 200):
        wanted = [(k.project, k.minute, k.segment_id, k.metric) for k in keys[start : start + 200]]
        statement = select(rollup_minute).where(is_one_of(columns, wanted)).order_by(*columns).with_for_update()
        for row in tx.execute(statement):
            stored[RollupKey(row.project_id, row.minute, row.segment_id, row.metric)] = row
    return stored


def _key_tuple(key: RollupKey) -> tuple[str, int, int, str]:
    return key.project, key.minute, key.segment_id, key.metric


def _key_values(key: RollupKey) -> dict[str, Any]:
    return {"project_id": key.project, "minute": key.minute, "segment_id": key.segment_id, "metric": key.metric}


def _is_key(key: RollupKey) -> Any:
    columns = rollup_minute.c
    return and_(
        columns.project_id == key.project,
        columns.minute == key.minute,
        columns.segment_id == key.segment_id,
        columns.metric == key.metric,
    )


def _extreme(choose: Any, a: float | None, b: float | None) -> float | None:
    known = [value for value in (a, b) if value is not None]
    return choose(known) if known else None
