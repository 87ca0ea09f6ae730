"""``policy lint`` and ``policy test``: what a file's author asks before submitting it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policies.engine.testing import TestResult, check_tests, run_tests
from policies.errors import PolicyError
from policies.rules.cel import CelEngine
from policies.rules.compile import CompiledPolicy, check_source, compile_policy
from policies.rules.finding import Finding
from policies.rules.load import PolicySource, parse_source
from policies.rules.tree import MAX_FILE_BYTES


@dataclass(frozen=True, slots=True)
class TestReport:
    """What ``policy test`` found. A file that is unusable or has no tests did not pass: nothing was proven."""

    __test__ = False  # Not a test class of the test runner, in spite of its name.

    file: str
    policy_id: str | None
    findings: tuple[Finding, ...]
    results: tuple[TestResult, ...]

    @property
    def passed(self) -> bool:
        """Whether the file is usable and has tests that all pass."""
        errors = any(finding.level == "error" for finding in self.findings)
        return not errors and bool(self.results) and all(result.passed for result in self.results)


@dataclass(frozen=True, slots=True)
class CheckedPolicy:
    """A policy that passed lint and its own tests."""

    source: PolicySource
    policy: CompiledPolicy


def lint_text(text: str, filename: str) -> list[Finding]:
    """Return every error and warning about a policy's text; empty when there is nothing to say."""
    try:
        source = parse_source(text, filename)
    except PolicyError as error:
        return list(error.findings)
    findings = check_source(source, CelEngine()) + check_tests(source)
    return sorted(findings, key=lambda finding: finding.line)


def lint_file(path: Path) -> list[Finding]:
    """Return every error and warning about the policy file at ``path``; an unreadable file is one error."""
    text = _read(path)
    return [text] if isinstance(text, Finding) else lint_text(text, str(path))


def test_text(text: str, filename: str) -> TestReport:
    """Return the report of the tests inside a policy's text."""
    findings = lint_text(text, filename)
    if any(finding.level == "error" for finding in findings):
        return TestReport(filename, None, tuple(findings), ())
    source = parse_source(text, filename)
    try:
        policy = compile_policy(source, CelEngine())
    except PolicyError as error:
        return TestReport(filename, source.document.id, error.findings, ())
    return TestReport(filename, policy.id, tuple(findings), run_tests(source, policy))


def test_file(path: Path) -> TestReport:
    """Return the report of the tests inside the policy file at ``path``."""
    text = _read(path)
    return TestReport(str(path), None, (text,), ()) if isinstance(text, Finding) else test_text(text, str(path))


def require_tested(text: str, filename: str) -> CheckedPolicy:
    """Return the policy in ``text`` if lint finds no error and every test passes.

    Raises ``PolicyError`` otherwise, also for a policy without tests and for an ``ExchangePolicy``.
    """
    report = test_text(text, filename)
    errors = [finding for finding in report.findings if finding.level == "error"]
    for result in report.results:
        named = f"test {result.name!r} failed"
        errors += [Finding(filename, one.line, "tests", f"{named}: {one.render()}") for one in result.failures]
    if not errors and not report.results:
        errors.append(Finding(filename, 1, "tests", "the policy has no tests; add one that fires"))
    if errors:
        raise PolicyError(tuple(errors))
    source = parse_source(text, filename)
    return CheckedPolicy(source, compile_policy(source, CelEngine()))


def _read(path: Path) -> str | Finding:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        return data.decode("utf-8") if len(data) <= MAX_FILE_BYTES else data.decode("utf-8", "replace")
    except OSError as error:
        return Finding(str(path), 1, "", f"the file cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return Finding(str(path), 1, "", "the file is not UTF-8 text")
