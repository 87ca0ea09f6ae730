"""A log that runs: what it notices of changes under its feet, and what the signed mark beside the key adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, text, update

from custodes.db import WriteTx
from custodes.db.tables import audit_checkpoint, audit_head, audit_leaf, audit_tile
from policies.audit import store
from policies.audit.errors import LogKeyError, LogStateError
from policies.audit.keys import LogKey
from policies.audit.log import AuditLog
from policies.audit.merkle import EMPTY_ROOT, leaf_hash
from policies.audit.signed_mark import MARK_FILE, SignedMark

Bench = Any


def lift_guard(tx: WriteTx, table: str) -> None:
    """Remove the triggers that make a table append-only, as a hostile administrator can."""
    if tx.dialect == "postgresql":
        tx.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        return
    names = tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :t"), {"t": table})
    for name in names.scalars().all():
        tx.execute(text(f'DROP TRIGGER "{name}"'))


class TestRunningProcess:
    """A process that already signed does not believe the database either."""

    def restore(self, bench: Bench, size: int, frontier: bytes) -> None:
        with bench.database.write() as tx:
            lift_guard(tx, "audit_leaf")
            lift_guard(tx, "audit_checkpoint")
            tx.execute(delete(audit_leaf).where(audit_leaf.c.seq >= size))
            tx.execute(delete(audit_checkpoint).where(audit_checkpoint.c.size > size))
            tx.execute(update(audit_head).values(size=size, frontier=frontier))

    def test_it_stops_when_the_log_goes_back(self, bench: Bench) -> None:
        bench.fill(4)
        with bench.database.read() as tx:
            head = store.load_head(tx)
        bench.add(4, 9)
        bench.log.flush()
        self.restore(bench, head.size, head.frontier)
        bench.add(20, 21)
        with pytest.raises(LogStateError, match="went back from 9 leaves to 4"):
            bench.log.flush()

    def test_it_stops_when_the_log_was_restored_and_grew_differently(self, bench: Bench) -> None:
        bench.fill(4)
        with bench.database.read() as tx:
            head = store.load_head(tx)
        bench.add(4, 9)
        bench.log.flush()
        self.restore(bench, head.size, head.frontier)
        bench.add(30, 40)
        bench.open_log().flush()  # A second process with the same key, started after the restore.
        bench.add(40, 41)
        with pytest.raises(LogStateError, match="does not extend"):
            bench.log.flush()

    def test_it_stops_when_the_head_is_edited(self, bench: Bench) -> None:
        bench.fill(4)
        with bench.database.write() as tx:
            tx.execute(update(audit_head).values(frontier=bytes(32)))
        bench.add(4, 5)
        with pytest.raises(LogStateError):
            bench.log.flush()
        with bench.database.read() as tx:
            assert store.count_intake(tx)[0] == 1

    def test_it_refuses_a_body_that_became_text(self, bench: Bench) -> None:
        if bench.database.dialect != "sqlite":
            return  # PostgreSQL's bytea column takes bytes only.
        bench.fill(4)
        with bench.database.write() as tx:
            lift_guard(tx, "audit_leaf")
            tx.execute(text("UPDATE audit_leaf SET body = 'x' || CAST(body AS TEXT) WHERE seq = 2"))
        with pytest.raises(LogStateError):
            bench.open_log().verify_state()

    def test_it_stops_when_the_edge_tile_is_edited(self, bench: Bench) -> None:
        bench.fill(4)
        with bench.database.write() as tx:
            tx.execute(update(audit_tile).values(data=bytes(128)))
        bench.add(4, 5)
        with pytest.raises(LogStateError, match="tiles at the edge"):
            bench.log.flush()

    def test_it_follows_another_process_that_went_on_honestly(self, bench: Bench) -> None:
        bench.fill(4)
        other = bench.open_log()
        bench.add(4, 300)
        other.flush()
        bench.add(300, 301)
        checkpoint = bench.log.flush()
        assert checkpoint is not None
        assert checkpoint.size == 301


class TestSignedMark:
    """The mark beside the key keeps a restarted process from signing a second history."""

    def open_log(self, bench: Bench, tmp_path: Path) -> AuditLog:
        return AuditLog(bench.database, bench.key, lambda: bench.now_ns, mark=SignedMark(tmp_path / MARK_FILE))

    def test_it_keeps_the_newest_checkpoint(self, bench: Bench, tmp_path: Path) -> None:
        log = self.open_log(bench, tmp_path)
        log.verify_state()
        bench.add(0, 5)
        checkpoint = log.flush()
        assert checkpoint is not None
        assert SignedMark(tmp_path / MARK_FILE).load(bench.key.verifier) == checkpoint
        assert [path.name for path in tmp_path.glob("*signed*")] == [MARK_FILE]

    def test_it_starts_again_where_it_stopped(self, bench: Bench, tmp_path: Path) -> None:
        bench.add(0, 300)
        self.open_log(bench, tmp_path).flush()
        assert self.open_log(bench, tmp_path).verify_state().size == 300

    def test_it_takes_up_a_log_that_had_no_mark(self, bench: Bench, tmp_path: Path) -> None:
        bench.fill(3)
        assert self.open_log(bench, tmp_path).verify_state().size == 3

    def test_it_refuses_a_database_put_back_to_an_older_state(self, bench: Bench, tmp_path: Path) -> None:
        (tmp_path / MARK_FILE).write_text(bench.key.sign_checkpoint(10, leaf_hash(b"")).note)
        bench.fill(4)
        with pytest.raises(LogStateError, match="signed 10 leaves but the database holds 4"):
            self.open_log(bench, tmp_path).verify_state()

    def test_it_refuses_a_database_restored_and_grown_another_way(self, bench: Bench, tmp_path: Path) -> None:
        (tmp_path / MARK_FILE).write_text(bench.key.sign_checkpoint(10, leaf_hash(b"")).note)
        bench.fill(40)
        for every_leaf in (True, False):
            with pytest.raises(LogStateError, match="does not extend"):
                self.open_log(bench, tmp_path).verify_state(every_leaf=every_leaf)

    def test_it_refuses_a_mark_of_another_key(self, bench: Bench, other_key: LogKey, tmp_path: Path) -> None:
        (tmp_path / MARK_FILE).write_text(other_key.sign_checkpoint(0, EMPTY_ROOT).note)
        with pytest.raises(LogStateError, match="restore both"):
            self.open_log(bench, tmp_path).verify_state()

    def test_it_signs_nothing_when_the_mark_cannot_be_written(self, bench: Bench, tmp_path: Path) -> None:
        log = AuditLog(bench.database, bench.key, lambda: 0, mark=SignedMark(tmp_path / "absent" / MARK_FILE))
        bench.add(0, 1)
        with pytest.raises(LogKeyError, match="nothing is signed"):
            log.flush()
        with bench.database.read() as tx:
            assert store.load_latest_checkpoint(tx) is None
