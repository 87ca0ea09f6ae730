"""Signed heads of the audit log go to the endpoints that keep them, once for each size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from custodes.db import Database
from custodes.kernel.clock import SECOND_NS
from custodes.kernel.settings import Settings
from custodes.runtime.announcing import EVENT, AnnounceCheckpoints
from policies.audit.checkpoint import open_checkpoint
from policies.audit.intake import append_event
from policies.audit.keys import LogKey, load_or_create_key
from policies.audit.log import AuditLog
from policies.hooks.endpoint_store import Endpoint, disable_endpoint, insert_endpoint
from policies.hooks.store import OutboxMessage, list_messages

NOW = 1_800_000_000 * SECOND_NS
Announce = Callable[..., None]


@pytest.fixture
def key(tmp_path: Path) -> LogKey:
    return load_or_create_key(tmp_path)


@pytest.fixture
def log(database: Database, key: LogKey) -> AuditLog:
    log = AuditLog(database, key, lambda: NOW)
    log.verify_state()
    grow(database, log)
    return log


def grow(database: Database, log: AuditLog) -> None:
    said = {"action": "x", "actor": "a", "role": "r", "object": "o", "project": "default"}
    with database.write() as tx:
        append_event(tx, **said, data={}, at_ns=NOW)
    log.flush()


@pytest.fixture
def announce(database: Database, key: LogKey, log: AuditLog, tmp_path: Path) -> Announce:
    """Return a function that runs the job, as a process of that name and at that time."""
    with database.write() as tx:
        for project, name in (("default", "archive"), ("bank", "archive"), ("default", "oncall")):
            insert_endpoint(tx, Endpoint(project, name, "https://a.example/", None, "active", 0))

    def run(*names: str, owner: str = "one", at_ns: int = NOW) -> None:
        settings = Settings(data_dir=tmp_path, audit={"endpoints": names})
        AnnounceCheckpoints(database, settings, key, lambda: at_ns, owner).run()

    return run


def queued(database: Database, project: str = "default") -> list[OutboxMessage]:
    with database.read() as tx:
        return list_messages(tx, project)


class TestAnnounce:
    def test_it_sends_a_note_that_verifies_to_the_endpoints_that_are_named(
        self, database: Database, key: LogKey, announce: Announce
    ) -> None:
        announce("archive", "bank/archive")
        (message,) = queued(database)
        assert (message.endpoint_id, message.event_type, message.state) == ("archive", EVENT, "pending")
        assert [one.endpoint_id for one in queued(database, "bank")] == ["archive"]
        body = orjson.loads(message.body)
        assert body["type"] == "audit.checkpoint"
        data = body["data"]
        opened = open_checkpoint(data["note"].encode(), data["origin"], key.verifier)
        assert (opened.size, data["size"], data["key"]) == (1, 1, key.verifier.to_text())
        assert data["url"].endswith("/go?to=%2Faudit")

    def test_it_tells_each_size_once(self, database: Database, log: AuditLog, announce: Announce) -> None:
        announce("archive")
        announce("archive")
        assert len(queued(database)) == 1
        grow(database, log)
        announce("archive")
        assert sorted(orjson.loads(one.body)["data"]["size"] for one in queued(database)) == [1, 2]

    def test_it_tells_nobody_unless_asked(self, database: Database, announce: Announce) -> None:
        announce()
        assert queued(database) == []

    def test_one_process_does_it(self, database: Database, log: AuditLog, announce: Announce) -> None:
        announce("archive", owner="one")
        grow(database, log)
        announce("archive", owner="another")
        assert len(queued(database)) == 1
        announce("archive", owner="another", at_ns=NOW + 3600 * SECOND_NS)
        assert len(queued(database)) == 2

    def test_an_endpoint_that_is_missing_or_disabled_is_passed_over(
        self, database: Database, announce: Announce, caplog: pytest.LogCaptureFixture
    ) -> None:
        with database.write() as tx:
            disable_endpoint(tx, "default", "archive", "gone")
        announce("archive", "nobody", "oncall")
        assert [one.endpoint_id for one in queued(database)] == ["oncall"]
        assert caplog.text.count("no endpoint to send checkpoints to") == 2
