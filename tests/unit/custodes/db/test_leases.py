"""Leases: one holder at a time, and a late holder can be told apart by its token."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from custodes.db import Database
from custodes.db.leases import Lease, acquire_lease, check_lease, release_lease, renew_lease
from custodes.kernel.errors import ConflictError

TTL_NS = 100


def acquire(database: Database, owner: str, now_ns: int, name: str = "leader") -> Lease | None:
    with database.write() as tx:
        return acquire_lease(tx, name, owner, now_ns=now_ns, ttl_ns=TTL_NS)


def take(database: Database, owner: str, now_ns: int) -> Lease:
    held = acquire(database, owner, now_ns)
    assert held is not None
    return held


class TestAcquireLease:
    def test_it_gives_a_free_lease_its_first_token(self, database: Database) -> None:
        assert acquire(database, "a", 1000) == Lease("leader", "a", 1, 1100)

    def test_it_refuses_while_somebody_else_holds_it(self, database: Database) -> None:
        take(database, "a", 1000)
        assert acquire(database, "b", 1099) is None

    def test_it_renews_with_the_same_token(self, database: Database) -> None:
        take(database, "a", 1000)
        assert acquire(database, "a", 1050) == Lease("leader", "a", 1, 1150)

    def test_it_passes_on_an_expired_lease_with_a_higher_token(self, database: Database) -> None:
        take(database, "a", 1000)
        assert acquire(database, "b", 1100) == Lease("leader", "b", 2, 1200)

    def test_it_raises_the_token_when_a_holder_let_its_own_lease_expire(self, database: Database) -> None:
        take(database, "a", 1000)
        assert acquire(database, "a", 1100) == Lease("leader", "a", 2, 1200)

    def test_it_keeps_names_apart(self, database: Database) -> None:
        take(database, "a", 1000)
        assert acquire(database, "b", 1000, name="sequencer") == Lease("sequencer", "b", 1, 1100)

    def test_it_has_one_winner_among_many(self, database: Database) -> None:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: acquire(database, f"owner-{n}", 1000), range(12)))
        assert len([answer for answer in answers if answer is not None]) == 1


class TestCheckLease:
    def test_it_lets_the_holder_go_on(self, database: Database) -> None:
        held = take(database, "a", 1000)
        with database.write() as tx:
            check_lease(tx, held)

    def test_it_stops_a_holder_that_was_replaced(self, database: Database) -> None:
        late = take(database, "a", 1000)
        take(database, "b", 2000)
        with pytest.raises(ConflictError, match="leader"), database.write() as tx:
            check_lease(tx, late)

    def test_it_stops_a_holder_that_was_replaced_and_came_back(self, database: Database) -> None:
        late = take(database, "a", 1000)
        take(database, "a", 2000)
        with pytest.raises(ConflictError), database.write() as tx:
            check_lease(tx, late)

    def test_it_stops_a_holder_of_a_lease_that_never_was(self, database: Database) -> None:
        with pytest.raises(ConflictError), database.write() as tx:
            check_lease(tx, Lease("nothing", "a", 1, 1))


class TestRenewLease:
    def test_it_lets_long_work_keep_the_lease(self, database: Database) -> None:
        held = take(database, "a", 1000)
        with database.write() as tx:
            renew_lease(tx, held, now_ns=held.until_ns - 1, ttl_ns=500)
        assert acquire(database, "b", held.until_ns + 400) is None
        with database.write() as tx:
            check_lease(tx, held)
        assert take(database, "b", held.until_ns + 500).token == 2

    def test_it_makes_no_lease_shorter(self, database: Database) -> None:
        held = take(database, "a", 1000)
        with database.write() as tx:
            renew_lease(tx, held, now_ns=1000, ttl_ns=1)
        assert acquire(database, "b", held.until_ns - 1) is None

    def test_it_stops_a_holder_that_was_replaced(self, database: Database) -> None:
        late = take(database, "a", 1000)
        successor = take(database, "b", 2000)
        with pytest.raises(ConflictError), database.write() as tx:
            renew_lease(tx, late, now_ns=9000, ttl_ns=9000)
        assert take(database, "c", successor.until_ns).token == 3


class TestReleaseLease:
    def test_it_frees_the_lease_at_once(self, database: Database) -> None:
        held = take(database, "a", 1000)
        with database.write() as tx:
            release_lease(tx, held)
        assert take(database, "b", 1001).token == 2

    def test_it_leaves_the_lease_of_a_successor_alone(self, database: Database) -> None:
        late = take(database, "a", 1000)
        take(database, "b", 2000)
        with database.write() as tx:
            release_lease(tx, late)
        assert acquire(database, "c", 2001) is None
