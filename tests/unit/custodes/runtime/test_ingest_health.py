"""A project's endpoints hear of refused spans and of exchanges that wait, once an hour for each cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import insert

from custodes.db import Database
from custodes.db.tables import ingest_batch, ledger_minute, project
from custodes.kernel.clock import MINUTE_NS, SECOND_NS
from custodes.kernel.settings import Settings
from custodes.runtime.ingest_health import EVENT, WINDOW_MINUTES, WatchIngest
from policies.hooks.endpoint_store import Endpoint, disable_endpoint, insert_endpoint
from policies.hooks.store import list_messages

NOW = 30_000_000 * MINUTE_NS + 20 * SECOND_NS
MINUTE = 30_000_000
Watch = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def watch(database: Database, tmp_path: Path) -> Watch:
    """Return a function that runs the job and gives the bodies of all messages queued so far, with their receivers."""
    with database.write() as tx:
        tx.execute(insert(project).values(id="bank", created_ns=0))
        for place, name in (("default", "oncall"), ("default", "archive"), ("bank", "oncall")):
            insert_endpoint(tx, Endpoint(place, name, "https://a.example/", None, "active", 0))

    def run(at_ns: int = NOW, owner: str = "one", **settings: Any) -> list[dict[str, Any]]:
        WatchIngest(database, Settings(data_dir=tmp_path, ingest=settings), lambda: at_ns, owner).run()
        with database.read() as tx:
            messages = [one for name in ("default", "bank") for one in list_messages(tx, name)]
        assert {one.event_type for one in messages} <= {EVENT}
        return [{"to": one.endpoint_id, **orjson.loads(one.body)["data"]} for one in messages]

    return run


def count(database: Database, received: int, rejected: int, minute: int = MINUTE - 1, place: str = "default") -> None:
    rows = [("received", "", received), ("stored", "", received - rejected), ("rejected", "too_deep", rejected)]
    with database.write() as tx:
        for kind, reason, n in rows:
            key = {"project_id": place, "minute": minute, "service": "bot", "kind": kind, "reason": reason}
            tx.execute(insert(ledger_minute).values(n=n, **key))


def wait_since(database: Database, received_ns: int, state: str = "ready", place: str = "default") -> None:
    values = {"project_id": place, "received_ns": received_ns, "spans": 1, "exchanges": 1, "state": state}
    with database.write() as tx:
        tx.execute(insert(ingest_batch).values(values))


class TestRefusals:
    def test_a_share_at_the_limit_is_told_with_its_reasons(self, database: Database, watch: Watch) -> None:
        count(database, 200, 10)
        first, second = sorted(watch(), key=lambda one: one["to"])
        assert (first["to"], second["to"]) == ("archive", "oncall")
        assert (first["project"], first["cause"], first["severity"]) == ("default", "rejected", "high")
        assert (first["received"], first["rejected"], first["rejected_share"]) == (200, 10, 0.05)
        assert first["reasons"] == {"too_deep": 10}
        assert "5% of 200 spans" in first["summary"]
        assert first["url"].endswith("/go?to=%2Fcoverage")

    @pytest.mark.parametrize(
        ("received", "rejected", "minute"),
        [
            (200, 9, MINUTE - 1),
            (99, 99, MINUTE - 1),
            (200, 200, MINUTE),
            (200, 200, MINUTE - 1 - WINDOW_MINUTES),
        ],
    )
    def test_fewer_or_other_minutes_are_not(
        self, database: Database, watch: Watch, received: int, rejected: int, minute: int
    ) -> None:
        count(database, received, rejected, minute)
        assert watch() == []

    def test_each_project_is_judged_by_itself(self, database: Database, watch: Watch) -> None:
        count(database, 1_000, 0)
        count(database, 100, 50, place="bank")
        assert [(one["to"], one["project"]) for one in watch()] == [("oncall", "bank")]


class TestWaiting:
    @pytest.mark.parametrize(("state", "told"), [("ready", 2), ("leased", 2), ("done", 0), ("failed", 0)])
    def test_what_waits_too_long_is_told(self, database: Database, watch: Watch, state: str, told: int) -> None:
        wait_since(database, NOW - 600 * SECOND_NS, state)
        wait_since(database, NOW - SECOND_NS)
        found = watch()
        assert [(one["cause"], one["lag_s"]) for one in found] == [("lag", 600.0)] * told

    def test_what_waits_less_is_not(self, database: Database, watch: Watch) -> None:
        wait_since(database, NOW - 599 * SECOND_NS)
        assert watch() == []


class TestTelling:
    def test_it_tells_once_an_hour(self, database: Database, watch: Watch) -> None:
        wait_since(database, NOW - 4_000 * SECOND_NS)
        assert len(watch()) == len(watch(at_ns=NOW + 60 * SECOND_NS)) == 2
        assert len(watch(at_ns=NOW + 3_600 * SECOND_NS)) == 4

    def test_one_process_does_it(self, database: Database, watch: Watch) -> None:
        assert watch(owner="one") == []
        wait_since(database, NOW - 4_000 * SECOND_NS)
        assert watch(owner="another") == []
        assert len(watch(owner="another", at_ns=NOW + 3_600 * SECOND_NS)) == 2

    def test_settings_choose_who_and_whether(self, database: Database, watch: Watch) -> None:
        count(database, 100, 50)
        wait_since(database, NOW - 4_000 * SECOND_NS)
        assert watch(degraded_share=0, degraded_lag_s=0) == []
        with database.write() as tx:
            disable_endpoint(tx, "default", "archive", "gone")
        assert {one["to"] for one in watch(degraded_endpoints=["archive", "oncall"])} == {"oncall"}
