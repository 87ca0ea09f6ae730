"""Ten thousand policies: lists come in pages, and no answer costs more statements for more of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import event

from custodes.db import Database
from custodes.db.tables import policy_state, policy_version
from custodes.kernel.clock import MINUTE_NS
from policies.conduct import Conduct
from policies.engine.state import GroupState, state_to_json
from policies.evaluate import VERSIONS_AT_ONCE, Evaluator
from tests.unit.collector.rest.test_policies import SOURCE

MANY = 10_000
START_NS = 29_000_000 * MINUTE_NS
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def store_policies(database: Database, count: int, first: int = 0) -> None:
    """Store active policies, each with a firing group and every tenth with a shadow version, as rows."""
    versions, states = [], []
    for number in range(first, first + count):
        name = f"p{number:05}"
        source = SOURCE.replace("id: tox", f"id: {name}")
        row = {"project_id": "default", "policy_id": name, "version": "sha256:a", "source": source}
        versions.append({**row, "state": "active", "author": "a", "created_ns": 1, "activated_ns": 1})
        if number % 10 == 0:
            versions.append({**row, "version": "sha256:b", "state": "shadow", "author": "a", "created_ns": 2})
        key = {"project_id": "default", "policy_id": name, "version": "sha256:a", "group_key": "{}"}
        states.append({**key, "state": "ok", "since_ns": 5, "body": state_to_json(GroupState())})
    with database.write() as tx:
        tx.execute_many(policy_version.insert(), [{"activated_ns": None, **row} for row in versions])
        tx.execute_many(policy_state.insert(), states)


@contextmanager
def count_statements(database: Database) -> Iterator[list[str]]:
    """Collect the statements that run meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engines = {id(one): one for one in (database.engine, database.writing_engine)}.values()
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


class TestLists:
    @pytest.fixture
    def many(self, server: Any) -> Any:
        store_policies(server.database, MANY)
        return server

    @on_sqlite
    def test_ten_thousand_policies_come_in_pages(self, many: Any) -> None:
        client = many.client("viewer")
        first = client.get("/api/v1/policies").json()
        assert (len(first["rows"]), first["rows"][0]["id"], first["rows"][-1]["id"]) == (50, "p00000", "p00049")
        assert first["totals"] == {"policies": MANY, "active": MANY, "in_review": MANY // 10}
        assert [row["in_review"] for row in first["rows"][:11]] == [1, *[0] * 9, 1]
        assert first["rows"][3]["groups"][0]["state"] == "ok"
        seen, cursor = [], None
        while True:
            query = {"limit": 500} | ({"cursor": cursor} if cursor else {})
            page = client.get("/api/v1/policies", params=query).json()
            seen += [row["id"] for row in page["rows"]]
            if (cursor := page["next_cursor"]) is None or len(seen) >= 2_000:
                break
        assert seen == [f"p{number:05}" for number in range(2_000)]
        last = client.get("/api/v1/policies", params={"q": "P0999", "limit": 10}).json()
        assert ([row["id"] for row in last["rows"]], last["next_cursor"]) == ([f"p0999{n}" for n in range(10)], None)
        assert client.get("/api/v1/policies", params={"q": "%"}).json()["rows"] == []
        assert client.get("/api/v1/policies", params={"cursor": "nonsense"}).status_code == 400
        assert client.get("/api/v1/policies", params={"limit": 501}).status_code == 400

    @on_sqlite
    def test_no_page_reads_more_for_more_policies_than_it_shows(self, many: Any) -> None:
        client = many.client("viewer")
        paths = ["policies", "policies/p05000", "policies/p05000/versions/sha256:a", "gates/bot-v7?policy=p05000"]
        for path in [*paths, "approvals"]:
            with count_statements(many.database) as statements:
                began = time.perf_counter()
                assert client.get(f"/api/v1/{path}").status_code == 200
                taken_s = time.perf_counter() - began
            assert len(statements) < 25, (path, len(statements))
            # A list of everything took a minute; a page takes some hundredths of a second.
            assert path == "approvals" or taken_s < 2.0, (path, taken_s)


@on_sqlite
class TestTick:
    def test_it_runs_a_few_statements_for_every_fifty_policies(self, database: Database) -> None:
        taken = []
        for count in (100, 200, 400):
            store_policies(database, count, first=count)
            evaluator = Evaluator(database, Conduct("http://console.example"))
            at_ns = START_NS + count * MINUTE_NS
            assert evaluator.tick(at_ns).policies == sum(one for one in (100, 200, 400) if one <= count) * 11 // 10
            with count_statements(database) as statements:
                evaluator.tick(at_ns + MINUTE_NS)
            taken.append(len(statements))
        growth = [later - earlier for earlier, later in pairwise(taken)]
        chunks = [count * 11 // 10 // VERSIONS_AT_ONCE for count in (200, 400)]
        assert all(more <= 12 * (many + 1) for more, many in zip(growth, chunks, strict=True)), (taken, growth)
