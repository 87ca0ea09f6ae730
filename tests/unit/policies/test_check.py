from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from policies import check
from policies.errors import PolicyError

Change = Callable[..., str]
EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "policies").glob("*.yaml"))


class TestExamples:
    def test_are_there(self) -> None:
        assert {path.stem for path in EXAMPLES} >= {"toxicity-spike", "hallucination-rate", "latency", "coverage-lost"}

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
    def test_lint_clean_and_pass_their_own_tests(self, path: Path) -> None:
        report = check.test_file(path)
        assert [finding.message for finding in report.findings] == []
        assert [failure.render() for result in report.results for failure in result.failures] == []
        assert report.passed
        assert report.policy_id == path.stem
        assert len(report.results) >= 3


class TestLintFile:
    def test_finds_nothing_in_the_documented_example(self, policy_text: str, tmp_path: Path) -> None:
        path = tmp_path / "p.yaml"
        path.write_text(policy_text)
        assert check.lint_file(path) == []

    @pytest.mark.parametrize(
        ("data", "message"),
        [(b"\xff\xfe", "not UTF-8"), (b"a: " + b"x" * 70_000, "at most 65536"), (b"a: \xc3\xa9" * 20_000, "at most")],
    )
    def test_gives_one_finding_for_a_file_that_is_no_policy(self, tmp_path: Path, data: bytes, message: str) -> None:
        path = tmp_path / "p.yaml"
        path.write_bytes(data)
        (finding,) = check.lint_file(path)
        assert message in finding.message

    def test_gives_one_finding_for_a_missing_file(self, tmp_path: Path) -> None:
        (finding,) = check.lint_file(tmp_path / "missing.yaml")
        assert "No such file" in finding.message

    def test_renders_as_file_line_level_field_message(self, change: Change, tmp_path: Path) -> None:
        path = tmp_path / "p.yaml"
        path.write_text(change(("tox_p95 > 0.80", "toxp95 > 0.80")))
        (finding,) = check.lint_file(path)
        expected = f"{path}:11: error: when: column 14: unknown name 'toxp95' (did you mean 'tox_p95'?)"
        assert finding.render() == expected


class TestTestText:
    def test_does_not_pass_a_policy_without_tests(self, policy_text: str) -> None:
        report = check.test_text(policy_text[: policy_text.index("tests:")], "p.yaml")
        assert not report.passed
        assert [finding.level for finding in report.findings] == ["warning"]

    def test_does_not_pass_an_exchange_policy_without_tests(self) -> None:
        text = (
            "apiVersion: custodes/v1\nkind: ExchangePolicy\nid: x\nowner: o\nseverity: low\nwhen: score.toxicity > 0.9"
        )
        report = check.test_text(text, "p.yaml")
        assert not report.passed
        assert check.test_text(text + "\ntests: [{name: n, exchange: {score.toxicity: 1}, expect: firing}]", "p").passed

    def test_does_not_pass_a_failing_test(self, change: Change) -> None:
        assert not check.test_text(change(("at: 10m, state: firing", "at: 10m, state: ok")), "p.yaml").passed


class TestRequireTested:
    def test_returns_the_compiled_policy(self, policy_text: str) -> None:
        assert check.require_tested(policy_text, "p.yaml").policy.id == "toxicity-spike"

    def test_names_the_test_that_failed(self, change: Change) -> None:
        with pytest.raises(PolicyError, match="'fires after five minutes above the line' failed: at 10m"):
            check.require_tested(change(("at: 10m, state: firing", "at: 10m, state: ok")), "p.yaml")

    def test_fails_closed_without_tests(self, policy_text: str) -> None:
        with pytest.raises(PolicyError, match="no tests"):
            check.require_tested(policy_text[: policy_text.index("tests:")], "p.yaml")
