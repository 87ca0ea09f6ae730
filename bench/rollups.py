"""What minute roll-ups cost to write, and what they save a chart over a week."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import insert, select

from bench.measurement import Measurement, median_seconds
from collector.rest.queries.rollup_sums import RollupSum, read_minutes
from custodes.db import Database, open_database
from custodes.db.migrate import upgrade
from custodes.db.rollups import RollupKey, add_to_rollups
from custodes.db.tables import score

WEEK_MINUTES = 7 * 24 * 60
SCORES_A_MINUTE = 20
METRICS = ("toxicity", "hallucination", "latency_ms")
BATCH = 512


def measure() -> list[Measurement]:
    """Return write and read times, and how much faster a week is read from roll-ups than from scores."""
    with _open_empty() as database:
        numbers = random.Random(7)
        writing = median_seconds(lambda: _write_batch(database, numbers))
        _fill_week(database, numbers)
        from_rollups = median_seconds(lambda: _read_week(database), repeats=3)
        from_scores = median_seconds(lambda: _scan_week(database), repeats=3)
    return [
        Measurement(f"add {BATCH} exchanges of {len(METRICS)} metrics", writing * 1e3, "ms"),
        Measurement("exchanges into roll-ups", BATCH / writing, "exchanges/s"),
        Measurement("p95 of a week from roll-ups", from_rollups * 1e3, "ms"),
        Measurement(f"p95 of a week from {WEEK_MINUTES * SCORES_A_MINUTE:,} scores", from_scores * 1e3, "ms"),
        Measurement("scores over roll-ups", from_scores / from_rollups, "×"),
    ]


@contextmanager
def _open_empty() -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'bench.db'}")
        try:
            upgrade(database)
            yield database
        finally:
            database.dispose()


def _write_batch(database: Database, numbers: random.Random) -> None:
    values = [
        (RollupKey("other", numbers.randrange(3), numbers.randrange(4), metric), numbers.random())
        for _ in range(BATCH)
        for metric in METRICS
    ]
    with database.write() as tx:
        add_to_rollups(tx, values)


def _fill_week(database: Database, numbers: random.Random) -> None:
    """One segment for a week: every score, and the roll-ups that belong to them."""
    for day in range(7):
        minutes = range(day * 1440, (day + 1) * 1440)
        drawn = [(minute, numbers.random()) for minute in minutes for _ in range(SCORES_A_MINUTE)]
        base = day * 1440 * SCORES_A_MINUTE
        with database.write() as tx:
            add_to_rollups(tx, [(RollupKey("default", minute, 1, "toxicity"), value) for minute, value in drawn])
            tx.execute_many(
                insert(score),
                [
                    {"span_id": base + n, "metric": "toxicity", "value": value, "state": "assessed", "detector_id": 1,
                     "scored_ns": minute}
                    for n, (minute, value) in enumerate(drawn, 1)
                ],
            )  # fmt: skip


def _read_week(database: Database) -> float | None:
    merged = RollupSum("toxicity")
    with database.read() as tx:
        for row in read_minutes(tx, "default", ["toxicity"], range(WEEK_MINUTES)):
            merged.add(row)
    return merged.quantile(0.95)


def _scan_week(database: Database) -> float:
    with database.read() as tx:
        found: Sequence[float] = tx.execute(select(score.c.value).where(score.c.metric == "toxicity")).scalars().all()
    return sorted(found)[int(0.95 * len(found))]
