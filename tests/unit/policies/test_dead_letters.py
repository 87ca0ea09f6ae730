"""Sending again what was given up, and trying an endpoint by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
import pytest
from sqlalchemy import select

from custodes.db import Database
from custodes.db.tables import audit_intake, incident
from custodes.kernel.clock import SECOND_NS
from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from policies.actors import Actor
from policies.dead_letters import MOST_REPLAYED, Trial, discard_dead_letters, replay_dead_letters, try_endpoint
from policies.hooks.breaker import Breaker
from policies.hooks.delivery import deliver_due
from policies.hooks.endpoint_store import Endpoint, disable_endpoint, find_endpoint, insert_endpoint, set_breaker
from policies.hooks.store import OutboxMessage, insert_message, list_attempts, list_messages
from policies.hooks.webhook import Delivered, Outcome, Rejected, RetryLater

ANN = Actor("ann", "operator")
Queue = Callable[..., None]


@dataclass
class Receiver:
    """Gives one answer always, and keeps what was sent."""

    answer: Outcome = field(default_factory=lambda: Delivered(200))
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    timeout_s: float = 1.0

    def deliver(self, receiver: Endpoint, message_id: str, body: bytes, now_ns: int) -> Outcome:
        self.sent.append((message_id, body))
        return self.answer


@pytest.fixture
def queue(database: Database) -> Queue:
    """Return a function that queues a message of one incident; the endpoint is made with the first."""

    def add(*names: str, kind: str = "webhook", incident_id: str = "inc-1") -> None:
        with database.write() as tx:
            if find_endpoint(tx, "default", "oncall") is None:
                insert_endpoint(tx, Endpoint("default", "oncall", "https://a.example/", None, "active", 0, kind=kind))
                said = {"severity": "high", "state": "new", "title": "t", "summary": "s", "opened_ns": 0}
                place = {"project_id": "default", "policy_id": "p", "version": "v", "group_key": "{}"}
                tx.execute(incident.insert().values(id=incident_id, **place, **said, updated_ns=0))
            for name in names:
                message = OutboxMessage(name, "default", "oncall", "x", incident_id, b"{}", "pending", 0, 0, 0)
                insert_message(tx, message)

    return add


def stored(database: Database) -> dict[str, OutboxMessage]:
    with database.read() as tx:
        return {one.id: one for one in list_messages(tx, "default")}


def audited(database: Database) -> list[dict[str, object]]:
    with database.read() as tx:
        rows = tx.execute(select(audit_intake.c.body).order_by(audit_intake.c.id))
        return [orjson.loads(row.body) for row in rows]


def kill(database: Database, times: int = 1) -> None:
    for _ in range(times):
        deliver_due(database, 5, Receiver(Rejected("forbidden address")))


class TestReplay:
    def test_it_sends_dead_messages_again_under_their_ids_with_ten_new_attempts(
        self, database: Database, queue: Queue
    ) -> None:
        queue("msg_1", "msg_2")
        kill(database, 2)
        done = replay_dead_letters(database, "default", "oncall", None, ANN, 50)
        assert (done.replayed, dict(done.skipped)) == (("msg_1", "msg_2"), {})
        assert (stored(database)["msg_1"].state, stored(database)["msg_1"].attempts) == ("pending", 0)
        up = Receiver()
        deliver_due(database, 50, up)
        deliver_due(database, 50, up)
        assert [name for name, _ in up.sent] == ["msg_1", "msg_2"]
        with database.read() as tx:
            assert [(one.n, one.outcome) for one in list_attempts(tx, ["msg_1"])] == [(1, "rejected"), (2, "delivered")]
        (event,) = audited(database)
        assert (event["action"], event["actor"], event["object"]) == ("endpoint.replayed", "ann", "endpoint/oncall")
        assert (event["messages"], event["first"], event["last"]) == (2, "msg_1", "msg_2")

    def test_asking_twice_changes_nothing_more(self, database: Database, queue: Queue) -> None:
        queue("msg_1")
        kill(database)
        replay_dead_letters(database, "default", "oncall", ["msg_1"], ANN, 50)
        again = replay_dead_letters(database, "default", "oncall", ["msg_1", "nothing"], ANN, 60)
        assert (again.replayed, again.intake_id) == ((), None)
        assert dict(again.skipped) == {"msg_1": "it is not dead", "nothing": "it is not dead"}
        deliver_due(database, 70, Receiver())
        assert replay_dead_letters(database, "default", "oncall", None, ANN, 80).replayed == ()
        assert len(audited(database)) == 1

    def test_it_does_not_open_again_what_is_over(self, database: Database, queue: Queue) -> None:
        queue("opened", "resolved", kind="pagerduty")
        kill(database)
        deliver_due(database, 6, Receiver())
        assert {name: one.state for name, one in stored(database).items()} == {
            "opened": "dead",
            "resolved": "delivered",
        }
        done = replay_dead_letters(database, "default", "oncall", None, ANN, 50)
        assert dict(done.skipped) == {"opened": "a later message of its incident has arrived"}
        assert done.intake_id is None

    def test_it_lets_a_resting_endpoint_be_tried_at_once(self, database: Database, queue: Queue) -> None:
        queue("msg_1")
        kill(database)
        with database.read() as tx:
            found = find_endpoint(tx, "default", "oncall")
        assert found is not None
        _rest(database, found, 10**15)
        replay_dead_letters(database, "default", "oncall", None, ANN, 50)
        assert deliver_due(database, 50, Receiver()).delivered == 1

    def test_other_projects_and_endpoints_are_out_of_reach(self, database: Database, queue: Queue) -> None:
        queue("msg_1")
        kill(database)
        for project, name in (("other", "oncall"), ("default", "nobody")):
            with pytest.raises(NotFoundError):
                replay_dead_letters(database, project, name, ["msg_1"], ANN, 50)
        assert stored(database)["msg_1"].state == "dead"

    def test_a_disabled_endpoint_is_enabled_first(self, database: Database, queue: Queue) -> None:
        queue("msg_1")
        with database.write() as tx:
            disable_endpoint(tx, "default", "oncall", "gone")
        with pytest.raises(ConflictError, match="enable it first"):
            replay_dead_letters(database, "default", "oncall", None, ANN, 50)

    @pytest.mark.parametrize("n", [0, MOST_REPLAYED + 1])
    def test_it_takes_a_sane_number(self, database: Database, n: int) -> None:
        with pytest.raises(InvalidInputError):
            replay_dead_letters(database, "default", "oncall", ["m"] * n, ANN, 50)


class TestDiscard:
    def test_it_removes_what_is_dead_with_its_attempts_and_says_so_in_the_log(
        self, database: Database, queue: Queue
    ) -> None:
        queue("msg_1", "msg_2", "msg_3")
        kill(database, times=2)
        done = discard_dead_letters(database, "default", "oncall", ["msg_1", "msg_3", "msg_9"], ANN, 50)
        assert done.replayed == ("msg_1",)
        assert dict(done.skipped) == {"msg_3": "it is not dead", "msg_9": "it is not dead"}
        assert set(stored(database)) == {"msg_2", "msg_3"}
        with database.read() as tx:
            assert list_attempts(tx, ["msg_1"]) == []
        (event,) = [one for one in audited(database) if one["action"] == "endpoint.discarded"]
        assert (event["messages"], event["first"], event["last"]) == (1, "msg_1", "msg_1")
        assert discard_dead_letters(database, "default", "oncall", None, ANN, 50).replayed == ("msg_2",)
        again = discard_dead_letters(database, "default", "oncall", None, ANN, 50)
        assert (again.replayed, again.intake_id) == ((), None)

    def test_other_projects_are_out_of_reach(self, database: Database, queue: Queue) -> None:
        queue("msg_1")
        kill(database)
        with pytest.raises(NotFoundError):
            discard_dead_letters(database, "other", "oncall", ["msg_1"], ANN, 50)
        with pytest.raises(InvalidInputError):
            discard_dead_letters(database, "default", "oncall", [], ANN, 50)
        assert set(stored(database)) == {"msg_1"}


def _rest(database: Database, found: Endpoint, until_ns: int) -> None:
    with database.write() as tx:
        set_breaker(tx, found, Breaker(9, until_ns), 5, error="answered 503")


class TestTry:
    @staticmethod
    def attempt(database: Database, receiver: Receiver, now_ns: int = 50) -> Trial:
        return try_endpoint(database, receiver, "default", "oncall", ANN, now_ns, console_url="https://c.example")

    def test_it_sends_a_test_event_and_closes_the_breaker(self, database: Database, queue: Queue) -> None:
        queue()
        with database.read() as tx:
            found = find_endpoint(tx, "default", "oncall")
        assert found is not None
        _rest(database, found, 10**15)
        up = Receiver()
        self.attempt(database, up)
        event = orjson.loads(up.sent[0][1])
        assert (event["type"], event["data"]["endpoint"]) == ("endpoint.test", "oncall")
        assert event["data"]["url"] == "https://c.example/go?to=%2Fendpoints"
        with database.read() as tx:
            after = find_endpoint(tx, "default", "oncall")
        assert after is not None
        assert (after.breaker, after.delivered_ns, after.last_error) == (Breaker(), 50, None)
        assert [event["action"] for event in audited(database)] == ["endpoint.tested"]
        assert stored(database) == {}

    def test_a_failure_is_reported_and_counted(self, database: Database, queue: Queue) -> None:
        queue()
        trial = self.attempt(database, Receiver(RetryLater("answered 500", 500)), 5 * SECOND_NS)
        assert (trial.delivered, trial.status, trial.detail) == (False, 500, "answered 500")
        with database.read() as tx:
            after = find_endpoint(tx, "default", "oncall")
        assert after is not None
        assert (after.breaker.failures, after.last_error) == (1, "answered 500")
