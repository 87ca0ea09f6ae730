"""Many rows with few statements: the same result as one by one, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from custodes.db import Database
from custodes.db.tables import content_block, ledger_minute
from custodes.kernel.errors import ConflictError, CustodesError

COLUMNS = ("id", "codec", "key_id", "body")
LEDGER = ("project_id", "minute", "service", "kind", "reason", "n")
ADD = """ON CONFLICT (project_id, minute, service, kind, reason) DO UPDATE SET n = ledger_minute.n + excluded.n"""
SIZES = [0, 1, 3, 5, 23, 24, 31, 33, 300, 1_000]


def contents(count: int, start: int = 1) -> list[tuple[Any, ...]]:
    return [(n, n % 4, None if n % 2 else bytes([n % 256]) * 16, b"body %d" % n) for n in range(start, start + count)]


def stored(database: Database) -> list[tuple[Any, ...]]:
    with database.read() as tx:
        rows = tx.execute(select(*(content_block.c[name] for name in COLUMNS)).order_by(content_block.c.id))
        return [tuple(row) for row in rows]


class TestInsert:
    @pytest.mark.parametrize("count", SIZES)
    def test_every_row_is_stored_as_given(self, database: Database, count: int) -> None:
        with database.write() as tx:
            assert tx.bulk_insert(content_block, COLUMNS, contents(count)) == count
        assert stored(database) == contents(count)

    @pytest.mark.parametrize("count", [1, 5, 300])
    def test_a_row_that_exists_is_a_conflict_and_nothing_is_kept(self, database: Database, count: int) -> None:
        with database.write() as tx:
            tx.bulk_insert(content_block, COLUMNS, contents(1, start=count))
        with pytest.raises(ConflictError) as raised, database.write() as tx:
            tx.bulk_insert(content_block, COLUMNS, contents(count))
        assert "body" not in str(raised.value)
        assert stored(database) == contents(1, start=count)

    @pytest.mark.parametrize("count", [1, 300])
    def test_a_value_that_does_not_fit_is_an_error_of_ours_that_does_not_quote_it(
        self, database: Database, count: int
    ) -> None:
        rows = [("default", n, "secret \x00 service", "stored", "x", 1) for n in range(count)]
        if database.dialect == "sqlite":
            pytest.skip("SQLite stores text with NUL")
        with pytest.raises(CustodesError) as raised, database.write() as tx:
            tx.bulk_insert(ledger_minute, LEDGER, rows)
        assert "secret" not in str(raised.value)


class TestConflicts:
    @pytest.mark.parametrize("count", SIZES)
    def test_what_exists_is_skipped_and_not_counted(self, database: Database, count: int) -> None:
        with database.write() as tx:
            tx.bulk_insert(content_block, COLUMNS, [(n, 9, None, b"first") for n in range(2, count + 1, 3)])
        known = len(range(2, count + 1, 3))
        with database.write() as tx:
            skip = "ON CONFLICT (id) DO NOTHING"
            assert tx.bulk_insert(content_block, COLUMNS, contents(count), on_conflict=skip) == count - known
        assert len(stored(database)) == count
        assert sum(row[3] == b"first" for row in stored(database)) == known

    @pytest.mark.parametrize("count", SIZES)
    def test_what_exists_is_changed_as_told(self, database: Database, count: int) -> None:
        rows = [("default", n, "s", "stored", "", 2) for n in range(count)]
        for _ in range(3):
            with database.write() as tx:
                assert tx.bulk_insert(ledger_minute, LEDGER, rows, on_conflict=ADD) == count
        with database.read() as tx:
            assert sorted(tx.execute(select(ledger_minute.c.n)).scalars()) == [6] * count

    def test_two_calls_in_one_transaction_do_not_mix(self, database: Database) -> None:
        skip = "ON CONFLICT (id) DO NOTHING"
        with database.write() as tx:
            assert tx.bulk_insert(content_block, COLUMNS, contents(100), on_conflict=skip) == 100
            assert tx.bulk_insert(content_block, COLUMNS, contents(100, start=51), on_conflict=skip) == 50
        assert stored(database) == contents(150)

    def test_after_a_failed_transaction_the_connection_still_works(self, database: Database) -> None:
        skip = "ON CONFLICT (id) DO NOTHING"
        twice = [*contents(100), *contents(100)]
        with pytest.raises(ConflictError), database.write() as tx:
            tx.bulk_insert(content_block, COLUMNS, twice)
        with database.write() as tx:
            assert tx.bulk_insert(content_block, COLUMNS, contents(100), on_conflict=skip) == 100
        assert stored(database) == contents(100)
