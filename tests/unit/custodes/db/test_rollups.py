"""Minute roll-ups always equal the scores they were added up from."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from custodes.db import Database
from custodes.db.rollups import (
    RollupKey,
    RollupRow,
    add_to_rollups,
    rebuild_rollups,
    span_quantities,
)
from custodes.db.tables import exchange, rollup_minute, score, span
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.histogram import Histogram, metric_scale

KEY = RollupKey("default", 5, 1, "toxicity")
VALUES = st.lists(st.one_of(st.none(), st.floats(min_value=0.0, max_value=1.0)), max_size=30)


def add(database: Database, values: Sequence[float | None], key: RollupKey = KEY) -> None:
    with database.write() as tx:
        add_to_rollups(tx, [(key, value) for value in values])


def read(database: Database, metric: str = "toxicity", first: int = 0, last: int = 100) -> RollupRow:
    """Read the rows of one metric back and add them up, bin by bin."""
    columns = rollup_minute.c
    wanted = (columns.project_id == "default", columns.metric == metric, columns.minute.between(first, last))
    with database.read() as tx:
        rows = tx.execute(select(rollup_minute).where(*wanted)).all()
    merged = RollupRow(counts=list(Histogram.empty().counts))
    for row in rows:
        merged.n += row.n
        merged.not_assessed += row.not_assessed
        merged.total += row.total
        merged.total_sq += row.total_sq
        stored = Histogram.from_bytes(row.hist, metric_scale(metric))
        merged.counts = list(merged.histogram(metric).merge(stored).counts)
    known = [row for row in rows if row.minimum is not None]
    merged.minimum = min((row.minimum for row in known), default=None)
    merged.maximum = max((row.maximum for row in known), default=None)
    return merged


def row_of(values: Sequence[float | None], metric: str = "toxicity") -> RollupRow:
    row = RollupRow()
    for value in values:
        row.add(metric, value)
    row.counts = list(row.histogram(metric).counts)
    return row


def approximately(row: RollupRow) -> object:
    return pytest.approx((row.n, row.not_assessed, row.total, row.total_sq, row.minimum, row.maximum))


def plain(row: RollupRow) -> tuple[object, ...]:
    return (row.n, row.not_assessed, row.total, row.total_sq, row.minimum, row.maximum)


def add_exchange(database: Database, number: int, scores: dict[str, float | None], *, complete: bool = True) -> None:
    """Store one exchange in minute 5 of segment 1, of 250 ms, 3 input tokens and an unknown cost."""
    with database.write() as tx:
        tx.execute(
            insert(span).values(
                id=number, project_id="default", trace_id=bytes(16), span_id=number.to_bytes(8, "big"), name="chat",
                kind=3, operation="chat", start_ns=5 * MINUTE_NS, end_ns=5 * MINUTE_NS + 250_000_000, status=0,
                service="s", environment="e", deployment="d", provider="p", model="m", input_tokens=3, dialect="x",
                complete=complete, dropped_attributes=0, completeness=1,
            )
        )  # fmt: skip
        tx.execute(
            insert(exchange).values(
                span_id=number, project_id="default", trace_id=bytes(16), batch_id=1, segment_id=1, at_ns=5 * MINUTE_NS,
                received_ns=0, service="s", rolled_segment_id=1, rolled_minute=5,
            )
        )  # fmt: skip
        tx.execute_many(
            insert(score),
            [
                {
                    "span_id": number, "metric": metric, "value": value, "detector_id": 1, "scored_ns": 0,
                    "state": "not_assessed" if value is None else "assessed",
                }
                for metric, value in scores.items()
            ],
        )  # fmt: skip


class TestAddToRollups:
    def test_it_counts_sums_and_keeps_extremes(self, database: Database) -> None:
        add(database, [0.25, None, 0.75])
        row = read(database)
        assert plain(row) == (2, 1, 1.0, 0.625, 0.25, 0.75)
        assert row.histogram("toxicity") == Histogram.of([0.25, 0.75])

    def test_it_adds_to_what_is_there(self, database: Database) -> None:
        add(database, [0.25, None])
        add(database, [0.75])
        assert plain(read(database)) == plain(row_of([0.25, None, 0.75]))

    def test_it_keeps_a_row_of_nothing_assessed(self, database: Database) -> None:
        add(database, [None, None])
        row = read(database)
        assert plain(row) == (0, 2, 0.0, 0.0, None, None)
        assert row.histogram("toxicity").quantile(0.5) is None

    def test_it_keeps_minutes_segments_metrics_and_projects_apart(self, database: Database) -> None:
        keys = [
            KEY,
            RollupKey("default", 6, 1, "toxicity"),
            RollupKey("default", 5, 2, "toxicity"),
            RollupKey("default", 5, 1, "latency_ms"),
            RollupKey("other", 5, 1, "toxicity"),
        ]
        for key in keys:
            add(database, [0.5], key)
        assert read(database).n == 3
        assert read(database, last=5).n == 2
        assert read(database, first=6).n == 1
        assert read(database, metric="latency_ms").n == 1

    def test_it_puts_quantities_on_the_logarithmic_scale(self, database: Database) -> None:
        add(database, [100.0, 200.0, 400.0], RollupKey("default", 5, 1, "latency_ms"))
        assert read(database, "latency_ms").histogram("latency_ms").quantile(1.0) == pytest.approx(400.0, rel=0.25)

    def test_it_takes_more_keys_than_one_statement_can_hold(self, database: Database) -> None:
        with database.write() as tx:
            add_to_rollups(tx, [(RollupKey("default", minute, 1, "toxicity"), 0.5) for minute in range(450)])
        assert read(database, last=1000).n == 450

    def test_it_loses_nothing_when_writers_meet_in_one_row(self, database: Database) -> None:
        other = RollupKey("default", 5, 2, "toxicity")

        def write(turn: int) -> None:
            pairs = [(KEY, 0.5), (other, 0.5)]
            with database.write() as tx:
                add_to_rollups(tx, pairs if turn % 2 else reversed(pairs))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(24)))
        row = read(database)
        assert (row.n, row.histogram("toxicity").total) == (48, 48)

    def test_it_refuses_what_is_not_a_number_and_stores_nothing(self, database: Database) -> None:
        with pytest.raises(ValueError, match="finite"):
            add(database, [0.5, float("nan")])
        assert read(database).n == 0


class TestRollupRow:
    @given(VALUES)
    def test_it_holds_what_was_added(self, values: list[float | None]) -> None:
        known = [value for value in values if value is not None]
        row = row_of(values)
        assert (row.n, row.not_assessed) == (len(known), len(values) - len(known))
        assert (row.total, row.total_sq) == pytest.approx((sum(known), sum(value * value for value in known)))
        assert (row.minimum, row.maximum) == (min(known, default=None), max(known, default=None))
        assert row.histogram("toxicity") == Histogram.of(known)


class TestRebuildRollups:
    def test_it_arrives_where_adding_arrived(self, database: Database) -> None:
        values: list[float | None] = [0.1, None, 0.9]
        for number, value in enumerate(values, start=1):
            add_exchange(database, number, {"toxicity": value})
        add(database, values)
        before = read(database)
        with database.write() as tx:
            rebuild_rollups(tx, [("default", 5, 1), ("default", 5, 1)])
        assert plain(read(database)) == approximately(before)
        assert read(database).histogram("toxicity") == before.histogram("toxicity")

    def test_it_follows_a_changed_score(self, database: Database) -> None:
        add_exchange(database, 1, {"toxicity": 0.1})
        add(database, [0.1])
        with database.write() as tx:
            tx.execute(update(score).values(value=0.8))
            rebuild_rollups(tx, [("default", 5, 1)])
        assert plain(read(database)) == approximately(row_of([0.8]))

    def test_it_computes_the_quantities_of_the_spans_too(self, database: Database) -> None:
        add_exchange(database, 1, {})
        add_exchange(database, 2, {}, complete=False)
        with database.write() as tx:
            rebuild_rollups(tx, [("default", 5, 1)])
        latency, cost, tokens = (read(database, name) for name in ("latency_ms", "cost_usd", "input_tokens"))
        assert (latency.n, latency.not_assessed, latency.total) == (1, 1, 250.0)
        assert (cost.n, cost.not_assessed) == (0, 2)
        assert (tokens.n, tokens.total) == (2, 6.0)

    def test_it_removes_rows_that_have_lost_their_exchanges(self, database: Database) -> None:
        add(database, [0.5])
        with database.write() as tx:
            rebuild_rollups(tx, [("default", 5, 1)])
        assert read(database).n == 0

    def test_it_leaves_other_places_alone(self, database: Database) -> None:
        add(database, [0.5])
        with database.write() as tx:
            rebuild_rollups(tx, [("default", 6, 1), ("default", 5, 2), ("other", 5, 1)])
        assert read(database).n == 1


class TestSpanQuantities:
    ROW: ClassVar = {
        "start_ns": 1_000_000, "end_ns": 3_500_000, "complete": True, "ttft_ms": None, "cost_usd": 0.0,
        "input_tokens": 0, "output_tokens": None,
    }  # fmt: skip

    def test_it_tells_nothing_said_from_nothing_used(self) -> None:
        assert span_quantities(self.ROW) == {
            "latency_ms": 2.5,
            "ttft_ms": None,
            "cost_usd": 0.0,
            "input_tokens": 0.0,
            "output_tokens": None,
        }

    @pytest.mark.parametrize("change", [{"complete": False}, {"end_ns": 0}])
    def test_it_knows_no_latency_of_a_span_without_an_end(self, change: dict[str, object]) -> None:
        assert span_quantities({**self.ROW, **change})["latency_ms"] is None
