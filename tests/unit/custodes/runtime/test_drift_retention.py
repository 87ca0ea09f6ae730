"""What the drift monitors leave behind is forgotten after a time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from custodes.db import Database
from custodes.db.tables import drift_episode, drift_fit, drift_monitor, drift_point, drift_reference, drift_report
from custodes.kernel.clock import DAY_NS, MINUTE_NS, ns_to_minute
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from custodes.kernel.settings_drift import DriftSettings
from custodes.runtime.drift_watch import WatchDrift
from custodes.runtime.store_drift_retention import MOST_MINUTES, delete_course

NOW_NS = 1_795_000_000 * 10**9
PROJECT = {"project_id": "default"}


def counts(database: Database) -> dict[str, int]:
    tables = (drift_point, drift_episode, drift_report, drift_fit, drift_reference)
    with database.read() as tx:
        return {one.name: int(tx.execute(select(func.count()).select_from(one)).scalar_one()) for one in tables}


def add(database: Database, table: Any, **values: Any) -> None:
    with database.write() as tx:
        tx.execute(table.insert().values(**values))


def add_point(database: Database, monitor: int, minute: int) -> None:
    add(database, drift_point, monitor_id=monitor, minute=minute, **PROJECT, seen=1, statistic=0.0, threshold=1.0,
        alarms=0)  # fmt: skip


def add_reference(database: Database, name: str, version: int, state: str) -> None:
    add(database, drift_reference, id=name, **PROJECT, place_id=1, version=version, state=state, source=b"{}",
        reason="because", requested_by="ann", created_ns=NOW_NS)  # fmt: skip
    add(database, drift_fit, reference_id=name, name="prompt", maker="e", body=b"", digest="", rows=0, spans=b"",
        at_ns=NOW_NS)  # fmt: skip


def add_episode(database: Database, name: str, *, reference: str, ended_ns: int | None) -> None:
    add(database, drift_episode, id=name, **PROJECT, place_id=1, monitor_id=1, reference_id=reference, at_number=5,
        onset_number=3, last_number=5, at_ns=NOW_NS, last_ns=NOW_NS, repeats=0, statistic=9.0, threshold=8.0,
        view="cells", told_ns=NOW_NS, ended_ns=ended_ns)  # fmt: skip


def add_monitor(database: Database, reference: str) -> None:
    add(database, drift_monitor, id=1, **PROJECT, place_id=1, name="prompt", maker="e", reference_id=reference,
        state="damaged", first_number=0, learned=0, seen=0, statistic=0.0, threshold=1.0, mark=b"m" * 16,
        began_ns=NOW_NS, updated_ns=NOW_NS)  # fmt: skip


class TestForgetting:
    def test_what_is_older_than_is_kept_goes_and_what_holds_stays(self, database: Database) -> None:
        add_reference(database, "replaced", 1, "superseded")
        add_reference(database, "used", 2, "superseded")
        add_reference(database, "present", 3, "active")
        add_monitor(database, "used")
        add_episode(database, "over", reference="replaced", ended_ns=NOW_NS)
        add_point(database, 1, ns_to_minute(NOW_NS))
        add(database, drift_report, id="r", **PROJECT, monitor_id=1, state="failed", requested_by="ann",
            created_ns=NOW_NS)  # fmt: skip
        before = counts(database)
        settings = Settings(drift=DriftSettings(keep_days=30))
        watch = WatchDrift(database, settings, lambda: NOW_NS, Metrics(), "watch")
        watch.run_at(NOW_NS + 30 * DAY_NS)
        assert counts(database) == before
        # Within the hour nobody looks again.
        watch.run_at(NOW_NS + 30 * DAY_NS + 2 * MINUTE_NS)
        assert counts(database) == before
        watch.run_at(NOW_NS + 31 * DAY_NS)
        assert counts(database) == {
            "drift_point": 0, "drift_episode": 0, "drift_report": 0, "drift_fit": 2, "drift_reference": 3,
        }  # fmt: skip

    def test_what_standing_drift_was_compared_with_stays(self, database: Database) -> None:
        add_reference(database, "replaced", 1, "superseded")
        add_monitor(database, "another")
        # Its place has seen nothing since, so it is not over.
        add_episode(database, "standing", reference="replaced", ended_ns=None)
        settings = Settings(drift=DriftSettings(keep_days=30))
        WatchDrift(database, settings, lambda: NOW_NS, Metrics(), "watch").run_at(NOW_NS + 90 * DAY_NS)
        assert (counts(database)["drift_fit"], counts(database)["drift_episode"]) == (1, 1)

    def test_a_course_is_forgotten_thirty_days_at_a_time(self, database: Database) -> None:
        for minute in range(0, 4 * MOST_MINUTES, MOST_MINUTES // 2):
            add_point(database, 1, minute)
        gone = []
        for _ in range(4):
            with database.write() as tx:
                gone.append(delete_course(tx, 1, 2 * MOST_MINUTES + 1))
        assert gone == [2, 2, 1, 0]
