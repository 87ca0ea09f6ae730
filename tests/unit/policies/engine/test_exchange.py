"""Rules about single exchanges: a match fires at once, quiet resolves, and what cannot be judged changes nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.clock import MINUTE_NS
from policies.engine.exchange import judge, match, quiet
from policies.engine.state import GroupState
from policies.engine.step import Notify, OpenIncident, ResolveIncident
from policies.rules.cel import CelEngine
from policies.rules.compile import compile_policy
from policies.rules.expression import Truth
from policies.rules.load import parse_source

POLICY = compile_policy(
    parse_source(
        """\
apiVersion: custodes/v1
kind: ExchangePolicy
id: insult
owner: o
severity: low
when: score.toxicity > 0.9
keep_firing_for: 5m
actions: [{kind: webhook, endpoint: oncall}]
""",
        "p.yaml",
    ),
    CelEngine(),
)


class TestJudge:
    def test_it_tells_a_match_from_what_cannot_be_judged(self) -> None:
        assert judge(POLICY, {"score.toxicity": 0.95}).truth is Truth.TRUE
        assert judge(POLICY, {"score.toxicity": 0.5}).truth is Truth.FALSE
        assert judge(POLICY, {"score.toxicity": None}).truth is Truth.NO_DATA
        assert judge(POLICY, {"score.toxicity": float("nan")}).truth is Truth.NO_DATA


class TestMatch:
    def test_it_fires_at_once_and_only_once(self) -> None:
        first = match(POLICY, GroupState(), 7)
        assert first.intents == (OpenIncident(), Notify("oncall", "incident.opened"))
        assert [(one.from_state, one.to_state, one.at_ns) for one in first.transitions] == [("ok", "firing", 7)]
        second = match(POLICY, first.state, 9)
        assert (second.transitions, second.intents) == ((), ())
        assert second.state == first.state._replace(last_true_ns=9)

    def test_it_keeps_the_latest_match_when_workers_report_out_of_order(self) -> None:
        state = match(POLICY, match(POLICY, GroupState(), 9).state, 7).state
        assert (state.firing_since_ns, state.last_true_ns) == (9, 9)

    def test_it_can_fire_in_the_very_minute_in_which_the_last_episode_ended(self) -> None:
        fired = match(POLICY, GroupState(), 0).state
        ended = quiet(POLICY, fired, 5 * MINUTE_NS).state
        again = match(POLICY, ended, 5 * MINUTE_NS)
        assert again.state.firing_since_ns == 5 * MINUTE_NS


class TestQuiet:
    def test_it_resolves_when_no_exchange_matched_for_long_enough(self) -> None:
        fired = match(POLICY, GroupState(), 0).state
        assert quiet(POLICY, fired, 5 * MINUTE_NS - 1).state == fired
        ended = quiet(POLICY, fired, 5 * MINUTE_NS)
        assert ended.intents == (ResolveIncident(), Notify("oncall", "incident.resolved"))
        assert (ended.state.state, ended.state.firing_since_ns) == ("ok", None)

    def test_it_leaves_a_group_alone_that_does_not_fire(self) -> None:
        assert quiet(POLICY, GroupState(), MINUTE_NS).transitions == ()

    @given(st.lists(st.tuples(st.booleans(), st.integers(1, 4 * MINUTE_NS)), max_size=60))
    def test_it_opens_and_resolves_in_turn(self, moves: list[tuple[bool, int]]) -> None:
        state, now_ns, is_open = GroupState(), 0, False
        for matches, wait_ns in moves:
            now_ns += wait_ns
            result = match(POLICY, state, now_ns) if matches else quiet(POLICY, state, now_ns)
            for intent in result.intents:
                if isinstance(intent, OpenIncident | ResolveIncident):
                    assert isinstance(intent, ResolveIncident) == is_open
                    is_open = not is_open
            state = result.state
            assert (state.firing_since_ns is not None) == is_open
