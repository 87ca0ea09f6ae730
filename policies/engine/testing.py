"""Runs the tests that travel inside a policy, with the same functions as live evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from custodes.kernel.errors import InvalidInputError
from policies.engine.exchange import ExchangeValues, judge, match, quiet
from policies.engine.series import MAX_STEPS, parse_series, parse_words
from policies.engine.state import GroupState
from policies.engine.step import StepResult, step
from policies.errors import PolicyError
from policies.rules.compile import CompiledPolicy, exchange_variables
from policies.rules.document import ExchangeTest, Expectation, PolicyDocument, PolicyTest, StateName
from policies.rules.duration import duration_to_text
from policies.rules.expression import Truth, VariableType
from policies.rules.finding import Finding, nearest_name
from policies.rules.load import PolicySource
from policies.rules.tree import Path

_START_NS = 0
_UNJUDGED: Mapping[Truth, StateName] = {Truth.NO_DATA: "no_data", Truth.ERROR: "error"}


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that did not hold; ``line`` is where the policy file states it."""

    line: int
    at_ns: int
    expected: StateName
    actual: StateName

    def render(self) -> str:
        """Return what was expected when, and what came instead."""
        return f"at {duration_to_text(self.at_ns)} expected {self.expected}, got {self.actual}"


@dataclass(frozen=True, slots=True)
class TestResult:
    """The outcome of one test: passed exactly when ``failures`` is empty."""

    __test__ = False  # Not a test class of the test runner, in spite of its name.

    name: str
    steps: int
    failures: tuple[Failure, ...]

    @property
    def passed(self) -> bool:
        """Whether every expectation held."""
        return not self.failures


def replay(
    policy: CompiledPolicy, start: GroupState, at_ns: Sequence[int], values: Sequence[dict[str, float | None]]
) -> list[StepResult]:
    """Return the result of every step of one group, in order."""
    results, state = [], start
    for now_ns, row in zip(at_ns, values, strict=True):
        result = step(policy, state, now_ns, row)
        results.append(result)
        state = result.state
    return results


def check_tests(source: PolicySource) -> list[Finding]:
    """Return what is wrong with the tests themselves: unknown signals, bad series, times out of order."""
    document = source.document
    variables: Mapping[str, VariableType] = (
        dict.fromkeys(document.signals, "double") if isinstance(document, PolicyDocument) else exchange_variables()
    )
    findings: list[Finding] = []
    steps = 0
    for index, test in enumerate(_tests_of(source)):
        path: Path = ("tests", index)
        if isinstance(test, ExchangeTest) and test.exchange is not None:
            findings += _check_exchange(source, (*path, "exchange"), test.exchange, variables)
        else:
            findings += _check_series(source, path, test, variables)
            steps += _steps_of(test)
            if not findings and steps > MAX_STEPS:
                message = f"the tests of a policy take at most {MAX_STEPS} steps together, and with this one {steps}"
                return [source.finding(path, message)]
    return findings


def run_tests(source: PolicySource, policy: CompiledPolicy) -> tuple[TestResult, ...]:
    """Return one result per test, in the order of the file.

    Raises ``PolicyError`` when a test itself is unusable (see :func:`check_tests`).
    """
    if findings := check_tests(source):
        raise PolicyError(tuple(findings))
    return tuple(_run_test(source, policy, index, test) for index, test in enumerate(_tests_of(source)))


def _tests_of(source: PolicySource) -> Sequence[PolicyTest | ExchangeTest]:
    return source.document.tests


def _check_exchange(
    source: PolicySource, path: Path, exchange: Mapping[str, object], variables: Mapping[str, VariableType]
) -> list[Finding]:
    findings = _check_names(source, path, exchange, variables)
    for name, value in exchange.items():
        if value is not None and name in variables and isinstance(value, str) != (variables[name] == "string"):
            message = f"this is a {variables[name]}, not {value!r}"
            findings.append(source.finding((*path, name), message))
    return findings


def _check_names(
    source: PolicySource, path: Path, given: Mapping[str, object], variables: Mapping[str, VariableType]
) -> list[Finding]:
    what = "signal" if isinstance(source.document, PolicyDocument) else "variable"
    return [
        source.finding((*path, name), f"{name!r} is no {what} of this policy", nearest_name(name, variables))
        for name in given
        if name not in variables
    ]


def _check_series(
    source: PolicySource, path: Path, test: PolicyTest | ExchangeTest, variables: Mapping[str, VariableType]
) -> list[Finding]:
    findings = _check_names(source, (*path, "series"), test.series, variables)
    for name, written in test.series.items():
        try:
            _read_series(written, variables.get(name, "double"))
        except InvalidInputError as error:
            findings.append(source.finding((*path, "series", name), str(error)))
    expected = _expectations(test)
    if test.step_ns <= 0:
        findings.append(source.finding((*path, "step"), "a step is longer than 0; write e.g. 1m"))
    elif max((one.at_ns for one in expected), default=0) // test.step_ns >= MAX_STEPS:
        findings.append(source.finding((*path, "expect"), f"the last expectation is more than {MAX_STEPS} steps away"))
    if not expected:
        findings.append(source.finding((*path, "expect"), "a test expects something; write e.g. {at: 0m, state: ok}"))
    if any(earlier.at_ns > later.at_ns for earlier, later in pairwise(expected)):
        findings.append(source.finding((*path, "expect"), "expectations stand in the order of their times"))
    return findings


def _expectations(test: PolicyTest | ExchangeTest) -> list[Expectation]:
    return [] if isinstance(test.expect, str) else test.expect


def _steps_of(test: PolicyTest | ExchangeTest) -> int:
    last_ns = max((expected.at_ns for expected in _expectations(test)), default=0)
    return last_ns // test.step_ns + 1 if test.step_ns > 0 else 0


def _read_series(written: str | int | float, kind: VariableType) -> Sequence[float | str | None]:
    return parse_words(str(written)) if kind == "string" else parse_series(written)


def _run_test(source: PolicySource, policy: CompiledPolicy, index: int, test: PolicyTest | ExchangeTest) -> TestResult:
    if isinstance(test, ExchangeTest) and test.exchange is not None and isinstance(test.expect, str):
        outcome = judge(policy, _as_values(test.exchange)).truth
        actual = _UNJUDGED.get(outcome, "firing" if outcome is Truth.TRUE else "ok")
        if actual == test.expect:
            return TestResult(test.name, 1, ())
        line = source.tree.line_of(("tests", index, "expect"))
        return TestResult(test.name, 1, (Failure(line, 0, test.expect, actual),))
    states = _run_series(policy, test)
    failures = []
    for position, expected in enumerate(_expectations(test)):
        actual = states[expected.at_ns // test.step_ns]
        if actual != expected.state:
            line = source.tree.line_of(("tests", index, "expect", position))
            failures.append(Failure(line, expected.at_ns, expected.state, actual))
    return TestResult(test.name, len(states), tuple(failures))


def _run_series(policy: CompiledPolicy, test: PolicyTest | ExchangeTest) -> list[StateName]:
    """Return the displayed state after every step up to the last expectation."""
    variables: Mapping[str, VariableType] = exchange_variables() if policy.kind == "ExchangePolicy" else {}
    series = {name: _read_series(written, variables.get(name, "double")) for name, written in test.series.items()}
    steps = _steps_of(test)
    at_ns = [_START_NS + number * test.step_ns for number in range(steps)]
    # A series that has ended gives no data, as a signal does whose source fell silent.
    rows = [
        {name: values[position] if position < len(values) else None for name, values in series.items()}
        for position in range(steps)
    ]
    if policy.kind == "Policy":
        numbers = [{name: value for name, value in row.items() if not isinstance(value, str)} for row in rows]
        return [result.state.state for result in replay(policy, GroupState(), at_ns, numbers)]
    return _replay_exchanges(policy, at_ns, rows)


def _replay_exchanges(policy: CompiledPolicy, at_ns: Sequence[int], rows: Sequence[ExchangeValues]) -> list[StateName]:
    """Return the state after each step, each of which is one exchange; a step without any value is a quiet one."""
    state = GroupState()
    shown: list[StateName] = []
    for now_ns, row in zip(at_ns, rows, strict=True):
        state = quiet(policy, state, now_ns).state
        truth = Truth.FALSE
        if any(value is not None for value in row.values()):
            truth = judge(policy, row).truth
            if truth is Truth.TRUE:
                state = match(policy, state, now_ns).state
        shown.append("firing" if state.firing_since_ns is not None else _UNJUDGED.get(truth, "ok"))
    return shown


def _as_values(exchange: Mapping[str, float | int | str | None]) -> ExchangeValues:
    return {name: float(value) if isinstance(value, int) else value for name, value in exchange.items()}
