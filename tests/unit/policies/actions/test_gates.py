from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from custodes.kernel.clock import HOUR_NS, MINUTE_NS
from policies.actions.action import Action
from policies.actions.gates import ActionRules, Facts, choose_version, reason_against, reason_to_ask

NOW = 1_000 * HOUR_NS
RULES = ActionRules()


def make_action(**changes: Any) -> Action:
    body = {"kind": "rollback", "target": {"adapter": "mlflow"}, "mode": "auto", "limits": {}}
    made = Action(
        id="a-1",
        project_id="default",
        kind="rollback",
        adapter="mlflow",
        target_key="mlflow/bot/champion",
        target={"adapter": "mlflow"},
        policy_id="p",
        version="sha256:0",
        decision_id="d",
        incident_id="i",
        group_key="{}",
        mode="auto",
        state="proposed",
        author="alice",
        idempotency_key="k",
        terms=body,
        created_ns=0,
        updated_ns=0,
        to_version="2",
        traffic_share=0.1,
        share_cap=0.5,
    )
    return replace(made, **changes)


class TestReasonAgainst:
    def test_finds_nothing_against_a_quiet_target(self) -> None:
        assert reason_against(make_action(), Facts(), RULES, NOW) is None

    @pytest.mark.parametrize(
        ("facts", "words"),
        [
            (Facts(stopped="maintenance (carol)"), "actions are stopped: maintenance (carol)"),
            (Facts(in_flight="a-0"), "action a-0 on the same target is still under way"),
            (Facts(last_sent_ns=NOW - 59 * MINUTE_NS), "the pause between two of them ends in 1m"),
            (Facts(begun_in_project=4), "4 actions began in the last hour, and 4 are allowed"),
            (Facts(left=frozenset({"2"})), "version 2 was itself rolled back lately"),
        ],
    )
    def test_names_the_rule_that_speaks_against_it(self, facts: Facts, words: str) -> None:
        assert words in (reason_against(make_action(), facts, RULES, NOW) or "")

    def test_lets_a_policy_set_its_own_limits(self) -> None:
        terms = {**make_action().terms, "limits": {"cooldown": "2h", "per_hour": 1}}
        strict = make_action(terms=terms)
        assert "the pause" in (reason_against(strict, Facts(last_sent_ns=NOW - 90 * MINUTE_NS), RULES, NOW) or "")
        assert "allows 1 actions an hour" in (reason_against(strict, Facts(begun_by_policy=1), RULES, NOW) or "")

    def test_ends_a_pause_exactly_when_it_is_over(self) -> None:
        assert reason_against(make_action(), Facts(last_sent_ns=NOW - HOUR_NS), RULES, NOW) is None
        assert reason_against(make_action(), Facts(last_sent_ns=NOW - HOUR_NS + 1), RULES, NOW) is not None


class TestReasonToAsk:
    def test_lets_small_actions_act_alone(self) -> None:
        assert reason_to_ask(make_action(), Facts(), RULES) is None

    @pytest.mark.parametrize(
        ("changes", "facts", "words"),
        [
            ({"kind": "finetune"}, Facts(), "always needs a person"),
            ({"traffic_share": None}, Facts(), "nobody can tell how much traffic"),
            ({"traffic_share": 0.51}, Facts(), "it would touch 51% of the traffic"),
            ({}, Facts(ended=4, failed=2), "2 of the last 4 actions did not help"),
        ],
    )
    def test_says_why_a_person_has_to_look(self, changes: dict[str, object], facts: Facts, words: str) -> None:
        assert words in (reason_to_ask(make_action(**changes), facts, RULES) or "")

    @pytest.mark.parametrize("facts", [Facts(ended=3, failed=3), Facts(ended=5, failed=2)])
    def test_does_not_judge_automation_by_too_little(self, facts: Facts) -> None:
        assert reason_to_ask(make_action(), facts, RULES) is None


class TestChooseVersion:
    def test_takes_the_best_that_was_not_left_lately(self) -> None:
        assert choose_version(["3", "2", "1"], "3", frozenset({"2"})) == "1"
        assert choose_version(["3", "2"], "3", frozenset({"2"})) is None
        assert choose_version([], "3", frozenset()) is None
