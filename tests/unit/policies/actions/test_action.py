from __future__ import annotations

import pytest

from custodes.kernel.errors import ConflictError, InvalidInputError
from policies.actions.action import ENDED, STEPS, advance, approve, make_idempotency_key, make_target_key
from tests.unit.policies.actions.test_gates import make_action


class TestAdvance:
    @pytest.mark.parametrize(("before", "after"), [(a, b) for a in STEPS for b in STEPS])
    def test_takes_the_steps_that_exist_and_no_other(self, before: str, after: str) -> None:
        action = make_action(state=before)
        if after in STEPS[before]:
            moved = advance(action, after, 5)  # type: ignore[arg-type]
            assert (moved.state, moved.revision, moved.updated_ns) == (after, 2, 5)
            assert (moved.finished_ns == 5) == (after in ENDED)
            return
        with pytest.raises(ConflictError, match=f"is {before}; it cannot become {after}"):
            advance(action, after, 5)  # type: ignore[arg-type]


class TestApprove:
    def test_waits_for_the_plan(self) -> None:
        with pytest.raises(ConflictError, match="is being planned"):
            approve(make_action(), "bob", 1)

    def test_refuses_the_author(self) -> None:
        with pytest.raises(ConflictError, match="somebody else has to approve"):
            approve(make_action(planned_ns=1), "alice", 2)

    def test_says_where_the_rule_was_waived(self) -> None:
        assert approve(make_action(planned_ns=1), "alice", 2, waived=True).waived
        assert not approve(make_action(planned_ns=1), "bob", 2, waived=True).waived


class TestKeys:
    def test_name_one_target_alike_across_projects(self) -> None:
        target = {"adapter": "mlflow", "model": "bot", "alias": "champion"}
        assert make_target_key("rollback", "a", target) == make_target_key("rollback", "b", target)
        assert make_target_key("rollback", "a", {**target, "connection": "eu"}) == "eu/bot/champion"

    def test_keep_the_work_of_projects_apart(self) -> None:
        assert make_target_key("review", "a", None) != make_target_key("review", "b", None)

    def test_say_what_is_missing(self) -> None:
        with pytest.raises(InvalidInputError, match="needs model, alias"):
            make_target_key("rollback", "a", {"adapter": "mlflow"})

    def test_fit_their_column(self) -> None:
        long = {"adapter": "mlflow", "model": "m" * 256, "alias": "a" * 256}
        assert len(make_target_key("rollback", "p", long)) <= 256
        assert make_target_key("rollback", "p", long) != make_target_key("rollback", "p", {**long, "alias": "b" * 256})

    def test_differ_between_episodes(self) -> None:
        assert make_idempotency_key("v", "rollback", "t", "1") != make_idempotency_key("v", "rollback", "t", "2")
