from __future__ import annotations

from collections.abc import Callable

import pytest

from policies.engine.testing import TestResult, check_tests, run_tests
from policies.errors import PolicyError
from policies.rules.cel import CelEngine
from policies.rules.compile import compile_policy
from policies.rules.load import parse_source

Change = Callable[..., str]


def results_of(text: str) -> tuple[TestResult, ...]:
    source = parse_source(text, "p.yaml")
    return run_tests(source, compile_policy(source, CelEngine()))


class TestRunTests:
    def test_passes_the_documented_example_exactly(self, policy_text: str) -> None:
        (result,) = results_of(policy_text)
        assert result == TestResult("fires after five minutes above the line", 11, ())

    @pytest.mark.parametrize(("at", "state"), [("3m", "ok"), ("4m", "pending"), ("8m", "pending"), ("9m", "firing")])
    def test_follows_the_example_minute_by_minute(self, change: Change, at: str, state: str) -> None:
        (result,) = results_of(change(("[{at: 8m, state: pending}", f"[{{at: {at}, state: {state}}}")))
        assert result.passed

    def test_says_where_and_how_an_expectation_failed(self, change: Change) -> None:
        (result,) = results_of(change(("{at: 8m, state: pending}", "{at: 8m, state: firing}")))
        assert not result.passed
        (failure,) = result.failures
        assert (failure.line, failure.render()) == (27, "at 8m expected firing, got pending")

    def test_takes_the_state_after_the_last_step_at_or_before_the_time(self, change: Change) -> None:
        (result,) = results_of(change(("{at: 8m, state: pending}", "{at: 8m59s, state: pending}")))
        assert result.passed

    def test_gives_no_data_after_the_end_of_a_series(self, change: Change) -> None:
        text = change(
            ("0.2x4 0.9x10", "0.2x2"),
            ("[{at: 8m, state: pending}, {at: 10m, state: firing}]", "[{at: 5m, state: no_data}]"),
        )
        (result,) = results_of(text)
        assert result.passed


class TestCheckTests:
    @pytest.mark.parametrize(
        ("old", "new", "field", "message"),
        [
            ("series: {tox_p95:", "series: {tox_p96:", "tests[0].series.tox_p96", "no signal"),
            ("0.2x4", "0.2q4", "tests[0].series.tox_p95", "series term"),
            ("80x14", "80x999999", "tests[0].series.n", "20000"),
            ("step: 1m", "step: 0m", "tests[0].step", "longer than 0"),
            ("at: 10m", "at: 390d", "tests[0].expect", "20000 steps"),
            ("at: 10m", "at: 7m", "tests[0].expect", "order of their times"),
        ],
    )
    def test_finds_what_is_wrong_with_a_test(
        self, change: Change, old: str, new: str, field: str, message: str
    ) -> None:
        source = parse_source(change((old, new)), "p.yaml")
        (finding,) = check_tests(source)
        assert (finding.field, finding.level) == (field, "error")
        assert message in finding.message
        with pytest.raises(PolicyError, match=message):
            run_tests(source, compile_policy(source, CelEngine()))


EXCHANGE = """\
apiVersion: custodes/v1
kind: ExchangePolicy
id: insult
owner: o
severity: low
when: score.toxicity > 0.9 && state.hallucination == 'assessed'
keep_firing_for: 2m
tests:
"""


def exchange_results(tests: str) -> list[tuple[bool, list[str]]]:
    source = parse_source(EXCHANGE + tests, "p.yaml")
    policy = compile_policy(source, CelEngine())
    return [(one.passed, [failure.render() for failure in one.failures]) for one in run_tests(source, policy)]


class TestExchangeTests:
    def test_judge_one_exchange(self) -> None:
        tests = (
            "  - {name: a, exchange: {score.toxicity: 1, state.hallucination: assessed}, expect: firing}\n"
            "  - {name: b, exchange: {score.toxicity: 0.5, state.hallucination: assessed}, expect: ok}\n"
            "  - {name: c, exchange: {score.toxicity: 0.95, state.hallucination: null}, expect: no_data}\n"
            "  - {name: d, exchange: {score.toxicity: 0.95, state.hallucination: assessed}, expect: ok}\n"
        )
        assert exchange_results(tests) == [
            (True, []),
            (True, []),
            (True, []),
            (False, ["at 0s expected ok, got firing"]),
        ]

    def test_follow_series_of_exchanges(self) -> None:
        tests = (
            "  - name: a\n    step: 1m\n"
            '    series: {score.toxicity: "0.1 0.95 0.1x3", state.hallucination: "assessed*5"}\n'
            "    expect: [{at: 0m, state: ok}, {at: 1m, state: firing}, {at: 2m, state: firing}, {at: 3m, state: ok}]\n"
        )
        assert exchange_results(tests) == [(True, [])]

    @pytest.mark.parametrize(
        ("test", "message"),
        [
            ("{name: a, exchange: {score.toxicty: 1}, expect: ok}", "did you mean 'score.toxicity'"),
            ("{name: a, exchange: {score.toxicity: high}, expect: ok}", "this is a double"),
            ("{name: a, exchange: {state.toxicity: 1}, expect: ok}", "this is a string"),
            ("{name: a, expect: ok}", "either an exchange or series"),
            ("{name: a, exchange: {score.toxicity: 1}, expect: [{at: 0m, state: ok}]}", "expects one state"),
            (
                "{name: a, step: 1m, series: {state.toxicity: '1x4'}, expect: [{at: 0m, state: ok}]}",
                "not a series term",
            ),
            ("{name: a, series: {score.toxicity: '1x4'}, expect: [{at: 0m, state: ok}]}", "longer than 0"),
            ("{name: a, step: 1m, series: {score.toxicity: '1x4'}, expect: []}", "expects something"),
        ],
    )
    def test_name_what_is_wrong_with_them(self, test: str, message: str) -> None:
        with pytest.raises(PolicyError, match=message):
            exchange_results(f"  - {test}\n")
