"""Claiming batches: one holder at a time, takeover after the lease, results only under the right claim."""

from __future__ import annotations

from custodes.db import Database
from custodes.db.tables import ingest_batch
from custodes.runtime.batches import claim_batches, mark_batches, read_backlog, renew_batches, still_held

LEASE_NS = 100


def add_batches(database: Database, count: int) -> None:
    with database.write() as tx:
        tx.execute_many(
            ingest_batch.insert(),
            [
                {"project_id": "default", "received_ns": n, "spans": 1, "exchanges": 1, "state": "ready"}
                for n in range(count)
            ],
        )


def claim(database: Database, owner: str, now_ns: int, limit: int = 10) -> list[tuple[int, int]]:
    with database.write() as tx:
        claimed = claim_batches(tx, owner, now_ns=now_ns, lease_ns=LEASE_NS, limit=limit)
    return [(batch.id, batch.attempt) for batch in claimed]


class TestClaiming:
    def test_it_gives_every_batch_to_one_worker_only(self, database: Database) -> None:
        add_batches(database, 5)
        first = claim(database, "a", 0, limit=3)
        second = claim(database, "b", 0)
        assert [attempt for _, attempt in first + second] == [1] * 5
        assert len({batch for batch, _ in first + second}) == 5
        assert claim(database, "c", LEASE_NS) == []

    def test_it_takes_oldest_first(self, database: Database) -> None:
        add_batches(database, 4)
        assert [batch for batch, _ in claim(database, "a", 0, limit=2)] < [
            batch for batch, _ in claim(database, "a", 0)
        ]

    def test_it_lets_another_worker_take_over_after_the_lease(self, database: Database) -> None:
        add_batches(database, 1)
        claim(database, "a", 0)
        assert [attempt for _, attempt in claim(database, "b", LEASE_NS + 1)] == [2]


class TestHolding:
    def test_it_refuses_the_results_of_a_worker_that_lost_its_lease(self, database: Database) -> None:
        add_batches(database, 1)
        with database.write() as tx:
            late = claim_batches(tx, "a", now_ns=0, lease_ns=LEASE_NS, limit=1)
        with database.write() as tx:
            fresh = claim_batches(tx, "a", now_ns=LEASE_NS + 1, lease_ns=LEASE_NS, limit=1)
        with database.write() as tx:
            # The same owner, but an older claim: the fencing token tells them apart.
            assert still_held(tx, "a", late) == []
            assert still_held(tx, "a", fresh) == fresh

    def test_it_keeps_a_batch_that_is_renewed_and_only_its_holder_can_renew(self, database: Database) -> None:
        add_batches(database, 1)
        with database.write() as tx:
            held = claim_batches(tx, "a", now_ns=0, lease_ns=LEASE_NS, limit=1)
            renew_batches(tx, "a", held, until_ns=1000)
            renew_batches(tx, "b", held, until_ns=9000)
        assert claim(database, "b", LEASE_NS + 1) == []
        assert len(claim(database, "b", 1001)) == 1

    def test_it_counts_what_waits(self, database: Database) -> None:
        add_batches(database, 3)
        with database.write() as tx:
            held = claim_batches(tx, "a", now_ns=0, lease_ns=LEASE_NS, limit=2)
            mark_batches(tx, held, "done", now_ns=1, error=None)
        with database.read() as tx:
            backlog = read_backlog(tx)
        assert (backlog.batches, backlog.oldest_ns) == (1, 2)
