"""References that people choose, and reports that Evidently makes of what was compared."""

from __future__ import annotations

import importlib.util
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import orjson
import pytest
from sqlalchemy import select, update

from custodes.db import Database
from custodes.db.tables import (
    drift_episode,
    drift_fit,
    drift_monitor,
    drift_place,
    drift_reference,
    drift_report,
    embedding,
)
from custodes.kernel.clock import HOUR_NS, MINUTE_NS
from custodes.kernel.errors import UnavailableError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from custodes.runtime import drift_reports, report_process
from custodes.runtime.drift import DriftHook
from custodes.runtime.drift_reports import MakeReports
from custodes.runtime.drift_watch import DriftReport, WatchDrift
from custodes.runtime.evidently_batch import DriftReport as MadeReport
from custodes.runtime.store_outcomes import Pair
from policies.actors import Actor
from policies.drift_references import judge_reference, propose_reference
from policies.incident_store import list_incident_events, list_incidents


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


traffic = _load("drift_traffic")
NOW_NS, LEARN = traffic.NOW_NS, traffic.LEARN
make_pairs = traffic.make_pairs
METRICS = ("toxicity", "latency_ms", "response_chars")
Fold = Callable[..., None]


@pytest.fixture
def segment_id(database: Database) -> int:
    return int(traffic.segment_of(database))


@pytest.fixture
def fold(database: Database) -> Fold:
    hook = DriftHook(traffic.settings_of(metrics=METRICS), Metrics())

    def run(pairs: list[Pair], *, store: bool = True) -> None:
        if store:
            traffic.store_pairs(database, pairs)
        with database.write() as tx:
            hook(tx, pairs, NOW_NS)

    return run


@pytest.fixture
def watch(database: Database) -> WatchDrift:
    settings = Settings(drift=traffic.settings_of(metrics=METRICS))
    return WatchDrift(database, settings, lambda: NOW_NS, Metrics(), "watch")


@pytest.fixture
def changed(database: Database, fold: Fold, watch: WatchDrift, segment_id: int) -> int:
    """A place that learned, then changed for good and was told of it; gives its segment."""
    fold(make_pairs(1, LEARN, segment_id=segment_id, batch=1))
    watch.run_at(NOW_NS)
    fold(make_pairs(2, 200, segment_id=segment_id, batch=2, strange=True, slow=True, at_ns=NOW_NS + HOUR_NS))
    assert watch.run_at(NOW_NS).told == 2
    return segment_id


def accept(database: Database, source: dict[str, Any]) -> None:
    """Two people agree that this counts as usual."""
    with database.read() as tx:
        place = tx.execute(select(drift_place.c.id)).scalar_one()
    asks, agrees = Actor("key:one", "analyst"), Actor("key:two", "approver")
    given = {"exchanges": LEARN, **source}
    made, _ = propose_reference(database, "default", place, given, "as was announced", asks, NOW_NS)
    judge_reference(database, "default", made.id, "approved", "", agrees, NOW_NS, console_url="http://console")


def monitors(database: Database) -> dict[str, Any]:
    with database.read() as tx:
        return {row.name: row for row in tx.execute(select(drift_monitor))}


class TestChosenReference:
    def test_a_period_becomes_the_usual_and_the_same_traffic_is_quiet(
        self, database: Database, fold: Fold, watch: WatchDrift, changed: int
    ) -> None:
        accept(database, {"kind": "period", "from_ns": NOW_NS + HOUR_NS, "to_ns": NOW_NS + 2 * HOUR_NS})
        assert {row.state for row in monitors(database).values()} == {"learning"}
        assert watch.run_at(NOW_NS) == DriftReport(fitted=4)
        found = monitors(database)
        # The length of texts is not stored, so it is learned from the next exchanges.
        assert {name: row.state for name, row in found.items()} == {
            "prompt": "watching",
            "response": "watching",
            "toxicity": "watching",
            "latency_ms": "watching",
            "response_chars": "learning",
        }
        assert found["response"].learned == found["latency_ms"].learned == 200
        for batch in range(3, 6):
            more = make_pairs(batch, 200, segment_id=changed, batch=batch, strange=True, slow=True)
            fold(more, store=False)
        with database.read() as tx:
            assert set(tx.execute(select(drift_episode.c.ended_as)).scalars()) == {"expected"}
        assert {row.state for row in monitors(database).values()} == {"watching"}

    def test_what_was_usual_before_is_a_change_then(
        self, database: Database, fold: Fold, watch: WatchDrift, changed: int
    ) -> None:
        accept(database, {"kind": "period", "from_ns": NOW_NS + HOUR_NS, "to_ns": NOW_NS + 2 * HOUR_NS})
        watch.run_at(NOW_NS)
        fold(make_pairs(3, 200, segment_id=changed, batch=3))
        watch.run_at(NOW_NS)
        with database.read() as tx:
            standing = drift_episode.c.ended_ns.is_(None)
            joined = drift_monitor.join(drift_episode, drift_episode.c.monitor_id == drift_monitor.c.id)
            names = set(tx.execute(select(drift_monitor.c.name).select_from(joined).where(standing)).scalars())
        assert names == {"response", "latency_ms"}

    def test_a_pinned_data_set_is_taken_as_it_is(self, database: Database, watch: WatchDrift, changed: int) -> None:
        pinned = [200_000 + number for number in range(0, 200, 2)]
        accept(database, {"kind": "pinned", "spans": pinned})
        assert watch.run_at(NOW_NS).fitted == 4
        with database.read() as tx:
            newest = select(drift_reference.c.id).where(drift_reference.c.state == "active")
            rows = set(tx.execute(select(drift_fit.c.rows).where(
                drift_fit.c.reference_id == newest.scalar_subquery())).scalars())  # fmt: skip
        assert rows == {100}

    def test_embeddings_too_few_are_filled_up_from_traffic(
        self, database: Database, fold: Fold, watch: WatchDrift, changed: int
    ) -> None:
        with database.write() as tx:
            tx.execute(embedding.delete().where(embedding.c.span_id >= 200_040))
        accept(database, {"kind": "pinned", "spans": [200_000 + number for number in range(100)]})
        assert watch.run_at(NOW_NS).fitted == 2
        assert monitors(database)["response"].state == "learning"
        fold(make_pairs(3, 30, segment_id=changed, batch=3, strange=True))
        assert watch.run_at(NOW_NS).fitted == 0
        assert monitors(database)["response"].learned == 30

    def test_the_next_exchanges_become_the_usual(
        self, database: Database, fold: Fold, watch: WatchDrift, changed: int
    ) -> None:
        accept(database, {"kind": "first", "makers": []})
        fold(make_pairs(3, LEARN, segment_id=changed, batch=3, strange=True, slow=True))
        assert watch.run_at(NOW_NS).fitted == 2
        assert {row.state for row in monitors(database).values()} == {"watching"}

    def test_a_damaged_monitor_begins_anew(
        self, database: Database, fold: Fold, watch: WatchDrift, changed: int
    ) -> None:
        with database.write() as tx:
            tx.execute(update(drift_monitor).where(drift_monitor.c.name == "prompt").values(state="damaged"))
        accept(database, {"kind": "first", "makers": []})
        assert monitors(database)["prompt"].state == "learning"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestReports:
    @pytest.fixture
    def make(self, database: Database) -> Callable[..., int]:
        def run(now_ns: int = NOW_NS, **changes: Any) -> int:
            settings = Settings(drift=traffic.settings_of(metrics=METRICS, **changes))
            return MakeReports(database, settings, lambda: now_ns, "w1").run_at(now_ns)

        return run

    def request(self, database: Database, *, episode: bool = True) -> None:
        with database.write() as tx:
            found = tx.execute(select(drift_episode).join(
                drift_monitor, drift_monitor.c.id == drift_episode.c.monitor_id).where(
                drift_monitor.c.name == "response")).one()  # fmt: skip
            tx.execute(drift_report.insert().values(
                id="p1", project_id="default", monitor_id=found.monitor_id, episode_id=found.id if episode else None,
                state="requested", requested_by="key:one", created_ns=NOW_NS,
            ))  # fmt: skip

    def reports(self, database: Database) -> list[Any]:
        with database.read() as tx:
            return list(tx.execute(select(drift_report).order_by(drift_report.c.created_ns)))

    def test_it_sets_the_reference_beside_what_came_since_the_onset(
        self, database: Database, changed: int, make: Callable[..., int]
    ) -> None:
        self.request(database)
        assert make(report_exchanges=64) == 1
        (made,) = self.reports(database)
        assert (made.state, made.rows_before, made.rows_since) == ("ready", 64, 64)
        assert b"<html" in zlib.decompress(made.html).lower()
        said = orjson.loads(zlib.decompress(made.body))
        assert {"latency_ms", "toxicity"} <= set(str(said).replace("'", " ").split())
        with database.read() as tx:
            (opened,) = list_incidents(tx, "default")
            last = list_incident_events(tx, opened.id)[-1]
        assert (last.kind, last.body["report_id"], last.body["monitor"]) == ("drift.report", "p1", "response")
        assert make() == 0

    def test_without_stored_exchanges_it_says_so(
        self, database: Database, changed: int, make: Callable[..., int]
    ) -> None:
        with database.write() as tx:
            tx.execute(embedding.delete())
        self.request(database)
        assert make() == 0
        (failed,) = self.reports(database)
        assert (failed.state, "only 0 exchanges of the reference are still stored" in failed.error) == ("failed", True)

    def test_on_schedule_it_makes_one_of_each_monitor_of_texts(
        self, database: Database, changed: int, make: Callable[..., int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(drift_reports, "make_report", lambda *_args: MadeReport("<html>", "{}"))
        assert make() == 0
        later = NOW_NS + 30 * MINUTE_NS
        assert make(later, report_every_h=1.0) == 2
        assert make(later + 30 * MINUTE_NS, report_every_h=1.0) == 0
        # Nothing has come since, so there is nothing new to report.
        assert make(later + 3 * HOUR_NS, report_every_h=1.0) == 0
        assert {(one.requested_by, one.state) for one in self.reports(database)} == {("schedule", "ready")}


class TestReportProcess:
    def test_where_it_cannot_start_it_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        with pytest.raises(UnavailableError, match="could not be made"):
            report_process.make_report(np.zeros((2, 2)), np.zeros((2, 2)), {}, {})
