"""API keys in the database."""

from __future__ import annotations

import orjson
import pytest
from sqlalchemy import select

from collector.auth.keys import hash_key, parse_key
from collector.auth.store import (
    USE_INTERVAL_NS,
    CreatedKey,
    create_key,
    ensure_first_admin_key,
    find_key,
    list_keys,
    revoke_key,
    touch_key,
)
from custodes.db import Database
from custodes.db.tables import api_key, audit_intake, project
from custodes.kernel.errors import ConflictError, NotFoundError

NOW_NS = 1_795_300_000_000_000_000


def create(database: Database, now_ns: int = NOW_NS, project_id: str = "default") -> CreatedKey:
    with database.write() as tx:
        return create_key(
            tx, project_id=project_id, role="viewer", actor="test", actor_role="admin", now_ns=now_ns, note="n"
        )


def events(database: Database) -> list[dict[str, object]]:
    with database.read() as tx:
        return [orjson.loads(body) for body in tx.execute(select(audit_intake.c.body)).scalars()]


class TestCreate:
    def test_it_keeps_the_hash_and_nowhere_the_text(self, database: Database) -> None:
        made = create(database)
        with database.read() as tx:
            row = tx.execute(select(api_key)).one()
        assert row.hash == hash_key(made.text)
        assert not any(isinstance(value, str) and made.text.split("_")[3] in value for value in row)

    def test_it_creates_a_project_it_does_not_know(self, database: Database) -> None:
        create(database, project_id="second")
        with database.read() as tx:
            assert set(tx.execute(select(project.c.id)).scalars()) == {"default", "second"}

    def test_it_leaves_an_audit_event_without_the_secret(self, database: Database) -> None:
        made = create(database)
        event = events(database)[0]
        assert (event["action"], event["object"]) == ("key.created", f"key/{made.record.id}")
        assert (event["actor"], event["role"], event["key_role"]) == ("test", "admin", "viewer")
        assert made.text.split("_")[3] not in orjson.dumps(event).decode()


class TestFindAndList:
    def test_it_finds_a_key_by_id(self, database: Database) -> None:
        made = create(database)
        with database.read() as tx:
            assert find_key(tx, made.record.id) == made.record
            assert find_key(tx, "00000000") is None

    def test_it_lists_the_newest_first_and_one_project_only(self, database: Database) -> None:
        first, second = create(database), create(database, NOW_NS + 1)
        create(database, project_id="second")
        with database.read() as tx:
            assert [one.id for one in list_keys(tx, "default")] == [second.record.id, first.record.id]
            assert len(list_keys(tx)) == 3


class TestRevoke:
    def revoke(self, database: Database, key_id: str, project_id: str | None = "default") -> None:
        with database.write() as tx:
            revoke_key(tx, key_id, project_id=project_id, actor="test", actor_role="admin", now_ns=NOW_NS + 5)

    def test_it_notes_the_time_and_leaves_an_audit_event(self, database: Database) -> None:
        made = create(database)
        self.revoke(database, made.record.id)
        with database.read() as tx:
            found = find_key(tx, made.record.id)
        assert found is not None
        assert found.revoked_ns == NOW_NS + 5
        assert events(database)[-1]["action"] == "key.revoked"

    def test_it_refuses_an_unknown_key_and_one_of_another_project(self, database: Database) -> None:
        made = create(database, project_id="second")
        for key_id in ("00000000", made.record.id):
            with pytest.raises(NotFoundError):
                self.revoke(database, key_id)
        self.revoke(database, made.record.id, None)

    def test_it_refuses_to_revoke_twice(self, database: Database) -> None:
        made = create(database)
        self.revoke(database, made.record.id)
        with pytest.raises(ConflictError, match="already"):
            self.revoke(database, made.record.id)


class TestTouch:
    def last_used(self, database: Database, key_id: str) -> int | None:
        with database.read() as tx:
            found = find_key(tx, key_id)
        assert found is not None
        return found.last_used_ns

    def test_it_writes_at_most_once_a_minute(self, database: Database) -> None:
        key_id = create(database).record.id
        expected = []
        for at_ns in (NOW_NS, NOW_NS + USE_INTERVAL_NS - 1, NOW_NS + USE_INTERVAL_NS):
            with database.write() as tx:
                touch_key(tx, key_id, at_ns)
            expected.append(self.last_used(database, key_id))
        assert expected == [NOW_NS, NOW_NS, NOW_NS + USE_INTERVAL_NS]


class TestFirstAdminKey:
    def test_it_is_made_once_and_never_again(self, database: Database) -> None:
        with database.write() as tx:
            text = ensure_first_admin_key(tx, now_ns=NOW_NS)
        assert text is not None
        assert parse_key(text).role == "admin"
        with database.write() as tx:
            assert ensure_first_admin_key(tx, now_ns=NOW_NS) is None

    def test_it_is_not_made_again_after_every_key_was_revoked(self, database: Database) -> None:
        made = create(database)
        with database.write() as tx:
            revoke_key(tx, made.record.id, project_id=None, actor="t", actor_role="", now_ns=NOW_NS)
            assert ensure_first_admin_key(tx, now_ns=NOW_NS) is None
