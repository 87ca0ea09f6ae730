"""Runs the tests that travel inside a policy, with the same ``step`` as live evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from custodes.kernel.errors import InvalidInputError
from policies.engine.series import MAX_STEPS, parse_series
from policies.engine.state import GroupState
from policies.engine.step import StepResult, step
from policies.errors import PolicyError
from policies.rules.compile import CompiledPolicy
from policies.rules.document import Expectation, PolicyDocument, PolicyTest, StateName
from policies.rules.duration import duration_to_text
from policies.rules.finding import Finding, nearest_name
from policies.rules.load import PolicySource

_START_NS = 0


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
    if not isinstance(document, PolicyDocument):
        return []
    findings: list[Finding] = []
    for index, test in enumerate(document.tests):
        findings += _check_test(source, document, ("tests", index), test)
    return findings


def run_tests(source: PolicySource, policy: CompiledPolicy) -> tuple[TestResult, ...]:
    """Return one result per test, in the order of the file.

    Raises ``PolicyError`` when a test itself is unusable (see :func:`check_tests`).
    """
    if findings := check_tests(source):
        raise PolicyError(tuple(findings))
    document = source.document
    tests = document.tests if isinstance(document, PolicyDocument) else []
    return tuple(_run_test(source, policy, index, test) for index, test in enumerate(tests))


def _check_test(
    source: PolicySource, document: PolicyDocument, path: tuple[str | int, ...], test: PolicyTest
) -> list[Finding]:
    findings = []
    for name, written in test.series.items():
        if name not in document.signals:
            message, nearest = f"{name!r} is no signal of this policy", nearest_name(name, document.signals)
            findings.append(source.finding((*path, "series", name), message, nearest))
        try:
            parse_series(written)
        except InvalidInputError as error:
            findings.append(source.finding((*path, "series", name), str(error)))
    if test.step_ns <= 0:
        findings.append(source.finding((*path, "step"), "a step is longer than 0; write e.g. 1m"))
    elif max(expected.at_ns for expected in test.expect) // test.step_ns >= MAX_STEPS:
        findings.append(source.finding((*path, "expect"), f"the last expectation is more than {MAX_STEPS} steps away"))
    if any(earlier.at_ns > later.at_ns for earlier, later in pairwise(test.expect)):
        findings.append(source.finding((*path, "expect"), "expectations stand in the order of their times"))
    return findings


def _run_test(source: PolicySource, policy: CompiledPolicy, index: int, test: PolicyTest) -> TestResult:
    series = {name: parse_series(written) for name, written in test.series.items()}
    last = max(expected.at_ns for expected in test.expect) // test.step_ns
    # A series that has ended gives no data, as a signal does whose source fell silent.
    rows = [
        {name: values[position] if position < len(values) else None for name, values in series.items()}
        for position in range(last + 1)
    ]
    results = replay(policy, GroupState(), [_START_NS + n * test.step_ns for n in range(last + 1)], rows)
    failures = []
    for position, expected in enumerate(test.expect):
        actual = results[expected.at_ns // test.step_ns].state.state
        if actual != expected.state:
            failures.append(_failure(source, index, position, expected, actual))
    return TestResult(test.name, last + 1, tuple(failures))


def _failure(source: PolicySource, test: int, position: int, expected: Expectation, actual: StateName) -> Failure:
    line = source.tree.line_of(("tests", test, "expect", position))
    return Failure(line, expected.at_ns, expected.state, actual)
