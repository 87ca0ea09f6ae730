"""Captured text is stored compressed and encrypted, comes back to its own place alone, and can be erased."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import func, insert, select, text

from collector.content import JSON, ZLIB, Contents, PackedContents, Unpacked, open_contents, span_aad
from collector.content.keys import DAY_NS, SUBJECT_KEY_AGE_NS
from custodes.db import Database, WriteTx
from custodes.db.tables import content_key, project
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import PrivacySettings, Settings

NOW_NS = 1_795_300_000_000_000_000
AAD = span_aad(b"t" * 16, b"s" * 8)
SECRET = "the treasure lies below the old oak"
BODY = orjson.dumps({"input_messages": [SECRET]})
ERASED, DAMAGED = Unpacked(None, "erased"), Unpacked(None, "damaged")

Opened = Callable[..., Contents]


@pytest.fixture
def time_ns() -> list[int]:
    return [NOW_NS]


@pytest.fixture
def opened(database: Database, tmp_path: Path, time_ns: list[int]) -> Opened:
    """Open contents as a process does; each call is a process of its own on the same database and key."""

    def make(**privacy: Any) -> Contents:
        settings = Settings(data_dir=tmp_path, privacy=PrivacySettings(**privacy))
        return open_contents(database, settings, Metrics(), lambda: time_ns[0])

    return make


def keep(database: Database, contents: Contents, packed: PackedContents) -> PackedContents:
    with database.write() as tx:
        contents.keep_keys(tx, packed)
    return packed


def read(database: Database, contents: Contents, packed: PackedContents, aad: bytes = AAD) -> list[Unpacked]:
    with database.read() as tx:
        return contents.unpack_each(tx, packed.project, [(*row, aad) for row in packed.rows])


def erase(database: Database, contents: Contents, subject: str) -> int:
    with database.write() as tx:
        return contents.destroy_subject_keys(tx, "default", subject)


def count_keys(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(content_key)).scalar_one())


class TestRoundTrip:
    def test_it_gives_back_what_was_packed_in_order(self, database: Database, opened: Opened) -> None:
        bodies = [(None if n % 3 else f"user {n}", AAD, orjson.dumps({"n": n, "pad": "x" * n * 40})) for n in range(20)]
        contents = opened()
        packed = keep(database, contents, contents.pack("default", bodies))
        found = read(database, opened(), packed)
        assert [one.content["n"] for one in found if one.content] == list(range(20))

    def test_unpack_gives_the_objects_alone(self, database: Database, opened: Opened) -> None:
        contents = opened()
        packed = keep(database, contents, contents.pack("default", [("ann", AAD, BODY)]))
        with database.read() as tx:
            assert contents.unpack(tx, "default", [(*packed.rows[0], AAD)]) == [orjson.loads(BODY)]

    def test_nothing_packs_to_nothing(self, database: Database, opened: Opened) -> None:
        contents = opened()
        assert keep(database, contents, contents.pack("default", [])).rows == []
        assert count_keys(database) == 0

    def test_the_text_is_not_in_the_rows_nor_in_any_representation(self, database: Database, opened: Opened) -> None:
        packed = opened().pack("default", [("ann", AAD, BODY)])
        assert packed.rows[0][1] is not None
        assert b"treasure" not in packed.rows[0][2]
        key = next(iter(packed.keys.values()))
        assert "wrapped" not in repr(key)
        assert "cipher" not in repr(key)

    def test_rows_of_earlier_releases_are_read(self, database: Database, opened: Opened) -> None:
        import zlib

        rows = [(JSON, None, b'{"a":1}', b""), (ZLIB, None, zlib.compress(b'{"a":2}'), b"")]
        with database.read() as tx:
            assert opened().unpack(tx, "default", rows) == [{"a": 1}, {"a": 2}]

    def test_without_encryption_rows_have_no_key(self, database: Database, opened: Opened, tmp_path: Path) -> None:
        contents = opened(encrypt=False)
        packed = keep(database, contents, contents.pack("default", [("ann", AAD, BODY)]))
        assert packed.rows[0][1] is None
        assert read(database, contents, packed) == [Unpacked(orjson.loads(BODY))]
        assert not (tmp_path / "content.key").exists()

    def test_encryption_can_be_switched_off_later(self, database: Database, opened: Opened) -> None:
        before = opened()
        packed = keep(database, before, before.pack("default", [("ann", AAD, BODY)]))
        assert read(database, opened(encrypt=False), packed) == [Unpacked(orjson.loads(BODY))]


class TestMasking:
    def test_what_is_stored_is_masked_and_counted(self, database: Database, tmp_path: Path) -> None:
        settings = Settings(data_dir=tmp_path, privacy=PrivacySettings(mask=("email", "ip")))
        metrics = Metrics()
        contents = open_contents(database, settings, metrics, lambda: NOW_NS)
        body = orjson.dumps({"attributes": {"to": "ann@example.org", "n": 1}, "status_message": "+49 30 1234567"})
        packed = keep(database, contents, contents.pack("default", [(None, AAD, body), (None, AAD, BODY)]))
        first, second = read(database, contents, packed)
        attributes = {"to": "[email]", "n": 1, "custodes.masked": {"email": 1}}
        assert first.content == {"attributes": attributes, "status_message": "+49 30 1234567"}
        assert second.content == orjson.loads(BODY)
        rendered = metrics.render().decode()
        assert 'custodes_content_masked_total{kind="email"} 1.0' in rendered
        assert 'kind="ip"' not in rendered

    def test_it_is_off_unless_asked_for(self, database: Database, opened: Opened) -> None:
        contents = opened()
        body = orjson.dumps({"status_message": "ann@example.org"})
        packed = keep(database, contents, contents.pack("default", [(None, AAD, body)]))
        assert read(database, contents, packed) == [Unpacked(orjson.loads(body))]


class TestPlaces:
    @pytest.mark.parametrize("aad", [b"", span_aad(b"t" * 16, b"x" * 8), AAD + b"\0"])
    def test_a_row_in_another_place_is_damaged(self, database: Database, opened: Opened, aad: bytes) -> None:
        contents = opened()
        packed = keep(database, contents, contents.pack("default", [("ann", AAD, BODY)]))
        assert read(database, contents, packed, aad) == [DAMAGED]

    def test_a_row_in_another_project_is_damaged(self, database: Database, opened: Opened) -> None:
        contents = opened()
        packed = keep(database, contents, contents.pack("default", [("ann", AAD, BODY)]))
        assert read(database, contents, replace(packed, project="other")) == [DAMAGED]

    def test_a_key_moved_to_another_project_opens_nothing(self, database: Database, opened: Opened) -> None:
        contents = opened()
        packed = keep(database, contents, contents.pack("default", [("ann", AAD, BODY)]))
        with database.write() as tx:
            tx.execute(insert(project).values(id="other", created_ns=0))
            tx.execute(content_key.update().values(project_id="other"))
        assert read(database, contents, replace(packed, project="other")) == [DAMAGED]

    def test_every_changed_byte_is_noticed(self, database: Database, opened: Opened) -> None:
        contents = opened()
        packed = keep(database, contents, contents.pack("default", [("ann", AAD, BODY)]))
        codec, key_id, body = packed.rows[0]
        changed = [body[:n] + bytes([body[n] ^ 1]) + body[n + 1 :] for n in range(len(body))]
        packed.rows = [(codec, key_id, one) for one in [*changed, body[:-1], body[:5], b""]]
        packed.rows += [((codec + 1) % 4, key_id, body), (codec, b"k" * 16, body)]
        assert set(read(database, contents, packed)) == {DAMAGED}


class TestKeys:
    def test_a_person_has_one_key_and_another_person_another(self, database: Database, opened: Opened) -> None:
        contents = opened()
        packed = contents.pack("default", [(name, AAD, BODY) for name in ("ann", "bob", "ann", None, None)])
        ann, bob, again, nobody, still_nobody = (row[1] for row in packed.rows)
        assert (ann, nobody) == (again, still_nobody)
        assert len({ann, bob, nobody}) == 3
        keep(database, contents, packed)
        assert count_keys(database) == 3

    def test_another_process_finds_them(self, database: Database, opened: Opened) -> None:
        bodies = [("ann", AAD, BODY), (None, AAD, BODY)]
        first = opened()
        packed = keep(database, first, first.pack("default", bodies))
        again = opened().pack("default", bodies)
        assert [row[1] for row in again.rows] == [row[1] for row in packed.rows]
        assert [row[2] for row in again.rows] != [row[2] for row in packed.rows]

    def test_the_key_of_nobody_changes_with_the_day_and_that_of_a_person_after_thirty(
        self, database: Database, opened: Opened, time_ns: list[int]
    ) -> None:
        contents = opened()
        bodies = [("ann", AAD, BODY), (None, AAD, BODY)]

        def ids() -> list[bytes | None]:
            return [row[1] for row in keep(database, contents, contents.pack("default", bodies)).rows]

        ann, nobody = ids()
        time_ns[0] += DAY_NS
        assert ids()[0] == ann
        assert ids()[1] != nobody
        time_ns[0] = NOW_NS + SUBJECT_KEY_AGE_NS + 1
        assert ids()[0] != ann

    def test_a_key_that_was_used_often_enough_gets_a_successor(
        self, database: Database, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("collector.content.keys.MAX_USES", 5)
        contents = opened()
        bodies = [("ann", AAD, BODY)] * 3
        ids = [keep(database, contents, contents.pack("default", bodies)).rows[0][1] for _ in range(3)]
        assert len(set(ids)) == 3

    def test_a_rolled_back_key_is_stored_by_whoever_comes_next(self, database: Database, opened: Opened) -> None:
        contents = opened()
        packed = contents.pack("default", [("ann", AAD, BODY)])
        with database.engine.connect() as connection, connection.begin() as begun:
            contents.keep_keys(WriteTx(connection, database.dialect), packed)
            begun.rollback()
        later = contents.pack("default", [("ann", AAD, BODY)])
        assert later.rows[0][1] == packed.rows[0][1]
        keep(database, contents, later)
        assert read(database, contents, later) == [Unpacked(orjson.loads(BODY))]

    def test_the_subject_is_not_in_the_database(self, database: Database, opened: Opened) -> None:
        contents = opened()
        keep(database, contents, contents.pack("default", [("ann@example.org", AAD, BODY)]))
        with database.read() as tx:
            row = tx.execute(select(content_key)).one()
        assert b"ann" not in bytes(row.subject_digest) + bytes(row.wrapped_key) + bytes(row.id)

    def test_few_are_kept_at_hand(self, database: Database, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("collector.content.keys.MAX_CACHED", 4)
        contents = opened()
        packed = [keep(database, contents, contents.pack("default", [(f"u{n}", AAD, BODY)])) for n in range(9)]
        assert contents._ring is not None
        assert len(contents._ring._held) == 4
        again = contents.pack("default", [("u0", AAD, BODY)])
        assert again.rows[0][1] == packed[0].rows[0][1]


class TestErasure:
    def test_the_text_of_that_person_is_gone_and_the_rest_stays(self, database: Database, opened: Opened) -> None:
        contents, reader = opened(), opened()
        packed = keep(database, contents, contents.pack("default", [(who, AAD, BODY) for who in ("ann", "bob", None)]))
        assert [one.problem for one in read(database, reader, packed)] == [None] * 3
        assert erase(database, contents, "ann") == 1
        for process in (contents, reader, opened()):
            assert read(database, process, packed) == [ERASED, *[Unpacked(orjson.loads(BODY))] * 2]
        assert erase(database, contents, "ann") == 0

    def test_all_keys_of_the_person_go_whichever_process_made_them(self, database: Database, opened: Opened) -> None:
        first, second = opened(), opened()
        packed = [one.pack("default", [("ann", AAD, BODY)]) for one in (first, second)]
        for one, made in zip((first, second), packed, strict=True):
            keep(database, one, made)
        assert count_keys(database) == 2
        assert erase(database, first, "ann") == 2
        assert [read(database, second, made) for made in packed] == [[ERASED], [ERASED]]

    def test_nothing_is_stored_under_a_destroyed_key_that_is_still_at_hand(
        self, database: Database, opened: Opened
    ) -> None:
        contents, other = opened(), opened()
        bodies = [("ann", AAD, BODY), ("bob", AAD, BODY)]
        old = keep(database, contents, contents.pack("default", bodies))
        waiting = contents.pack("default", bodies)
        assert [row[1] for row in waiting.rows] == [row[1] for row in old.rows]
        erase(database, other, "ann")
        keep(database, contents, waiting)
        assert waiting.rows[0][1] != old.rows[0][1]
        assert waiting.rows[1] != old.rows[1]
        assert read(database, contents, waiting) == [Unpacked(orjson.loads(BODY))] * 2
        assert read(database, contents, old)[0] == ERASED
        assert contents.pack("default", bodies).rows[0][1] == waiting.rows[0][1]

    def test_a_successor_that_was_destroyed_too_is_not_used_either(self, database: Database, opened: Opened) -> None:
        contents, other = opened(), opened()
        bodies = [("ann", AAD, BODY)]
        keep(database, contents, contents.pack("default", bodies))
        waiting, stuck = contents.pack("default", bodies), contents.pack("default", bodies)
        erase(database, other, "ann")
        keep(database, contents, waiting)
        erase(database, other, "ann")
        with database.write() as tx:
            contents.keep_all_keys(tx, [stuck])
            rows = list(stuck.rows)
            contents.keep_all_keys(tx, [stuck])
            assert stuck.rows == rows
        assert read(database, contents, waiting) == [ERASED]
        assert read(database, contents, stuck) == [Unpacked(orjson.loads(BODY))]

    def test_storing_waits_for_an_erasure_that_is_under_way(self, database: Database, opened: Opened) -> None:
        contents, other = opened(), opened()
        bodies = [("ann", AAD, BODY)]
        keep(database, contents, contents.pack("default", bodies))
        waiting = contents.pack("default", bodies)
        begun = threading.Event()

        def store() -> None:
            begun.set()
            keep(database, contents, waiting)

        thread = threading.Thread(target=store)
        with database.write() as tx:
            assert other.destroy_subject_keys(tx, "default", "ann") == 1
            thread.start()
            assert begun.wait(10)
            thread.join(0.2)
            assert thread.is_alive()
        thread.join(30)
        assert read(database, contents, waiting) == [Unpacked(orjson.loads(BODY))]

    def test_a_person_of_another_project_keeps_theirs(self, database: Database, opened: Opened) -> None:
        with database.write() as tx:
            tx.execute(insert(project).values(id="other", created_ns=0))
        contents = opened()
        packed = keep(database, contents, contents.pack("other", [("ann", AAD, BODY)]))
        assert erase(database, contents, "ann") == 0
        assert read(database, contents, packed) == [Unpacked(orjson.loads(BODY))]

    def test_the_key_is_not_left_in_the_file(self, database: Database, opened: Opened, tmp_path: Path) -> None:
        if database.dialect != "sqlite":
            pytest.skip("PostgreSQL frees old row versions by vacuum")
        contents = opened()
        keep(database, contents, contents.pack("default", [(f"u{n}", AAD, BODY) for n in range(50)]))
        with database.read() as tx:
            wrapped = [bytes(one) for one in tx.execute(select(content_key.c.wrapped_key)).scalars()]
        for n in range(50):
            erase(database, contents, f"u{n}")
        with database.engine.connect() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("custodes.db*"))
        assert [one for one in wrapped if one in stored] == []
