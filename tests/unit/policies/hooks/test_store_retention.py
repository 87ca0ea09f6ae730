"""Delivered messages go after a while, and only those that nobody may still ask for."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from custodes.db import Database
from custodes.db.tables import delivery_attempt, incident, outbox
from custodes.kernel.clock import DAY_NS
from custodes.kernel.settings_webhook import WebhookSettings
from custodes.runtime.tidying import LEASE, RemoveOldMessages
from policies.hooks.store_retention import remove_old_messages

NOW = 100 * DAY_NS


def add_incident(database: Database, name: str, state: str, lead_id: str | None = None) -> None:
    said = {"severity": "high", "state": state, "title": "t", "summary": "s", "opened_ns": 0, "lead_id": lead_id}
    place = {"project_id": "default", "policy_id": "p", "version": "v", "group_key": f'{{"n": "{name}"}}'}
    with database.write() as tx:
        tx.execute(incident.insert().values(id=name, **place, **said, updated_ns=0))


def add_message(database: Database, name: str, *, days: float, state: str = "delivered", **more: Any) -> None:
    """Store a message that came to its end so many days ago, with two attempts."""
    at_ns = NOW - int(days * DAY_NS)
    ends = {"next_attempt_ns": at_ns, "delivered_ns": at_ns if state == "delivered" else None, "created_ns": at_ns}
    row = {"project_id": "default", "endpoint_id": "oncall", "event_type": "x", "body": b"{}", "tries": 2}
    with database.write() as tx:
        tx.execute(outbox.insert().values(**{"id": name, **row, "state": state, **ends, **more}))
        for n in (1, 2):
            done = {"at_ns": at_ns, "outcome": "x", "duration_ms": 1.0, "detail": ""}
            tx.execute(delivery_attempt.insert().values(outbox_id=name, n=n, **done))


def left(database: Database) -> set[str]:
    """Return the messages that are left; each must have its attempts, and no attempt may be without one."""
    with database.read() as tx:
        names = set(tx.execute(select(outbox.c.id)).scalars())
        attempts = tx.execute(select(delivery_attempt.c.outbox_id)).scalars().all()
    assert set(attempts) == names
    assert len(attempts) == 2 * len(names)
    return names


def remove(database: Database, limit: int = 100) -> int:
    with database.write() as tx:
        return remove_old_messages(tx, NOW - 30 * DAY_NS, limit=limit)


class TestRemove:
    def test_it_removes_what_was_delivered_long_ago_with_its_attempts(self, database: Database) -> None:
        add_message(database, "old", days=31)
        add_message(database, "young", days=29)
        add_message(database, "dead", days=60, state="dead")
        add_message(database, "waiting", days=60, state="pending")
        assert remove(database) == 1
        assert left(database) == {"young", "dead", "waiting"}
        assert remove(database) == 0

    def test_it_keeps_what_an_open_incident_may_need(self, database: Database) -> None:
        for name, state in (("open", "new"), ("over", "resolved"), ("lead", "resolved")):
            add_incident(database, name, state)
            add_message(database, f"of-{name}", days=50, incident_id=name)
        add_incident(database, "follower", "acknowledged", lead_id="lead")
        assert remove(database) == 1
        assert left(database) == {"of-open", "of-lead"}

    @pytest.mark.parametrize("state", ["dead", "pending"])
    def test_it_keeps_the_line_of_a_message_that_may_be_sent_yet(self, database: Database, state: str) -> None:
        add_incident(database, "i", "resolved")
        add_message(database, "first", days=50, incident_id="i", state=state)
        add_message(database, "second", days=49, incident_id="i")
        add_message(database, "elsewhere", days=49, incident_id="i", endpoint_id="other")
        assert remove(database) == 1
        assert left(database) == {"first", "second"}

    def test_it_takes_no_more_at_once_than_it_is_told(self, database: Database) -> None:
        for number in range(5):
            add_message(database, f"m{number}", days=40 - number / 10)
        assert [remove(database, limit=2) for _ in range(4)] == [2, 2, 1, 0]


class TestJob:
    def test_one_process_removes_by_its_settings(self, database: Database) -> None:
        add_message(database, "old", days=8)
        settings = WebhookSettings(retention_days=10)
        RemoveOldMessages(database, settings, lambda: NOW, "one").run()
        assert left(database) == {"old"}
        shorter = WebhookSettings(retention_days=7)
        RemoveOldMessages(database, shorter, lambda: NOW, "another").run()
        assert left(database) == {"old"}, "the first process holds the lease"
        later = lambda: NOW + DAY_NS  # noqa: E731
        RemoveOldMessages(database, shorter, later, "another").run()
        assert left(database) == set()

    def test_it_goes_on_until_nothing_is_old(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("custodes.runtime.tidying._AT_ONCE", 2)
        for number in range(5):
            add_message(database, f"m{number}", days=40)
        RemoveOldMessages(database, WebhookSettings(), lambda: NOW, "one").run()
        assert left(database) == set()

    def test_the_default_is_thirty_days(self) -> None:
        assert WebhookSettings().retention_days == 30
        assert LEASE == "outbox-retention"
