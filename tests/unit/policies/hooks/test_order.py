"""The messages of one incident reach an endpoint one at a time and in order, whatever fails in between."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from sqlalchemy import event

from custodes.db import Database, open_database
from custodes.kernel.clock import HOUR_NS, SECOND_NS
from policies.hooks.delivery import deliver_due
from policies.hooks.endpoint_store import Endpoint
from policies.hooks.schedule import SHORTEST_PAUSE_NS
from policies.hooks.store import OutboxMessage, claim_due, list_messages
from policies.hooks.webhook import Delivered, Outcome, Rejected, RetryLater

Add = Callable[..., OutboxMessage]

DOWN = RetryLater("answered 503", 503)


@dataclass
class Sender:
    """Answers from a list, then with 200, and keeps what was sent; ``during`` runs in the middle of each attempt."""

    outcomes: list[Outcome] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    during: Callable[[], object] = lambda: None
    timeout_s: float = 1.0

    def deliver(self, receiver: Endpoint, message_id: str, body: bytes, now_ns: int) -> Outcome:
        self.sent.append(message_id)
        self.during()
        return self.outcomes.pop(0) if self.outcomes else Delivered(200)


@pytest.fixture
def line(
    database: Database,
    add_endpoint: Callable[..., object],
    add_incident: Callable[[str], str],
    add_message: Add,
) -> Add:
    """An endpoint and an incident, and a function that queues a message of it."""
    add_endpoint()
    add_incident("inc-1")

    def add(name: str, at_ns: int = 0, *, endpoint: str = "oncall", incident: str = "inc-1") -> OutboxMessage:
        return add_message(name, endpoint=endpoint, at_ns=at_ns, incident=incident)

    return add


def stored(database: Database, name: str) -> OutboxMessage:
    with database.read() as tx:
        return next(message for message in list_messages(tx, "default") if message.id == name)


def fail(database: Database, times: int) -> int:
    """Let the one waiting message fail so many times, each time when it is due; return the last time."""
    sender, now_ns = Sender([DOWN] * times), 0
    for _ in range(times):
        with database.read() as tx:
            (message,) = [one for one in list_messages(tx, "default") if one.state == "pending"]
        now_ns = message.next_attempt_ns
        assert deliver_due(database, now_ns, sender, rng=random.Random(1)).retried == 1
    return now_ns


class TestOrder:
    def test_a_later_message_never_overtakes_one_that_is_retried(self, database: Database, line: Add) -> None:
        line("opened")
        last_ns = fail(database, 3)
        line("resolved", last_ns + SECOND_NS)
        sender = Sender()
        assert deliver_due(database, last_ns + 2 * SECOND_NS, sender).attempts == 0
        for _ in range(2):
            assert deliver_due(database, last_ns + HOUR_NS, sender).delivered == 1
        assert sender.sent == ["opened", "resolved"]

    def test_two_due_messages_of_one_incident_are_not_claimed_together(self, database: Database, line: Add) -> None:
        line("opened", 0)
        line("resolved", 1)
        for expected in (["opened"], []):
            with database.write() as tx:
                claimed = claim_due(tx, "me", now_ns=9, lease_ns=SECOND_NS, limit=8)
            assert [message.id for message in claimed] == expected

    def test_a_lease_that_ran_out_still_holds_up_the_later_message(self, database: Database, line: Add) -> None:
        line("opened", 0)
        line("resolved", 1)
        for _ in range(2):
            with database.write() as tx:
                claimed = claim_due(tx, "dies", now_ns=HOUR_NS, lease_ns=0, limit=8)
            assert [message.id for message in claimed] == ["opened"]

    @pytest.mark.parametrize("resolved_ns", [50, 7])
    def test_follows_the_order_of_queueing_when_the_clock_stands_or_goes_back(
        self, database: Database, line: Add, resolved_ns: int
    ) -> None:
        # Names against the order, so that a sort by name would show.
        for name, at_ns in (("c", 50), ("b", resolved_ns), ("a", resolved_ns)):
            line(name, at_ns)
        sender = Sender()
        for _ in range(3):
            deliver_due(database, 99, sender)
        assert sender.sent == ["c", "b", "a"]

    def test_a_dead_message_holds_up_nothing(self, database: Database, line: Add) -> None:
        line("opened", 0)
        line("resolved", 1)
        sender = Sender([Rejected("forbidden address")])
        assert deliver_due(database, 9, sender).dead == 1
        assert deliver_due(database, 9, sender).delivered == 1
        assert sender.sent == ["opened", "resolved"]

    def test_other_incidents_and_other_endpoints_do_not_wait(
        self,
        database: Database,
        line: Add,
        add_endpoint: Callable[..., object],
        add_incident: Callable[[str], str],
        add_message: Add,
    ) -> None:
        add_endpoint("pager")
        add_incident("inc-2")
        line("opened")
        now_ns = fail(database, 4)
        line("elsewhere", now_ns + 1, endpoint="pager")
        line("another", now_ns + 1, incident="inc-2")
        add_message("of_no_incident", at_ns=now_ns + 1)
        sender = Sender()
        assert deliver_due(database, now_ns + 1, sender).delivered == 3
        assert sorted(sender.sent) == ["another", "elsewhere", "of_no_incident"]
        assert stored(database, "opened").next_attempt_ns > now_ns + HOUR_NS

    def test_holds_with_many_workers(self, database: Database, line: Add, add_incident: Callable[[str], str]) -> None:
        for incident in range(6):
            add_incident(f"many-{incident}")
            for number in range(4):
                line(f"{incident}-{number}", number, incident=f"many-{incident}")
        busy: set[str] = set()
        clashes: list[str] = []
        turn = threading.Lock()

        class Watching(Sender):
            def deliver(self, receiver: Endpoint, message_id: str, body: bytes, now_ns: int) -> Outcome:
                incident = message_id.partition("-")[0]
                with turn:
                    clashes.extend([message_id] if incident in busy else [])
                    busy.add(incident)
                    self.sent.append(message_id)
                with database.read() as tx:  # Lets other workers run while an attempt is under way.
                    list_messages(tx, "default")
                with turn:
                    busy.discard(incident)
                return Delivered(200)

        sender = Watching()
        with ThreadPoolExecutor(4) as pool:
            while len(sender.sent) < 24:
                list(pool.map(lambda _: deliver_due(database, 9, sender, limit=3), range(8)))
        assert clashes == []
        for incident in range(6):
            sent = [name for name in sender.sent if name.startswith(f"{incident}-")]
            assert sent == [f"{incident}-{number}" for number in range(4)]


class TestHaste:
    def test_a_new_message_makes_the_one_before_it_due(self, database: Database, line: Add) -> None:
        line("opened")
        last_ns = fail(database, 4)
        assert stored(database, "opened").next_attempt_ns > last_ns + HOUR_NS
        queued_ns = last_ns + HOUR_NS
        line("resolved", queued_ns)
        assert stored(database, "opened").next_attempt_ns == queued_ns
        sender = Sender()
        deliver_due(database, queued_ns, sender)
        deliver_due(database, queued_ns, sender)
        assert sender.sent == ["opened", "resolved"]

    def test_a_receiver_that_failed_just_now_is_left_alone_for_a_moment(self, database: Database, line: Add) -> None:
        line("opened")
        last_ns = fail(database, 4)
        line("resolved", last_ns + SECOND_NS)
        again_ns = last_ns + SHORTEST_PAUSE_NS
        assert stored(database, "opened").next_attempt_ns == again_ns
        assert deliver_due(database, again_ns - 1, Sender()).attempts == 0
        assert deliver_due(database, again_ns, Sender()).delivered == 1

    def test_a_wait_the_receiver_asked_for_is_kept(self, database: Database, line: Add) -> None:
        line("opened")
        asked_ns = 3 * HOUR_NS
        deliver_due(database, 0, Sender([RetryLater("answered 503", 503, asked_ns / SECOND_NS)]))
        line("resolved", HOUR_NS)
        assert deliver_due(database, asked_ns - 1, Sender()).attempts == 0
        assert deliver_due(database, asked_ns, Sender()).delivered == 1

    def test_a_retry_that_is_due_sooner_stays_so(self, database: Database, line: Add) -> None:
        line("opened")
        fail(database, 2)
        before = stored(database, "opened").next_attempt_ns
        line("resolved", before + SECOND_NS)
        assert stored(database, "opened").next_attempt_ns == before

    @pytest.mark.parametrize("off_s", [-20, 20])
    def test_a_message_queued_during_an_attempt_cuts_the_next_wait_short(
        self, database: Database, line: Add, off_s: int
    ) -> None:
        line("opened")
        fail(database, 4)
        now_ns = stored(database, "opened").next_attempt_ns
        # Evaluations carry the time of their minute, which may lie before the attempt.
        sender = Sender([DOWN], during=lambda: line("resolved", now_ns + off_s * SECOND_NS))
        deliver_due(database, now_ns, sender)
        assert stored(database, "opened").next_attempt_ns == now_ns + SHORTEST_PAUSE_NS
        sender.during = lambda: None
        assert deliver_due(database, now_ns + SHORTEST_PAUSE_NS - 1, sender).attempts == 0
        for _ in range(2):
            deliver_due(database, now_ns + SHORTEST_PAUSE_NS, sender)
        assert sender.sent == ["opened", "opened", "resolved"]

    def test_only_the_line_of_the_new_message_is_hastened(
        self,
        database: Database,
        line: Add,
        add_endpoint: Callable[..., object],
        add_incident: Callable[[str], str],
    ) -> None:
        add_endpoint("pager")
        add_incident("inc-2")
        line("opened")
        last_ns = fail(database, 4)
        before = stored(database, "opened")
        line("elsewhere", last_ns + HOUR_NS, endpoint="pager")
        line("another", last_ns + HOUR_NS, incident="inc-2")
        assert stored(database, "opened") == before

    def test_a_message_that_is_over_is_not_touched(self, database: Database, line: Add) -> None:
        line("opened")
        deliver_due(database, 5, Sender())
        before = stored(database, "opened")
        line("resolved", HOUR_NS)
        assert stored(database, "opened") == before


def test_sqlite_looks_for_earlier_messages_by_incident(sqlite_url: str) -> None:
    """Walking all that is pending for each message took seconds a claim, once a few thousand were waiting."""
    database = open_database(sqlite_url)
    statements: list[tuple[str, object]] = []

    @event.listens_for(database.writing_engine, "before_cursor_execute")
    def keep(_: object, __: object, statement: str, parameters: object, *___: object) -> None:
        statements.append((statement, parameters))

    with database.write() as tx:
        claim_due(tx, "me", now_ns=1, lease_ns=1, limit=8)
    statement, parameters = next(one for one in statements if "earlier" in one[0])
    with database.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()  # type: ignore[arg-type]
    database.dispose()
    assert any("earlier USING INDEX ix_outbox_incident_id" in row.detail for row in plan)
