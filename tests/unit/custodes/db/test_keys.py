"""Many rows are found by keys of several columns through an index, on SQLite too."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Table, insert, select
from sqlalchemy.dialects import sqlite

from custodes.db import Database
from custodes.db.keys import is_one_of
from custodes.db.tables import policy_state, policy_version, rollup_minute, span

CASES: list[tuple[Table, tuple[str, ...], tuple[Any, ...]]] = [
    (policy_state, ("project_id", "policy_id", "version"), ("default", "p", "v")),
    (policy_version, ("project_id", "policy_id", "version"), ("default", "p", "v")),
    (rollup_minute, ("project_id", "minute", "segment_id", "metric"), ("default", 5, 1, "toxicity")),
    (span, ("project_id", "trace_id", "span_id"), ("default", b"t" * 16, b"s" * 8)),
    (span, ("project_id", "trace_id"), ("default", b"t" * 16)),
]


class TestIsOneOf:
    @pytest.mark.parametrize(("table", "names", "key"), CASES, ids=lambda one: getattr(one, "name", None))
    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_sqlite_searches_and_reads_no_whole_table(
        self, database: Database, table: Table, names: tuple[str, ...], key: tuple[Any, ...]
    ) -> None:
        columns = [table.c[name] for name in names]
        statement = select(table).where(is_one_of(columns, [key] * 50)).order_by(*columns)
        compiled = statement.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True})
        with database.read() as tx:
            raw = tx._connection.exec_driver_sql
            values = tuple(compiled.params[name] for name in compiled.positiontup or ())
            plan = [row[3] for row in raw(f"EXPLAIN QUERY PLAN {compiled}", values)]
        assert [step for step in plan if step.startswith(f"SCAN {table.name}")] == []
        assert any(step.startswith(f"SEARCH {table.name} USING INDEX") for step in plan)

    def test_it_finds_exactly_the_keys(self, database: Database) -> None:
        rows = [(policy, version) for policy in "abc" for version in ("v1", "v2", "v3")]
        body = {"project_id": "default", "source": "", "state": "draft", "author": "a", "created_ns": 0}
        with database.write() as tx:
            tx.execute_many(insert(policy_version), [{**body, "policy_id": p, "version": v} for p, v in rows])
        c = policy_version.c
        wanted = [("default", "a", "v1"), ("default", "b", "v3"), ("default", "c", "v9"), ("other", "a", "v2")]
        with database.read() as tx:
            found = tx.execute(
                select(c.policy_id, c.version).where(is_one_of((c.project_id, c.policy_id, c.version), wanted))
            )
            assert sorted(map(tuple, found)) == [("a", "v1"), ("b", "v3")]
