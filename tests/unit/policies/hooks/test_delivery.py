from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from collector.content import MasterSecretBox
from custodes.db import Database
from custodes.kernel.clock import HOUR_NS, SECOND_NS
from custodes.kernel.settings_webhook import WebhookSettings
from custodes.runtime.tasks import make_sender
from policies.hooks.delivery import DeliveryReport, deliver_due
from policies.hooks.endpoint_store import Endpoint, find_endpoint
from policies.hooks.schedule import Retry
from policies.hooks.store import (
    Attempt,
    OutboxMessage,
    claim_due,
    list_attempts,
    list_messages,
    record_attempt,
)
from policies.hooks.webhook import Delivered, Gone, Outcome, Rejected, RetryLater

Add = Callable[..., OutboxMessage]


@dataclass
class ScriptedSender:
    """Answers from a list (the last repeats) and keeps what was sent."""

    outcomes: list[Outcome] = field(default_factory=lambda: [Delivered(200)])
    sent: list[str] = field(default_factory=list)
    timeout_s: float = 1.0

    def deliver(self, receiver: Endpoint, message_id: str, body: bytes, now_ns: int) -> Outcome:
        self.sent.append(message_id)
        return self.outcomes[min(len(self.sent), len(self.outcomes)) - 1]


def messages(database: Database) -> dict[str, OutboxMessage]:
    with database.read() as tx:
        return {message.id: message for message in list_messages(tx, "default")}


def attempts(database: Database, *ids: str) -> list[Attempt]:
    with database.read() as tx:
        return list_attempts(tx, ids)


class TestDeliverDue:
    def test_marks_an_accepted_message_delivered(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add
    ) -> None:
        add_endpoint()
        add_message()
        assert deliver_due(database, 7, ScriptedSender()) == DeliveryReport(delivered=1)
        stored = messages(database)["msg_1"]
        assert (stored.state, stored.attempts, stored.delivered_ns, stored.last_error) == ("delivered", 1, 7, None)
        (attempt,) = attempts(database, "msg_1")
        assert (attempt.n, attempt.outcome, attempt.status, attempt.detail) == (1, "delivered", 200, "answered 200")
        assert deliver_due(database, 8, ScriptedSender()).attempts == 0

    def test_tries_again_on_schedule_under_the_same_id_until_accepted(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add
    ) -> None:
        add_endpoint()
        add_message()
        sender = ScriptedSender([RetryLater("answered 500", 500), RetryLater("answered 500", 500), Delivered(200)])
        assert deliver_due(database, 0, sender).retried == 1
        first = messages(database)["msg_1"]
        assert first.next_attempt_ns == pytest.approx(5 * SECOND_NS, rel=0.1)
        assert first.last_error == "answered 500"
        assert deliver_due(database, first.next_attempt_ns - 1, sender).attempts == 0
        assert deliver_due(database, first.next_attempt_ns, sender).retried == 1
        second = messages(database)["msg_1"]
        assert second.next_attempt_ns - first.next_attempt_ns == pytest.approx(300 * SECOND_NS, rel=0.1)
        assert deliver_due(database, second.next_attempt_ns, sender).delivered == 1
        assert sender.sent == ["msg_1"] * 3
        assert [(one.n, one.outcome) for one in attempts(database, "msg_1")] == [
            (1, "retrylater"),
            (2, "retrylater"),
            (3, "delivered"),
        ]

    def test_gives_up_after_ten_attempts(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add
    ) -> None:
        add_endpoint()
        add_message()
        sender = ScriptedSender([RetryLater("answered 500", 500)])
        reports = [deliver_due(database, n * 27 * HOUR_NS, sender) for n in range(12)]
        assert [report.retried for report in reports] == [1] * 9 + [0] * 3
        assert reports[9].dead == 1
        assert (messages(database)["msg_1"].state, len(sender.sent)) == ("dead", 10)

    def test_honours_retry_after(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add
    ) -> None:
        add_endpoint()
        add_message()
        deliver_due(database, 0, ScriptedSender([RetryLater("answered 429", 429, 600.0)]))
        assert messages(database)["msg_1"].next_attempt_ns == 600 * SECOND_NS

    def test_does_not_repeat_what_cannot_succeed(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add
    ) -> None:
        add_endpoint()
        add_message()
        assert deliver_due(database, 0, ScriptedSender([Rejected("forbidden address")])).dead == 1
        assert messages(database)["msg_1"].last_error == "forbidden address"

    def test_disables_an_endpoint_that_is_gone_and_all_that_waits_for_it(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add
    ) -> None:
        add_endpoint()
        add_endpoint("other")
        for name, endpoint in (("msg_1", "oncall"), ("msg_2", "oncall"), ("msg_3", "other")):
            add_message(name, endpoint=endpoint)
        deliver_due(database, 0, ScriptedSender([Gone(), Delivered(200)]))
        assert {name: message.state for name, message in messages(database).items()} == {
            "msg_1": "dead",
            "msg_2": "dead",
            "msg_3": "delivered",
        }
        with database.read() as tx:
            disabled = find_endpoint(tx, "default", "oncall")
        assert disabled is not None
        assert (disabled.state, disabled.disabled_reason) == ("disabled", "the receiver answered 410 Gone")

    def test_spends_one_attempt_a_round_on_a_failing_endpoint(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add
    ) -> None:
        add_endpoint()
        add_endpoint("other")
        for number in range(3):
            add_message(f"msg_{number}")
        add_message("msg_9", endpoint="other", at_ns=1)
        sender = ScriptedSender([RetryLater("no answer"), Delivered(200)])
        assert deliver_due(database, 5, sender) == DeliveryReport(delivered=1, retried=1, released=2)
        assert sender.sent == ["msg_0", "msg_9"]
        assert deliver_due(database, 5, ScriptedSender()).delivered == 2

    def test_leaves_messages_without_a_usable_endpoint_alone(self, database: Database, add_message: Add) -> None:
        add_message()
        assert deliver_due(database, 5, ScriptedSender()) == DeliveryReport()
        assert messages(database)["msg_1"].state == "pending"

    def test_does_not_send_before_the_time(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add
    ) -> None:
        add_endpoint()
        add_message(at_ns=100)
        assert deliver_due(database, 99, ScriptedSender()).attempts == 0
        assert deliver_due(database, 100, ScriptedSender()).attempts == 1

    def test_takes_over_from_a_sender_that_died(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add
    ) -> None:
        add_endpoint()
        add_message()

        class PowerCut(BaseException):
            pass

        class Dying(ScriptedSender):
            def deliver(self, *_: object) -> Outcome:
                raise PowerCut

        with pytest.raises(PowerCut):
            deliver_due(database, 0, Dying())
        assert deliver_due(database, 1, ScriptedSender()).attempts == 0
        assert deliver_due(database, HOUR_NS, ScriptedSender()).delivered == 1

    def test_ignores_the_outcome_of_a_lease_that_was_lost(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add
    ) -> None:
        add_endpoint()
        add_message()
        with database.write() as tx:
            (claimed,) = claim_due(tx, "slow", now_ns=0, lease_ns=10, limit=1)
        assert deliver_due(database, 20, ScriptedSender()).delivered == 1
        late = Attempt("msg_1", 1, 30, "retrylater", 500, 1.0, "late")
        with database.write() as tx:
            assert not record_attempt(tx, claimed, "slow", late, "pending", Retry(40, 40))
        assert messages(database)["msg_1"].state == "delivered"

    def test_lets_many_workers_send_each_message_once(
        self, database: Database, add_endpoint: Callable[..., object], add_message: Add
    ) -> None:
        add_endpoint()
        for number in range(24):
            add_message(f"msg_{number}")
        sender = ScriptedSender()
        with ThreadPoolExecutor(4) as pool:
            reports = list(pool.map(lambda _: deliver_due(database, 5, sender, limit=4), range(12)))
        assert sum(report.delivered for report in reports) == 24
        assert sorted(sender.sent) == sorted({f"msg_{number}" for number in range(24)})

    def test_delivers_over_real_http_after_failures(
        self,
        database: Database,
        add_endpoint: Callable[..., object],
        add_message: Add,
        receiver: Any,
        secret_box: MasterSecretBox,
    ) -> None:
        receiver.answers = [(500, {}, b""), (200, {}, b"")]
        add_endpoint(url=receiver.url)
        add_message()
        port = urlsplit(receiver.url).port or 0
        sender = make_sender(
            WebhookSettings(allowed_private_cidrs=("127.0.0.0/8",), allow_http=True, allowed_ports=(port,)), secret_box
        )
        deliver_due(database, 0, sender, rng=random.Random(1))
        deliver_due(database, 10 * SECOND_NS, sender, rng=random.Random(1))
        ids = [request.headers["webhook-id"] for request in receiver.requests]
        times = [request.headers["webhook-timestamp"] for request in receiver.requests]
        assert (ids, times) == (["msg_1", "msg_1"], ["0", "10"])
        assert messages(database)["msg_1"].state == "delivered"
