from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.errors import InvalidInputError
from policies.engine.state import GroupState, json_to_state, state_to_json
from policies.engine.step import (
    Intent,
    Notify,
    OpenIncident,
    ProposeAction,
    ResolveIncident,
    StepResult,
    retire,
    step,
)
from policies.rules.cel import CelEngine
from policies.rules.compile import CompiledPolicy, compile_policy
from policies.rules.load import parse_source

Values = dict[str, float | None]

TEMPLATE = """\
apiVersion: custodes/v1
kind: Policy
id: p
owner: o
severity: low
signals: {{x: {{metric: toxicity, agg: mean, window: 1m}}, y: {{metric: hallucination, agg: mean, window: 1m}}}}
when: "{when}"
{clear}
for: {hold}m
keep_firing_for: {keep}m
no_data: {no_data}
actions: [{{kind: webhook, endpoint: oncall}}]
"""


def make(when: str = "x > 0.8", clear: str = "", hold: int = 0, keep: int = 0, no_data: str = "hold") -> CompiledPolicy:
    line = f'clear: "{clear}"' if clear else ""
    text = TEMPLATE.format(when=when, clear=line, hold=hold, keep=keep, no_data=no_data)
    return compile_policy(parse_source(text, "p.yaml"), CelEngine())


def run(
    policy: CompiledPolicy, series: Sequence[float | str | None], start: GroupState | None = None, first: int = 0
) -> list[StepResult]:
    """Step once a minute from minute ``first``; the text "error" stands for values on which the expression fails."""
    results, state = [], start or GroupState()
    for minute, value in enumerate(series, first):
        values: Values = {"x": 1.0, "y": 0.0} if value == "error" else {"x": value, "y": 1.0}  # type: ignore[dict-item]
        result = step(policy, state, minute * MINUTE_NS, values)
        results.append(result)
        state = result.state
    return results


def names(results: Sequence[StepResult]) -> str:
    """One letter a step: ok, pending, firing, no_data, error."""
    return "".join(result.state.state[0] for result in results)


class TestFor:
    def test_fires_at_once_without_for(self) -> None:
        assert names(run(make(), [0.1, 0.9, 0.1])) == "ofo"

    def test_fires_when_the_condition_has_held_for_that_long(self) -> None:
        assert names(run(make(hold=5), [0.1] * 4 + [0.9] * 10)) == "oooopppppfffff"

    def test_starts_over_when_the_condition_breaks(self) -> None:
        assert names(run(make(hold=3), [0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9])) == "ppopppf"

    def test_counts_time_and_not_evaluations(self) -> None:
        policy = make(hold=5)
        first = step(policy, GroupState(), 0, {"x": 0.9})
        assert step(policy, first.state, 5 * MINUTE_NS - 1, {"x": 0.9}).state.state == "pending"
        assert step(policy, first.state, 5 * MINUTE_NS, {"x": 0.9}).state.state == "firing"


class TestClear:
    def test_resolves_when_the_condition_ends_without_a_clear_line(self) -> None:
        assert names(run(make(), [0.9, 0.7])) == "fo"

    def test_stays_firing_between_the_two_lines(self) -> None:
        assert names(run(make(clear="x < 0.6"), [0.9, 0.7, 0.65, 0.7, 0.5])) == "ffffo"

    def test_keeps_firing_until_long_enough_after_the_condition_last_held(self) -> None:
        assert names(run(make(keep=3), [0.9, 0.1, 0.1, 0.1, 0.1])) == "fffoo"

    def test_measures_keep_firing_from_the_last_time_the_condition_held(self) -> None:
        assert names(run(make(keep=3), [0.9, 0.1, 0.9, 0.1, 0.1, 0.1])) == "fffffo"

    def test_does_not_resolve_while_the_condition_holds_even_if_clear_does_too(self) -> None:
        assert names(run(make(clear="x > 0.0"), [0.9, 0.9, 0.7])) == "ffo"

    def test_counts_keep_firing_also_for_the_time_between_the_lines(self) -> None:
        assert names(run(make(clear="x < 0.6", keep=3), [0.9, 0.7, 0.7, 0.7, 0.5])) == "ffffo"


class TestNoData:
    def test_hold_shows_no_data_for_a_group_that_was_well(self) -> None:
        assert names(run(make(), [0.1, None, 0.1])) == "ono"

    def test_hold_keeps_a_firing_group_firing(self) -> None:
        assert names(run(make(), [0.9, None, None, 0.1])) == "fffo"

    def test_hold_keeps_a_pending_group_pending_and_never_fires_by_itself(self) -> None:
        assert names(run(make(hold=2), [0.9, None, None, None, 0.9])) == "ppppf"

    def test_ok_counts_as_healthy(self) -> None:
        assert names(run(make(no_data="ok", clear="x < 0.6"), [0.9, None])) == "fo"

    def test_fire_counts_as_the_condition(self) -> None:
        assert names(run(make(no_data="fire", hold=2), [0.1, None, None, None, 0.1])) == "oppfo"

    def test_a_missing_clear_signal_does_not_resolve(self) -> None:
        policy = make(clear="y < 0.5")
        start = run(policy, [0.9])[-1].state
        held = step(policy, start, MINUTE_NS, {"x": 0.1})
        assert held.state.state == "firing"
        assert step(policy, held.state, 2 * MINUTE_NS, {"x": 0.1, "y": 0.1}).state.state == "ok"

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_treats_numbers_that_are_not_finite_as_missing(self, value: float) -> None:
        assert names(run(make(when="x < 0.8 || x > 0.9"), [value])) == "n"


class TestError:
    def test_is_a_state_of_its_own(self) -> None:
        assert names(run(make(when="x / y > 0.8"), [0.1, "error", 0.1])) == "oeo"

    def test_neither_starts_nor_continues_a_run(self) -> None:
        assert names(run(make(when="x / y > 0.8", hold=2), [0.9, "error", 0.9, 0.9, 0.9])) == "peppf"

    def test_never_resolves_an_incident(self) -> None:
        results = run(make(when="x / y > 0.8"), [0.9, "error", "error"])
        assert names(results) == "fee"
        assert results[-1].state.firing_since_ns == 0
        assert ResolveIncident() not in [intent for result in results for intent in result.intents]

    def test_does_not_open_a_second_incident_when_firing_comes_back(self) -> None:
        results = run(make(when="x / y > 0.8"), [0.9, "error", 0.9, 0.1])
        assert names(results) == "fefo"
        assert [type(intent) for result in results for intent in result.intents] == [
            OpenIncident,
            Notify,
            ResolveIncident,
            Notify,
        ]

    def test_of_clear_keeps_the_incident_open(self) -> None:
        policy = make(clear="1.0 / y > 0.5")
        start = run(policy, [0.9])[-1].state
        assert step(policy, start, MINUTE_NS, {"x": 0.1, "y": 0.0}).state.state == "error"


class TestIntents:
    def test_open_with_every_action_and_resolve_with_the_webhooks(
        self, policy_text: str, compiled: Callable[[str], CompiledPolicy]
    ) -> None:
        policy = compiled(policy_text.replace("for: 5m", "for: 0").replace("keep_firing_for: 10m", ""))
        opened = step(policy, GroupState(), 0, {"n": 80.0, "tox_p95": 0.9})
        assert opened.intents == (
            OpenIncident(),
            Notify("oncall", "incident.opened"),
            ProposeAction(policy.actions[1]),
        )
        resolved = step(policy, opened.state, MINUTE_NS, {"n": 80.0, "tox_p95": 0.1})
        assert resolved.intents == (ResolveIncident(), Notify("oncall", "incident.resolved"))

    def test_come_once_an_episode(self) -> None:
        results = run(make(), [0.9, 0.9, 0.9, 0.1, 0.1, 0.9])
        counts = [len(result.intents) for result in results]
        assert counts == [2, 0, 0, 2, 0, 2]


class TestTransitions:
    def test_say_from_to_when_and_why(self) -> None:
        (transition,) = run(make(hold=2), [0.9, 0.9, 0.9])[2].transitions
        assert (transition.from_state, transition.to_state) == ("pending", "firing")
        assert (transition.at_ns, transition.reason) == (2 * MINUTE_NS, "when holds for 2m")

    def test_name_the_missing_signals(self) -> None:
        assert run(make(), [None])[0].transitions[0].reason == "no value for x"

    def test_are_absent_while_the_state_stays(self) -> None:
        assert [len(result.transitions) for result in run(make(), [0.1, 0.9, 0.9, 0.1])] == [0, 1, 0, 1]


class TestTime:
    @pytest.mark.parametrize("now_ns", [0, MINUTE_NS - 1, MINUTE_NS])
    def test_may_not_stand_still_or_run_backwards(self, now_ns: int) -> None:
        state = step(make(), GroupState(), MINUTE_NS, {"x": 0.1}).state
        with pytest.raises(InvalidInputError, match="not later"):
            step(make(), state, now_ns, {"x": 0.1})


class TestRetire:
    def test_resolves_an_open_incident_with_the_reason(self) -> None:
        policy = make()
        result = retire(["oncall", "b"], run(policy, [0.9])[-1].state, 9 * MINUTE_NS, "the policy was retired")
        told = (Notify("oncall", "incident.resolved"), Notify("b", "incident.resolved"))
        assert result.intents == (ResolveIncident(), *told)
        assert result.transitions[0].reason == "the policy was retired"
        assert result.state.firing_since_ns is None

    def test_says_nothing_about_a_group_without_incident(self) -> None:
        policy = make(hold=5)
        result = retire(["oncall"], run(policy, [0.9])[-1].state, 9 * MINUTE_NS, "x")
        assert (result.transitions, result.intents, result.state.pending_since_ns) == ((), (), None)


READING = st.one_of(st.none(), st.sampled_from([0.1, 0.7, 0.9]), st.just("error"))
SERIES = st.lists(READING, min_size=1, max_size=40)
POLICIES = st.builds(
    make,
    when=st.just("x / y > 0.8"),
    clear=st.sampled_from(["", "x / y < 0.6"]),
    hold=st.integers(0, 4),
    keep=st.integers(0, 4),
    no_data=st.sampled_from(["ok", "hold", "fire"]),
)


class TestProperties:
    @given(POLICIES, SERIES)
    def test_is_deterministic(self, policy: CompiledPolicy, series: list[float | str | None]) -> None:
        assert run(policy, series) == run(policy, series)

    @given(POLICIES, SERIES, st.integers(0, 40))
    def test_a_restart_between_two_steps_changes_nothing(
        self, policy: CompiledPolicy, series: list[float | str | None], cut: int
    ) -> None:
        before = run(policy, series[:cut])
        stored = json_to_state(state_to_json(before[-1].state if before else GroupState()))
        assert before + run(policy, series[cut:], stored, first=len(before)) == run(policy, series)

    @given(POLICIES, SERIES)
    def test_never_fires_before_for(self, policy: CompiledPolicy, series: list[float | str | None]) -> None:
        since: int | None = None
        for minute, (value, result) in enumerate(zip(series, run(policy, series), strict=True)):
            holds = value == 0.9 or (value is None and policy.no_data == "fire")
            is_held = value is None and policy.no_data == "hold"
            since = minute if holds and since is None else since if holds or is_held else None
            if OpenIncident() in result.intents:
                assert holds
                assert since is not None
                assert (minute - since) * MINUTE_NS >= policy.for_ns

    @given(POLICIES, SERIES)
    def test_incidents_open_and_resolve_in_turn(self, policy: CompiledPolicy, series: list[float | str | None]) -> None:
        is_open = False
        for result in run(policy, series):
            kinds = [intent for intent in result.intents if isinstance(intent, OpenIncident | ResolveIncident)]
            assert len(kinds) <= 1
            if kinds:
                assert isinstance(kinds[0], ResolveIncident) == is_open
                is_open = not is_open
            assert (result.state.firing_since_ns is not None) == is_open
            assert (result.state.state == "firing") <= is_open

    @given(POLICIES, SERIES)
    def test_never_resolves_early_or_on_an_error(
        self, policy: CompiledPolicy, series: list[float | str | None]
    ) -> None:
        last_true = 0
        for minute, (value, result) in enumerate(zip(series, run(policy, series), strict=True)):
            if value == 0.9 or (value is None and policy.no_data == "fire"):
                last_true = minute
            if ResolveIncident() in result.intents:
                assert value != "error"
                assert value is not None or policy.no_data == "ok"
                assert (minute - last_true) * MINUTE_NS >= policy.keep_firing_for_ns

    @given(POLICIES, SERIES)
    def test_transitions_chain(self, policy: CompiledPolicy, series: list[float | str | None]) -> None:
        current = "ok"
        for result in run(policy, series):
            for transition in result.transitions:
                assert transition.from_state == current != transition.to_state
                current = transition.to_state
            assert result.state.state == current

    @settings(max_examples=30)
    @given(POLICIES, SERIES)
    def test_missing_evidence_or_an_error_never_leads_to_ok(
        self, policy: CompiledPolicy, series: list[float | str | None]
    ) -> None:
        for value, result in zip(series, run(policy, series), strict=True):
            if value == "error" or (value is None and policy.no_data != "ok"):
                assert result.state.state != "ok"


def test_intent_is_a_closed_family() -> None:
    assert set(Intent.__args__) == {OpenIncident, ResolveIncident, Notify, ProposeAction}
