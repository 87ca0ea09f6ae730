"""What people ask for to serve: agreed to by somebody else, moved once, judged, and never in a rollback's way."""

from __future__ import annotations

from typing import Any

import pytest

from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from policies.actions.action import Action
from policies.actions.handling import approve_action
from policies.actions.http import JsonClient
from policies.actions.mlflow import MlflowAdapter
from policies.actions.promotion import propose_promotion
from policies.actors import Actor
from tests.unit.policies.actions.conftest import APPROVER, LOOPBACK, Stage
from tests.unit.policies.actions.servers import MlflowServer

ASKER = Actor("olga", "operator")
TARGET = {"adapter": "mlflow", "model": "support-bot", "alias": "champion", "to_alias": "candidate"}
VERIFY = {"expr": "tox_p95 < 0.60", "min_n": 50, "within": "1h"}


@pytest.fixture
def candidate(stage: Stage, registry: MlflowServer, policy_text: str) -> Stage:
    """A stage on which version 2 serves, version 3 is the candidate, and nothing has gone wrong."""
    registry.set_alias("support-bot", "champion", "2")
    registry.set_alias("support-bot", "candidate", "3")
    stage.adapters["mlflow"] = MlflowAdapter(JsonClient(registry.url, LOOPBACK))
    stage.activate(policy_text)
    return stage


def propose(stage: Stage, **changes: Any) -> Action:
    given: dict[str, Any] = {"target": TARGET, "policy_id": "toxicity-spike", "verify": VERIFY, **changes}
    target = given.pop("target")
    return propose_promotion(stage.db, "default", target, "it is better", ASKER, stage.clock(), **given)[0]


def both(stage: Stage) -> tuple[Action, Action]:
    """Return the promotion and the rollback of a story with one of each."""
    found = {one.kind: one for one in stage.actions()}
    return found["promotion"], found["rollback"]


def approve(stage: Stage, one: Action, actor: Actor = APPROVER) -> None:
    approve_action(stage.db, "default", one.id, "agreed", actor, stage.clock(), stage.rules)


class TestPromotion:
    def test_is_agreed_to_by_somebody_else_done_and_judged(self, candidate: Stage, registry: MlflowServer) -> None:
        one = propose(candidate)
        candidate.work()
        planned = candidate.one()
        assert (planned.from_version, planned.to_version, planned.deployment) == ("2", "3", "support-bot-v3")
        with pytest.raises(ConflictError, match="olga asked for this"):
            approve(candidate, one, ASKER)
        assert registry.moves == []
        approve(candidate, one)
        candidate.work()
        assert registry.alias("support-bot", "champion") == "3"
        candidate.serve([0.05] * 100, minutes=3, deployment="support-bot-v3")
        candidate.work()
        assert candidate.one().state == "helped"
        told = [(leaf["action"], leaf["actor"]) for leaf in candidate.leaves()]
        assert told[0] == ("action.proposed", "olga")
        assert ("action.approved", "bob") in told
        assert candidate.leaves()[0]["reason"] == "it is better"

    def test_says_when_the_new_version_is_worse(self, candidate: Stage) -> None:
        one = propose(candidate)
        candidate.work()
        approve(candidate, one)
        candidate.work()
        candidate.serve([0.95] * 100, minutes=3, deployment="support-bot-v3")
        candidate.work()
        assert candidate.one().state == "not_helped"

    def test_makes_way_for_a_rollback_at_once(self, candidate: Stage, registry: MlflowServer) -> None:
        registry.set_tag("support-bot", "3", "validation_status", "")
        one = propose(candidate)
        candidate.work()
        approve(candidate, one)
        candidate.work()
        candidate.fire(deployments=("support-bot-v3",))
        candidate.work()
        promotion, rollback = both(candidate)
        assert (promotion.state, rollback.state) == ("verifying", "proposed")
        assert (rollback.from_version, rollback.to_version) == ("3", "2")
        # Neither the pause between two actions nor the judging of the first keeps from taking it back.
        approve(candidate, rollback)
        candidate.work()
        promotion, rollback = both(candidate)
        assert (promotion.state, promotion.reason) == (
            "inconclusive",
            f"rollback {rollback.id} was agreed to meanwhile",
        )
        assert (rollback.state, registry.alias("support-bot", "champion")) == ("verifying", "2")
        # The version that was just rolled back is not promoted again.
        again = propose(candidate)
        candidate.work()
        assert next(one for one in candidate.actions() if one.id == again.id).state == "failed"

    def test_waits_alone_for_its_target(self, candidate: Stage) -> None:
        one = propose(candidate)
        with pytest.raises(ConflictError, match=f"promotion {one.id} of the same target is proposed"):
            propose(candidate)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"target": {**TARGET, "adapter": "people"}}, "promoted by one of"),
            ({"target": {"adapter": "mlflow", "model": "m", "alias": "a"}}, "say what to promote"),
            ({"target": {"adapter": "mlflow", "to": "3"}}, "needs model, alias"),
            ({"policy_id": None}, "verify goes with the policy"),
            ({"verify": None}, "verify goes with the policy"),
            ({"verify": {**VERIFY, "expr": "other < 1.0"}}, "signals of toxicity-spike"),
            ({"verify": {**VERIFY, "within": "soon"}}, "within"),
            ({"verify": {**VERIFY, "if": "x"}}, "if"),
        ],
    )
    def test_is_refused_when_it_cannot_be_done_or_judged(
        self, candidate: Stage, changes: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=words):
            propose(candidate, **changes)
        with pytest.raises(NotFoundError, match="no version of policy"):
            propose(candidate, policy_id="nobodys")
        assert candidate.actions() == []
