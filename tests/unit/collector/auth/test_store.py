"""API keys in the database."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from sqlalchemy import select

from collector.auth.keys import hash_key, parse_key
from collector.auth.store import (
    MAX_OVERLAP_NS,
    USE_INTERVAL_NS,
    CreatedKey,
    KeyLimits,
    KeyRecord,
    RotatedKey,
    create_key,
    ensure_first_admin_key,
    find_key,
    list_keys,
    revoke_key,
    rotate_key,
    touch_key,
)
from custodes.db import Database
from custodes.db.tables import api_key, audit_intake, project
from custodes.kernel.clock import DAY_NS, HOUR_NS, ns_to_rfc3339
from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError

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


class TestRotate:
    def rotate(self, database: Database, key_id: str, overlap_ns: int = DAY_NS, **more: Any) -> RotatedKey:
        place: dict[str, Any] = {"project_id": "default", "now_ns": NOW_NS + 5, **more}
        with database.write() as tx:
            return rotate_key(tx, key_id, overlap_ns=overlap_ns, actor="test", actor_role="admin", **place)

    def stored(self, database: Database, key_id: str) -> KeyRecord:
        with database.read() as tx:
            found = find_key(tx, key_id)
        assert found is not None
        return found

    def test_the_successor_is_like_the_old_one_which_ends_after_the_overlap(self, database: Database) -> None:
        with database.write() as tx:
            old = create_key(
                tx,
                project_id="default",
                role="ingester",
                actor="t",
                actor_role="",
                now_ns=NOW_NS,
                note="shop",
                limits=KeyLimits(10.0, 2),
            ).record
        made = self.rotate(database, old.id)
        fresh = self.stored(database, made.record.id)
        assert fresh == made.record
        assert (fresh.role, fresh.project, fresh.note, fresh.limits) == (
            "ingester",
            "default",
            "shop",
            KeyLimits(10, 2),
        )
        assert (fresh.created_ns, fresh.expires_ns, fresh.hash) == (NOW_NS + 5, None, hash_key(made.text))
        assert self.stored(database, old.id) == made.old
        assert made.old.expires_ns == NOW_NS + 5 + DAY_NS

    def test_the_old_one_never_lives_longer_and_the_successor_as_long_again(self, database: Database) -> None:
        with database.write() as tx:
            old = create_key(
                tx,
                project_id="default",
                role="viewer",
                actor="t",
                actor_role="",
                now_ns=NOW_NS,
                expires_ns=NOW_NS + HOUR_NS,
            ).record
        made = self.rotate(database, old.id)
        assert made.old.expires_ns == NOW_NS + HOUR_NS
        assert made.record.expires_ns == NOW_NS + 5 + HOUR_NS

    def test_a_second_rotation_is_refused_and_names_the_successor(self, database: Database) -> None:
        old = create(database).record
        made = self.rotate(database, old.id)
        assert self.stored(database, old.id).replaced_by == made.record.id
        with pytest.raises(ConflictError, match=made.record.id):
            self.rotate(database, old.id)
        assert self.rotate(database, made.record.id).record.expires_ns is None

    def test_without_overlap_the_old_one_ends_now(self, database: Database) -> None:
        old = create(database).record
        assert self.rotate(database, old.id, 0).old.expires_ns == NOW_NS + 5

    def test_it_leaves_one_audit_event_that_names_both_and_no_secret(self, database: Database) -> None:
        old = create(database).record
        made = self.rotate(database, old.id)
        event = events(database)[-1]
        assert (event["action"], event["object"], event["successor"]) == (
            "key.rotated",
            f"key/{old.id}",
            made.record.id,
        )
        assert event["old_expires"] == ns_to_rfc3339(NOW_NS + 5 + DAY_NS)
        assert made.text.split("_")[3] not in orjson.dumps(event).decode()

    def test_a_key_that_is_revoked_expired_unknown_or_elsewhere_cannot_be_rotated(self, database: Database) -> None:
        made = create(database)
        with pytest.raises(NotFoundError):
            self.rotate(database, "00000000")
        with pytest.raises(NotFoundError):
            self.rotate(database, made.record.id, project_id="second")
        self.rotate(database, made.record.id, 0)
        with pytest.raises(ConflictError, match="expired"):
            self.rotate(database, made.record.id)
        with database.write() as tx:
            revoke_key(tx, made.record.id, project_id=None, actor="t", actor_role="", now_ns=NOW_NS)
        with pytest.raises(ConflictError, match="revoked"):
            self.rotate(database, made.record.id)

    @pytest.mark.parametrize("overlap_ns", [-1, MAX_OVERLAP_NS + 1])
    def test_an_overlap_out_of_bounds_is_refused(self, database: Database, overlap_ns: int) -> None:
        made = create(database)
        with pytest.raises(InvalidInputError, match="overlap"):
            self.rotate(database, made.record.id, overlap_ns)
        assert self.stored(database, made.record.id).expires_ns is None


class TestLimits:
    @pytest.mark.parametrize(
        ("rate", "concurrent"),
        [(0, None), (-1, None), (float("nan"), None), (float("inf"), None), (None, 0), (None, -3)],
    )
    def test_limits_that_let_nothing_through_are_refused(self, rate: float | None, concurrent: int | None) -> None:
        with pytest.raises(InvalidInputError):
            KeyLimits(rate, concurrent)

    def test_they_are_stored_and_in_the_audit_event(self, database: Database) -> None:
        with database.write() as tx:
            made = create_key(
                tx,
                project_id="default",
                role="ingester",
                actor="t",
                actor_role="",
                now_ns=NOW_NS,
                limits=KeyLimits(max_concurrent=4),
            )
        with database.read() as tx:
            found = find_key(tx, made.record.id)
        assert found is not None
        assert found.limits == KeyLimits(None, 4)
        assert events(database)[-1]["max_concurrent"] == 4
        assert "max_spans_per_s" not in events(database)[-1]


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
