"""The sequencer on both databases: exactly once, in order, signed from committed state, stopped by contradictions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update

from custodes.db import Database, WriteTx, open_database
from custodes.db.tables import audit_checkpoint, audit_head, audit_intake, audit_leaf, audit_tile
from custodes.kernel.errors import CustodesError
from policies.audit import store
from policies.audit.checkpoint import open_checkpoint
from policies.audit.errors import LogStateError, NotInLogError
from policies.audit.event import event_to_body
from policies.audit.fsck import TreeHead, check_everything
from policies.audit.keys import LogKey
from policies.audit.log import AuditLog, append_intake
from policies.audit.merkle import EMPTY_ROOT, leaf_hash, root_of, verify_consistency
from policies.audit.reading import read_checkpoint
from policies.audit.receipt import verify_receipt
from policies.audit.store import LeafFilter
from policies.audit.tile_tree import TileTree

Bench = Any


def stored_bodies(database: Database) -> list[bytes]:
    """Return every leaf's bytes in order, straight from the table."""
    with database.read() as tx:
        return [bytes(row.body) for row in tx.execute(select(audit_leaf.c.body).order_by(audit_leaf.c.seq))]


def lift_guard(tx: WriteTx, table: str) -> None:
    """Remove the triggers that make a table append-only, as a hostile administrator can."""
    if tx.dialect == "postgresql":
        tx.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        return
    names = tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :t"), {"t": table})
    for name in names.scalars().all():
        tx.execute(text(f'DROP TRIGGER "{name}"'))


class TestStart:
    def test_it_signs_an_empty_log_first(self, bench: Bench) -> None:
        checkpoint = bench.log.verify_state()
        assert (checkpoint.size, checkpoint.root) == (0, EMPTY_ROOT)
        assert open_checkpoint(checkpoint.note.encode(), bench.key.origin, bench.key.verifier) == checkpoint

    def test_it_starts_again_where_it_stopped(self, bench: Bench) -> None:
        bench.fill(300)
        again = bench.open_log()
        assert again.verify_state().size == 300
        assert again.flush() is None

    def test_it_signs_once_when_many_start_at_once(self, bench: Bench) -> None:
        logs = [bench.open_log() for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            notes = {checkpoint.note for checkpoint in pool.map(AuditLog.verify_state, logs)}
        assert len(notes) == 1

    def test_it_reports_progress(self, bench: Bench) -> None:
        bench.fill(600)
        seen: list[tuple[int, int]] = []
        bench.open_log().verify_state(progress=lambda done, total: seen.append((done, total)))
        assert seen[-1] == (600, 600)
        assert seen == sorted(seen)

    def test_it_signs_what_a_crash_left_integrated_but_unsigned(self, bench: Bench) -> None:
        bench.fill(10)
        bench.add(10, 14)
        bench.log._integrate_chunk(2**62)  # The process dies after this commit, before it signs.
        again = bench.open_log()
        assert again.verify_state().size == 10
        checkpoint = again.flush()
        assert checkpoint is not None
        assert checkpoint.size == 14


class TestFlush:
    def test_it_turns_events_into_leaves_in_order_and_empties_the_intake(self, bench: Bench) -> None:
        bench.log.verify_state()
        bench.add(0, 5)
        checkpoint = bench.log.flush()
        bodies = [event_to_body(bench.event(number)) for number in range(5)]
        assert stored_bodies(bench.database) == bodies
        assert checkpoint is not None
        assert (checkpoint.size, checkpoint.root) == (5, root_of(leaf_hash(body) for body in bodies))
        with bench.database.read() as tx:
            assert store.count_intake(tx) == (0, None)

    def test_it_does_nothing_when_nothing_waits(self, bench: Bench) -> None:
        bench.fill(3)
        assert bench.log.flush() is None

    def test_it_starts_itself_when_nobody_called_verify_state(self, bench: Bench) -> None:
        bench.add(0, 3)
        checkpoint = bench.log.flush()
        assert checkpoint is not None
        assert checkpoint.size == 3

    @pytest.mark.parametrize("chunk", [1, 7, 256])
    def test_it_gives_the_same_tree_whatever_the_chunk(self, bench: Bench, chunk: int) -> None:
        log = bench.open_log(chunk)
        bench.add(0, 40)
        checkpoint = log.flush()
        bodies = [event_to_body(bench.event(number)) for number in range(40)]
        assert checkpoint is not None
        assert checkpoint.root == root_of(leaf_hash(body) for body in bodies)

    def test_it_signs_checkpoints_that_all_extend_each_other(self, bench: Bench) -> None:
        bench.log.verify_state()
        done = 0
        for count in (1, 2, 250, 3, 1, 600, 5):
            bench.add(done, done + count)
            bench.log.flush()
            done += count
        with bench.database.read() as tx:
            rows = tx.execute(select(audit_checkpoint).order_by(audit_checkpoint.c.size)).all()
            assert [row.size for row in rows] == [0, 1, 3, 253, 256, 257, 857, 862]
            for old, new in pairwise(rows):
                tree = TileTree(new.size, lambda name: store.load_tile(tx, name))
                proof = tree.consistency_proof(old.size)
                verify_consistency(old.size, new.size, bytes(old.root), bytes(new.root), proof)

    def test_it_indexes_each_leaf_by_what_it_says(self, bench: Bench) -> None:
        bench.fill(4)
        with bench.database.read() as tx:
            leaf = store.list_leaves(tx, LeafFilter(), 3, 4, 1, newest_first=False)[0]
        event = bench.event(3)
        assert (leaf.action, leaf.actor, leaf.object) == (event.action, event.actor, event.object)
        assert (leaf.project, leaf.at_ns) == (event.project, event.at_ns)

    def test_it_logs_an_intake_row_it_cannot_read_rather_than_lose_it(self, bench: Bench) -> None:
        bench.log.verify_state()
        with bench.database.write() as tx:
            store.add_intake(tx, 1, b"not json")
        bench.add(0, 1)
        bench.log.flush()
        assert stored_bodies(bench.database) == [b"not json", event_to_body(bench.event(0))]
        assert bench.open_log().verify_state().size == 2

    def test_it_indexes_what_was_signed_when_the_intake_row_gives_another_time(self, bench: Bench) -> None:
        bench.log.verify_state()
        with bench.database.write() as tx:
            store.add_intake(tx, 1, event_to_body(bench.event(0)))
        bench.log.flush()
        with bench.database.read() as tx:
            (leaf,) = store.list_leaves(tx, LeafFilter(), 0, 1, 1, newest_first=False)
        assert leaf.at_ns == bench.event(0).at_ns
        assert bench.open_log().verify_state().size == 1

    def test_it_forgets_an_event_whose_business_transaction_rolled_back(self, bench: Bench) -> None:
        bench.log.verify_state()

        def break_business_rule(tx: WriteTx) -> None:
            append_intake(tx, bench.event(0))
            raise RuntimeError("business rule")

        with pytest.raises(RuntimeError, match="business"), bench.database.write() as tx:
            break_business_rule(tx)
        assert bench.log.flush() is None

    def test_it_adds_nothing_when_its_transaction_fails(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        bench.fill(2)
        bench.add(2, 5)

        def fail(*_: object) -> None:
            raise RuntimeError("power cut")

        with monkeypatch.context() as patch:
            patch.setattr(store, "save_head", fail)
            with pytest.raises(RuntimeError):
                bench.log.flush()
        assert len(stored_bodies(bench.database)) == 2
        checkpoint = bench.log.flush()
        assert checkpoint is not None
        assert checkpoint.size == 5

    @pytest.mark.parametrize(
        "step",
        [
            "last_intake_id",
            "lock_head",
            "load_intake",
            "load_tile",
            "add_leaves",
            "save_tiles",
            "delete_intake",
            "save_head",
            "load_latest_checkpoint",
            "add_checkpoint",
        ],
    )
    @pytest.mark.parametrize("survivors", [0, 1, 2])
    def test_it_logs_each_event_once_wherever_a_flush_was_interrupted(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str, survivors: int
    ) -> None:
        bench.fill(2)
        bench.add(2, 10)
        real, calls = getattr(store, step), []

        def interrupt(*arguments: object) -> object:
            calls.append(step)
            if len(calls) > survivors:
                raise RuntimeError("power cut")
            return real(*arguments)

        with monkeypatch.context() as patch, contextlib.suppress(RuntimeError):
            patch.setattr(store, step, interrupt)
            bench.open_log(chunk=3).flush()
        assert calls
        again = bench.open_log()
        again.verify_state()
        again.flush()
        assert stored_bodies(bench.database) == [event_to_body(bench.event(number)) for number in range(10)]
        assert again.verify_state().size == 10

    def test_it_is_one_log_when_many_threads_append_and_flush(self, bench: Bench) -> None:
        logs = [bench.open_log(chunk=16) for _ in range(3)]
        logs[0].verify_state()

        def work(number: int) -> int:
            (intake_id,) = bench.add(number, number + 1)
            receipt = logs[number % 3].flush_until(intake_id)
            body = event_to_body(bench.event(number))
            verify_receipt(receipt, body, bench.key.origin, bench.key.verifier)
            return int(receipt.seq)

        with ThreadPoolExecutor(6) as pool:
            numbers = list(pool.map(work, range(60)))
        assert sorted(numbers) == list(range(60))
        with bench.database.read() as tx:
            head, latest = store.load_head(tx), read_checkpoint(tx)
            check_everything(tx, head, TreeHead(latest.size, latest.root))
        assert latest.size == 60


class TestFlushUntil:
    def test_it_gives_a_receipt_that_proves_the_event(self, bench: Bench) -> None:
        bench.fill(300)
        (intake_id,) = bench.add(300, 301)
        receipt = bench.log.flush_until(intake_id)
        checkpoint = verify_receipt(receipt, event_to_body(bench.event(300)), bench.key.origin, bench.key.verifier)
        assert (receipt.seq, checkpoint.size) == (300, 301)

    def test_it_gives_a_receipt_for_an_event_another_process_integrated(self, bench: Bench) -> None:
        bench.log.verify_state()
        (intake_id,) = bench.add(0, 1)
        bench.open_log().flush()
        assert bench.log.flush_until(intake_id).seq == 0

    def test_it_refuses_an_event_that_was_never_committed(self, bench: Bench) -> None:
        bench.log.verify_state()
        with pytest.raises(NotInLogError, match="99"):
            bench.log.flush_until(99)


class TestContradictions:
    """Whatever is edited behind its back, it refuses, signs nothing more and says what it saw."""

    def refuses(self, bench: Bench, change: Callable[[WriteTx], object], match: str) -> None:
        bench.fill(300)
        with bench.database.write() as tx:
            for table in ("audit_leaf", "audit_checkpoint"):
                lift_guard(tx, table)
            change(tx)
        bench.add(300, 301)
        with pytest.raises(LogStateError, match=match):
            bench.open_log().verify_state()
        with bench.database.read() as tx:
            assert max(tx.execute(select(audit_checkpoint.c.size)).scalars(), default=0) <= 300

    def test_it_sees_a_changed_leaf(self, bench: Bench) -> None:
        self.refuses(
            bench, lambda tx: tx.execute(update(audit_leaf).where(audit_leaf.c.seq == 7).values(body=b"{}")), "leaf 7"
        )

    def test_it_sees_a_changed_leaf_whose_hash_was_changed_along(self, bench: Bench) -> None:
        forged = {"body": b"{}", "hash": leaf_hash(b"{}")}
        self.refuses(
            bench, lambda tx: tx.execute(update(audit_leaf).where(audit_leaf.c.seq == 7).values(forged)), "tile/0/000"
        )

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("action", "unreadable"),
            ("actor", "user/u-9"),
            ("object", ""),
            ("project_id", "another"),
            ("at_ns", 1_795_860_000_000_000_000 + 8 * 1_000_000_000),
        ],
    )
    def test_it_sees_an_index_column_that_contradicts_its_leaf(
        self, bench: Bench, column: str, value: str | int
    ) -> None:
        change = update(audit_leaf).where(audit_leaf.c.seq == 7).values({column: value})
        self.refuses(bench, lambda tx: tx.execute(change), f"leaf 7 cannot be found .*: {column};")

    def test_it_names_every_index_column_that_was_changed(self, bench: Bench) -> None:
        change = update(audit_leaf).where(audit_leaf.c.seq == 299).values(action="x", actor="y")
        self.refuses(bench, lambda tx: tx.execute(change), "leaf 299 cannot be found .*: action, actor;")

    def test_it_sees_a_false_index_of_a_leaf_that_cannot_be_read(self, bench: Bench) -> None:
        bench.log.verify_state()
        with bench.database.write() as tx:
            store.add_intake(tx, 1, b"not json")
        bench.log.flush()
        with bench.database.write() as tx:
            lift_guard(tx, "audit_leaf")
            tx.execute(update(audit_leaf).values(action="policy.activated", actor="user/u-1"))
        with pytest.raises(LogStateError, match=r"leaf 0 cannot be found .*: action, actor;"):
            bench.open_log().verify_state()

    def test_it_sees_a_missing_leaf(self, bench: Bench) -> None:
        self.refuses(bench, lambda tx: tx.execute(delete(audit_leaf).where(audit_leaf.c.seq == 7)), "leaf 7 is missing")

    def test_it_sees_a_cut_tail(self, bench: Bench) -> None:
        self.refuses(bench, lambda tx: tx.execute(delete(audit_leaf).where(audit_leaf.c.seq >= 290)), "290|too short")

    def test_it_sees_a_changed_tile(self, bench: Bench) -> None:
        change = update(audit_tile).where(audit_tile.c.level == 1).values(data=bytes(32))
        self.refuses(bench, lambda tx: tx.execute(change), "tile/1/000")

    def test_it_sees_a_missing_tile(self, bench: Bench) -> None:
        self.refuses(bench, lambda tx: tx.execute(delete(audit_tile).where(audit_tile.c.n == 1)), "tile/0/001")

    def test_it_sees_a_head_put_back(self, bench: Bench) -> None:
        self.refuses(bench, lambda tx: tx.execute(update(audit_head).values(size=0, frontier=b"")), "only 0 are stored")

    def test_it_sees_a_changed_frontier(self, bench: Bench) -> None:
        change = update(audit_head).values(frontier=bytes(32 * (300).bit_count()))
        self.refuses(bench, lambda tx: tx.execute(change), "stored head")

    def test_it_sees_checkpoints_deleted(self, bench: Bench) -> None:
        self.refuses(bench, lambda tx: tx.execute(delete(audit_checkpoint)), "no signed checkpoint")

    def test_it_sees_a_checkpoint_row_that_contradicts_its_note(self, bench: Bench) -> None:
        change = update(audit_checkpoint).where(audit_checkpoint.c.size == 300).values(root=bytes(32))
        self.refuses(bench, lambda tx: tx.execute(change), "does not say")

    def test_it_sees_a_tree_rebuilt_without_the_key(self, bench: Bench, other_key: LogKey) -> None:
        def rebuild(tx: WriteTx) -> None:
            for table in (audit_leaf, audit_tile, audit_head, audit_checkpoint):
                tx.execute(delete(table))

        bench.fill(300)
        with bench.database.write() as tx:
            for table in ("audit_leaf", "audit_checkpoint"):
                lift_guard(tx, table)
            rebuild(tx)
        forger = AuditLog(bench.database, other_key, lambda: 0)
        forger.verify_state()
        bench.add(0, 300)
        forger.flush()
        with pytest.raises(LogStateError, match="was not signed by the log key"):
            bench.open_log().verify_state()

    @pytest.mark.parametrize("every_leaf", [True, False])
    def test_it_sees_an_edge_that_does_not_give_the_signed_root(self, bench: Bench, every_leaf: bool) -> None:
        bench.fill(3)
        with bench.database.write() as tx:
            tx.execute(update(audit_tile).values(data=bytes(96)))
            tx.execute(update(audit_head).values(frontier=bytes(64)))
        with pytest.raises(LogStateError):
            bench.open_log().verify_state(every_leaf=every_leaf)


class TestGuards:
    @pytest.mark.parametrize("table", ["audit_leaf", "audit_checkpoint"])
    @pytest.mark.parametrize("verb", ["UPDATE {} SET at_ns = 1", "DELETE FROM {}"])
    def test_the_database_refuses_to_change_what_was_logged(self, bench: Bench, table: str, verb: str) -> None:
        bench.fill(2)
        with pytest.raises(CustodesError), bench.database.write() as tx:
            tx.execute(text(verb.format(table)))
        assert len(stored_bodies(bench.database)) == 2

    def test_the_database_refuses_a_second_checkpoint_of_one_size(self, bench: Bench) -> None:
        bench.fill(2)
        with bench.database.read() as tx:
            latest = store.load_latest_checkpoint(tx)
        assert latest is not None
        with pytest.raises(CustodesError), bench.database.write() as tx:
            store.add_checkpoint(tx, replace(latest, root=bytes(32)))


def test_it_loses_nothing_that_commits_late_with_a_low_number(
    postgres_database_url: str, make_bench: Callable[[Database], Bench]
) -> None:
    """On PostgreSQL intake number 1 may become visible after number 2 was already integrated."""
    database = open_database(postgres_database_url)
    bench = make_bench(database)
    bench.log.verify_state()
    holds, release = threading.Event(), threading.Event()

    def slow_business() -> None:
        with database.write() as tx:
            append_intake(tx, bench.event(1))
            holds.set()
            release.wait(30)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(slow_business)
        assert holds.wait(30)
        bench.add(2, 3)
        bench.log.flush()
        release.set()
        slow.result()
    bench.log.flush()
    assert stored_bodies(database) == [event_to_body(bench.event(2)), event_to_body(bench.event(1))]
    with database.read() as tx:
        assert tx.execute(select(audit_intake.c.id)).all() == []
    database.dispose()
