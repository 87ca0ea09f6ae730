"""Circuit breakers: the pure part, and what deliveries make of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from custodes.db import Database
from custodes.kernel.clock import HOUR_NS, SECOND_NS
from policies.hooks.breaker import Breaker, BreakerRules, count_failure
from policies.hooks.delivery import deliver_due
from policies.hooks.endpoint_store import Endpoint, claim_probe, count_breakers, find_endpoint
from policies.hooks.schedule import LIFETIME_NS
from policies.hooks.store import OutboxMessage, list_messages
from policies.hooks.webhook import Delivered, Outcome, Rejected, RetryLater, Untold
from policies.incident_store import list_incident_events

Add = Callable[..., OutboxMessage]
DOWN = RetryLater("answered 503", 503)
RULES = BreakerRules(threshold=3, pause_s=10, longest_s=60)


@dataclass
class Receiver:
    """Answers from a list, then with what stands in ``then``; keeps what was sent."""

    outcomes: list[Outcome] = field(default_factory=list)
    then: Outcome = DOWN
    sent: list[str] = field(default_factory=list)
    timeout_s: float = 1.0

    def deliver(self, receiver: Endpoint, message_id: str, body: bytes, now_ns: int) -> Outcome:
        self.sent.append(message_id)
        return self.outcomes.pop(0) if self.outcomes else self.then


class TestCountFailure:
    def test_it_opens_after_failures_in_a_row_and_doubles_its_pauses(self) -> None:
        breaker, rng, pauses = Breaker(), random.Random(1), []
        for _ in range(8):
            assert breaker.state(0) == ("closed" if breaker.open_until_ns is None else "open")
            breaker = count_failure(breaker, 0, rng, RULES)
            pauses.append((breaker.open_until_ns or 0) / SECOND_NS)
        assert pauses[:2] == [0, 0]
        for found, expected in zip(pauses[2:], [10, 20, 40, 60, 60, 60], strict=True):
            assert 0.9 * expected <= found <= expected

    def test_it_is_half_open_when_its_time_is_over(self) -> None:
        breaker = Breaker(3, 100)
        assert [breaker.state(now) for now in (99, 100)] == ["open", "half_open"]

    def test_it_keeps_a_pause_the_receiver_asked_for(self) -> None:
        breaker = count_failure(Breaker(2), 0, random.Random(1), RULES, retry_after_s=600)
        assert breaker.open_until_ns == 600 * SECOND_NS

    def test_pauses_stay_finite_however_long_it_fails(self) -> None:
        breaker = count_failure(Breaker(10**6, 1), 0, random.Random(1), RULES)
        assert breaker.open_until_ns is not None
        assert breaker.open_until_ns <= 60 * SECOND_NS


@pytest.fixture
def crowd(
    database: Database, add_endpoint: Callable[..., object], add_message: Add, add_incident: Callable[[str], str]
) -> Database:
    """An endpoint with ten messages about ten incidents, and another endpoint with one."""
    add_endpoint()
    add_endpoint("other")
    for number in range(10):
        add_message(f"msg_{number}", incident=add_incident(f"inc-{number}"), at_ns=number)
    add_message("msg_x", endpoint="other")
    return database


def endpoint(database: Database) -> Endpoint:
    with database.read() as tx:
        found = find_endpoint(tx, "default", "oncall")
    assert found is not None
    return found


def used(database: Database) -> dict[str, int]:
    with database.read() as tx:
        return {one.id: one.attempts for one in list_messages(tx, "default") if one.endpoint_id == "oncall"}


def fail_until_open(database: Database, receiver: Receiver) -> int:
    """Deliver until the breaker opens; return when its pause ends."""
    for round_ in range(20, 40):
        deliver_due(database, round_, receiver, rules=RULES)
        until_ns = endpoint(database).breaker.open_until_ns
        if until_ns is not None:
            return until_ns
    raise AssertionError("the breaker never opened")


class TestDeliveries:
    def test_an_open_breaker_costs_no_attempts_and_leaves_others_alone(self, crowd: Database) -> None:
        receiver = Receiver()
        until_ns = fail_until_open(crowd, receiver)
        assert sum(used(crowd).values()) == 3
        before = len(receiver.sent)
        for second in range(5):
            deliver_due(crowd, 40 + second * SECOND_NS, receiver, rules=RULES)
        assert sum(used(crowd).values()) == 3
        assert set(receiver.sent[before:]) <= {"msg_x"}
        assert endpoint(crowd).breaker.state(until_ns - 1) == "open"
        with crowd.read() as tx:
            assert count_breakers(tx) >= 1

    def test_half_open_tries_one_message_and_rests_longer_when_it_fails(self, crowd: Database) -> None:
        receiver = Receiver()
        until_ns = fail_until_open(crowd, receiver)
        before = sum(used(crowd).values())
        report = deliver_due(crowd, until_ns, receiver, rules=RULES)
        assert sum(used(crowd).values()) == before + 1
        assert report.released > 0
        assert endpoint(crowd).breaker.failures == 4
        assert endpoint(crowd).breaker.open_until_ns == pytest.approx(until_ns + 20 * SECOND_NS, rel=0.1)

    def test_a_success_closes_it_and_the_others_follow_at_once(self, crowd: Database) -> None:
        until_ns = fail_until_open(crowd, Receiver())
        up = Receiver(then=Delivered(200))
        delivered = sum(deliver_due(crowd, until_ns + 600 * SECOND_NS, up, rules=RULES).delivered for _ in range(3))
        assert delivered == 11
        assert endpoint(crowd).breaker == Breaker()
        assert endpoint(crowd).last_error is None

    def test_only_one_process_probes(self, crowd: Database) -> None:
        until_ns = fail_until_open(crowd, Receiver())
        known = endpoint(crowd)
        with crowd.write() as tx:
            assert claim_probe(tx, known, until_ns + 100)
        with crowd.write() as tx:
            assert not claim_probe(tx, known, until_ns + 100)
        quiet = Receiver()
        deliver_due(crowd, until_ns + 99, quiet, rules=RULES)
        assert set(quiet.sent) <= {"msg_x"}

    @pytest.mark.parametrize("outcome", [Rejected("forbidden address"), Untold("not told")])
    def test_only_a_receiver_that_fails_counts(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add, outcome: Outcome
    ) -> None:
        add_endpoint()
        for number in range(8):
            add_message(f"msg_{number}")
            deliver_due(database, number, Receiver(then=outcome), rules=RULES)
        assert endpoint(database).breaker == Breaker()

    def test_what_is_kept_back_for_longer_than_ten_attempts_take_is_dead(self, crowd: Database) -> None:
        receiver = Receiver(then=RetryLater("answered 503", 503, retry_after_s=24 * 3600))
        now_ns, reported = 20, 0
        while now_ns < LIFETIME_NS + 2 * HOUR_NS:
            reported += deliver_due(crowd, now_ns, receiver, rules=RULES).overdue
            now_ns += HOUR_NS
        with crowd.read() as tx:
            dead = [one for one in list_messages(tx, "default") if one.state == "dead"]
            untried = [one for one in dead if one.tries == 0]
            events = list_incident_events(tx, untried[0].incident_id or "")
        assert len(dead) == reported
        reason = "the endpoint's circuit breaker kept it back for too long"
        assert {one.last_error for one in dead} == {reason}
        assert [(one.kind, one.body["detail"]) for one in events] == [("notification.failed", reason)]
