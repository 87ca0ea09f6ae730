from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError, StaleError
from policies.actions.handling import (
    approve_action,
    cancel_action,
    finish_by_hand,
    refuse_action,
    set_switch,
)
from policies.actions.http import JsonClient
from policies.actions.mlflow import MlflowAdapter
from policies.actions.store import list_switches
from policies.actors import Actor
from policies.hooks.store import list_messages
from tests.unit.policies.actions.conftest import APPROVER, LOOPBACK, START, Stage
from tests.unit.policies.actions.servers import MlflowServer

ALICE = Actor("alice", "approver")
CAROL = Actor("carol", "operator")
# What differs between databases is told by test_guards.py, and by the approvals below.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def approve(stage: Stage, actor: Actor = APPROVER, *, at: int = -1, expected: int | None = None) -> None:
    one = stage.actions()[at]
    approve_action(stage.db, "default", one.id, "agreed", actor, stage.clock(), stage.rules, expected)


class TestApprove:
    def test_refuses_the_author_of_the_policy(self, rollback: Stage) -> None:
        rollback.work()
        with pytest.raises(ConflictError, match="alice wrote the policy that asks for this"):
            approve(rollback, ALICE)
        assert rollback.one().state == "proposed"

    def test_refuses_before_it_is_planned_and_when_it_has_moved_on(self, rollback: Stage) -> None:
        with pytest.raises(ConflictError, match="is being planned"):
            approve(rollback)
        rollback.work()
        with pytest.raises(StaleError):
            approve(rollback, expected=1)
        with pytest.raises(NotFoundError):
            approve_action(rollback.db, "other", rollback.one().id, "", APPROVER, 1, rollback.rules)

    def test_lets_one_of_two_through_that_press_at_once(self, rollback: Stage) -> None:
        rollback.work()

        def press(name: str) -> bool:
            try:
                approve(rollback, Actor(name, "approver"))
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(press, ["bob", "carol", "dave", "erin"])) == 1

    def test_is_stored_as_an_approval_that_the_database_keeps_from_the_author(self, rollback: Stage) -> None:
        rollback.work()
        approve(rollback)
        with rollback.db.read() as tx:
            row = tx.execute(text("SELECT kind, requested_by, approver, verdict, waived FROM approval")).one()
        assert tuple(row) == ("action", "alice", "bob", "approved", False)


@on_sqlite
class TestRefuse:
    def test_ends_it_with_the_reason(self, rollback: Stage, registry: MlflowServer) -> None:
        rollback.work()
        refuse_action(rollback.db, "default", rollback.one().id, "a false alarm", APPROVER, rollback.clock())
        rollback.clock.forward(60)
        rollback.work()
        assert (rollback.one().state, rollback.one().reason) == ("refused", "a false alarm")
        assert registry.writes() == []
        with pytest.raises(ConflictError, match="is refused"):
            approve(rollback, CAROL)

    def test_asks_for_a_reason(self, rollback: Stage) -> None:
        with pytest.raises(InvalidInputError, match="say why"):
            refuse_action(rollback.db, "default", rollback.one().id, " ", APPROVER, rollback.clock())


@on_sqlite
class TestCancel:
    def test_calls_off_what_was_not_sent(self, rollback: Stage) -> None:
        rollback.work()
        approve(rollback)
        cancel_action(rollback.db, "default", rollback.one().id, "changed our minds", CAROL, rollback.clock())
        assert rollback.one().state == "cancelled"

    def test_cannot_call_back_what_was_sent(self, rollback: Stage) -> None:
        rollback.work()
        approve(rollback)
        rollback.work()
        with pytest.raises(ConflictError, match="it cannot become cancelled"):
            cancel_action(rollback.db, "default", rollback.one().id, "too late", CAROL, rollback.clock())


@on_sqlite
class TestSwitch:
    def test_calls_off_what_was_agreed_to_and_refuses_more(self, rollback: Stage, registry: MlflowServer) -> None:
        rollback.work()
        approve(rollback)
        made, _ = set_switch(rollback.db, "default", True, "drill", CAROL, rollback.clock(), everywhere=True)
        assert (made.project_id, made.stopped, made.actor) == ("*", True, "carol")
        rollback.work()
        assert (rollback.one().state, rollback.one().reason) == ("cancelled", "actions were stopped: drill")
        assert registry.writes() == []

    def test_keeps_proposals_for_later(self, rollback: Stage, registry: MlflowServer) -> None:
        set_switch(rollback.db, "default", True, "drill", CAROL, rollback.clock())
        rollback.work()
        with pytest.raises(ConflictError, match=r"actions are stopped: drill \(carol\)"):
            approve(rollback)
        set_switch(rollback.db, "default", False, "over", CAROL, rollback.clock())
        approve(rollback)
        rollback.work()
        assert registry.alias("support-bot", "champion") == "2"
        with rollback.db.read() as tx:
            assert [(one.project_id, one.stopped) for one in list_switches(tx, "default")] == [("default", False)]
        kinds = [leaf["action"] for leaf in rollback.leaves("actions.")]
        assert kinds == ["actions.stopped", "actions.resumed"]


@on_sqlite
class TestAuto:
    def make(self, rollback_text: str) -> str:
        return rollback_text.replace("mode: propose", "mode: auto")

    def test_waits_for_a_person_where_it_would_touch_too_much(
        self, stage: Stage, registry: MlflowServer, policy_text: str
    ) -> None:
        stage.adapters["mlflow"] = MlflowAdapter(JsonClient(registry.url, LOOPBACK))
        stage.activate(self.make(policy_text))
        stage.fire()
        stage.work()
        one = stage.one()
        assert one.state == "proposed"
        assert one.reason.startswith("a person has to decide: it would touch 100% of the traffic")
        assert registry.writes() == []
        approve(stage)
        stage.work()
        assert registry.alias("support-bot", "champion") == "2"

    def test_acts_alone_on_a_small_share(self, stage: Stage, registry: MlflowServer, policy_text: str) -> None:
        stage.adapters["mlflow"] = MlflowAdapter(JsonClient(registry.url, LOOPBACK))
        stage.activate(self.make(policy_text))
        stage.traffic(START, "latency_ms", [1.0] * 1000, deployment="other")
        stage.fire()
        stage.work()
        assert registry.alias("support-bot", "champion") == "2"
        one = stage.one()
        assert (one.state, one.approver) == ("verifying", "policy-engine")
        assert stage.story(one.id)[:3] == ["proposed", "planned", "approved"]

    def test_does_nothing_in_shadow(self, stage: Stage, registry: MlflowServer, policy_text: str) -> None:
        stage.activate(policy_text.replace("mode: propose", "mode: shadow"))
        stage.fire()
        stage.work()
        assert stage.one().state == "shadowed"
        assert stage.story(stage.one().id) == ["shadowed"]
        assert registry.calls == []


@on_sqlite
class TestByHand:
    def test_lets_people_say_that_it_is_done(self, stage: Stage, policy_text: str) -> None:
        stage.activate(
            policy_text.replace(
                "kind: rollback\n    target: {adapter: mlflow, model: support-bot, alias: champion}", "kind: review"
            )
        )
        stage.fire()
        stage.work()
        approve(stage)
        stage.work()
        one = stage.one()
        assert (one.state, one.reason) == ("sent", "waiting for a person to say that it is done")
        with stage.db.read() as tx:
            told = [message.event_type for message in reversed(list_messages(tx, "default"))]
        assert told == ["incident.opened", "action.proposed", "review.requested"]
        finish_by_hand(stage.db, "default", one.id, "done", "looked at forty answers", CAROL, stage.clock())
        stage.work()
        assert stage.one().state == "verifying"
