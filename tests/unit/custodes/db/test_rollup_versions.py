"""What roll-ups said at each evaluation can be read afterwards, whatever has changed since."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import select

from custodes.db import Database
from custodes.db.rollup_versions import PolicyClock, advance_policy_clock, enter_scoring, read_policy_clock
from custodes.db.rollups import RollupKey, add_to_rollups
from custodes.db.tables import rollup_version
from custodes.kernel.clock import MINUTE_NS
from policies.engine.window import Need, Row
from policies.rollup_store import read_changes, read_rows_as_of, read_versions

NEED = Need(total=True, maximum=True, histogram=True)
METRIC = "toxicity"


def tick(database: Database, minute: int, reach: int = 10) -> None:
    with database.write() as tx:
        advance_policy_clock(tx, minute, reach)


def add(database: Database, minute: int, values: Sequence[float | None], segment: int = 1) -> None:
    with database.write() as tx:
        enter_scoring(tx, 0)
        add_to_rollups(tx, [(RollupKey("default", minute, segment, METRIC), value) for value in values])


def kept(database: Database) -> list[tuple[int, int, int]]:
    """Return minute, until which evaluation it was so, and how many values there were."""
    columns = rollup_version.c
    with database.read() as tx:
        rows = tx.execute(select(rollup_version).order_by(columns.minute, columns.until_minute))
        return [(row.minute, row.until_minute, row.n) for row in rows]


def read_as_of(database: Database, minute: int, first: int, last: int) -> dict[tuple[int, int], Row]:
    """Return the rows of the minutes in [first, last) that count something, as of an evaluation."""
    place = ("default", METRIC, first, last)
    with database.read() as tx, closing(read_rows_as_of(tx, *place, NEED, minute=minute)) as rows:
        return {(at, segment): row for at, segment, row in rows if row.n or row.not_assessed}


class TestClock:
    def test_it_is_unknown_before_the_first_evaluation(self, database: Database) -> None:
        with database.write() as tx:
            assert read_policy_clock(tx) is None
            assert enter_scoring(tx, 123) == 123

    def test_it_never_goes_back_and_keeps_the_longest_reach(self, database: Database) -> None:
        for minute, reach in ((50, 10), (52, 5), (51, 30), (52, 30)):
            tick(database, minute, reach)
        with database.read() as tx:
            assert read_policy_clock(tx) == PolicyClock(first_minute=50, minute=52, reach=30)

    def test_scoring_is_never_earlier_than_the_last_evaluation(self, database: Database) -> None:
        tick(database, 50)
        with database.write() as tx:
            assert enter_scoring(tx, 49 * MINUTE_NS) == 50 * MINUTE_NS
            assert enter_scoring(tx, 50 * MINUTE_NS + 7) == 50 * MINUTE_NS + 7


class TestKeep:
    def test_nothing_is_kept_before_policies_are_evaluated(self, database: Database) -> None:
        add(database, 5, [0.5])
        add(database, 5, [0.6])
        assert kept(database) == []

    def test_a_row_keeps_what_an_evaluation_saw_and_nothing_twice(self, database: Database) -> None:
        add(database, 49, [0.1, 0.2])
        tick(database, 50)
        add(database, 49, [0.9])
        add(database, 49, [0.9])
        assert kept(database) == [(49, 50, 2)]
        tick(database, 51)
        add(database, 49, [0.9])
        assert kept(database) == [(49, 50, 2), (49, 51, 4)]

    def test_a_row_that_was_not_there_is_kept_as_empty(self, database: Database) -> None:
        tick(database, 50)
        add(database, 49, [0.9])
        assert kept(database) == [(49, 50, 0)]
        assert read_as_of(database, 50, 40, 50) == {}
        assert read_as_of(database, 51, 41, 51).keys() == {(49, 1)}

    @pytest.mark.parametrize(("minute", "is_kept"), [(51, False), (50, False), (49, True), (40, True), (39, False)])
    def test_only_rows_that_some_window_held_are_kept(self, database: Database, minute: int, is_kept: bool) -> None:
        tick(database, 50, reach=10)
        add(database, minute, [0.5])
        assert bool(kept(database)) is is_kept

    def test_versions_tell_projects_and_metrics_apart(self, database: Database) -> None:
        tick(database, 50)
        with database.write() as tx:
            for project, metric in (("default", "refusal"), ("other", METRIC)):
                add_to_rollups(tx, [(RollupKey(project, 49, 1, metric), 0.5)])
        with database.read() as tx:
            assert read_versions(tx, "default", METRIC, 0, 99, NEED, since=0).rows == {}
            assert read_versions(tx, "other", METRIC, 0, 99, NEED, since=0).rows.keys() == {(49, 1)}


class TestReading:
    @pytest.mark.parametrize("seed", range(4))
    def test_every_evaluation_can_be_read_again_as_it_was(self, database: Database, seed: int) -> None:
        numbers = random.Random(seed)
        seen: dict[int, dict[tuple[int, int], Row]] = {}
        for minute in range(100, 112):
            for _ in range(numbers.randint(0, 4)):
                late = numbers.choice((0, 0, 1, 3, 8, 20))
                values = [numbers.choice((None, round(numbers.random(), 3))) for _ in range(numbers.randint(1, 3))]
                add(database, minute - late, values, numbers.randint(1, 2))
            if numbers.random() < 0.8:
                tick(database, minute)
                seen[minute] = read_as_of(database, minute, minute - 10, minute)
        assert kept(database)
        for minute, expected in seen.items():
            assert read_as_of(database, minute, minute - 10, minute) == expected
        earlier, later = list(seen)[2], list(seen)[-1]
        changes: dict[int, int] = {1: 0, 2: 0}
        span = (later - 10, earlier)
        with database.read() as tx:
            for segment, former, present in read_changes(
                tx, "default", METRIC, *span, NEED, before=earlier, after=later
            ):
                changes[segment] += present.n - former.n
        for segment, more in changes.items():
            before, after = (
                sum(row.n for (_, one), row in read_as_of(database, at, *span).items() if one == segment)
                for at in (earlier, later)
            )
            assert after - before == more

    @pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
    def test_an_evaluation_waits_for_scoring_that_began_before_it(self, database: Database) -> None:
        add(database, 49, [0.1])
        with ThreadPoolExecutor(1) as pool:
            with database.write() as tx:
                enter_scoring(tx, 0)
                waiting = pool.submit(tick, database, 50)
                add_to_rollups(tx, [(RollupKey("default", 49, 1, METRIC), 0.9)])
                with pytest.raises(TimeoutError):
                    waiting.result(timeout=0.3)
            waiting.result(timeout=20)
        assert kept(database) == []
        assert read_as_of(database, 50, 40, 50)[49, 1].n == 2
