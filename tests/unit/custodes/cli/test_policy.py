"""``custodes policy``: from a file to an active version, at the command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from custodes.cli import backtest_output
from custodes.db import Database
from custodes.kernel.errors import ConflictError, CustodesError, InvalidInputError, NotFoundError
from policies.errors import PolicyError
from policies.store import list_policy_versions
from tests.unit.policies.conftest import POLICY

Run = Callable[..., Result]
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ID = "toxicity-spike"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The documented example in a folder of its own."""
    path = tmp_path / "repository" / "spike.yaml"
    path.parent.mkdir()
    path.write_text(POLICY)
    return path


class TestFiles:
    def test_lints_and_tests_and_says_where_it_hurts(self, run: Run, file: Path) -> None:
        assert run("policy", "lint", str(file)).stdout == f"{file}: ok\n"
        tested = run("policy", "test", str(file))
        assert (tested.exit_code, tested.stdout) == (0, f"{file}: pass  fires after five minutes above the line\n")
        file.write_text(POLICY.replace("tox_p95 > 0.80", "toxp95 > 0.80").replace("at: 10m", "at: 9m"))
        broken = run("policy", "lint", str(file))
        assert broken.exit_code == 1
        assert f"{file}:11: error: when: column 14: unknown name 'toxp95' (did you mean 'tox_p95'?)" in broken.stdout
        (found,) = [json.loads(line) for line in run("policy", "lint", "--json", str(file)).stdout.splitlines()][:1]
        assert (found["line"], found["field"], found["nearest"]) == (11, "when", "tox_p95")

    def test_exits_1_when_a_test_fails_or_there_is_none(self, run: Run, file: Path) -> None:
        file.write_text(POLICY.replace("at: 10m, state: firing", "at: 10m, state: ok"))
        failed = run("policy", "test", str(file))
        assert (failed.exit_code, "at 10m expected ok, got firing" in failed.stdout) == (1, True)
        file.write_text(POLICY[: POLICY.index("tests:")])
        assert run("policy", "test", str(file)).exit_code == 1

    def test_a_file_that_is_not_there_is_wrong_usage(self, run: Run, tmp_path: Path) -> None:
        for command in ("lint", "test", "submit"):
            assert run("policy", command, str(tmp_path / "nothing.yaml")).exit_code == 2

    def test_every_command_says_what_it_does(self, run: Run) -> None:
        listed = run("policy", "--help").stdout
        for command in ("lint", "test", "backtest", "diff", "submit", "approve", "activate", "list"):
            assert f"\n  {command} " in listed
            helped = run("policy", command, "--help")
            assert (helped.exit_code, "Usage: " in helped.stdout) == (0, True)
            assert len(helped.stdout.splitlines()[2].strip()) > 20


class TestReview:
    def test_takes_a_file_from_draft_to_active(
        self, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch, database: Database
    ) -> None:
        assert run("policy", "list").stdout.startswith("no policies yet")
        drafted = run("policy", "submit", str(file))
        assert (drafted.exit_code, "is draft" in drafted.stdout) == (0, True)
        with pytest.raises(NotFoundError, match="no version of 'toxicity-spike' is active"):
            raise_from(run("policy", "diff", ID))
        tried = run("policy", "backtest", ID, "--from", "now-2h")
        assert tried.exit_code == 0, tried.output
        assert "120 minutes" in tried.stdout
        assert "is shadow" in tried.stderr
        with pytest.raises(ConflictError, match="wrote this version"):
            raise_from(run("policy", "approve", ID))
        monkeypatch.setattr("custodes.cli.policy.local_actor", lambda: "cli:somebody-else")
        approved = run("policy", "approve", ID, "--comment", "agreed")
        assert "is approved" in approved.stdout
        assert "is active" in run("policy", "activate", ID).stdout
        assert f"{ID:<32} active" in run("policy", "list").stdout

        file.write_text(POLICY.replace("window: 15m}\ngroup_by", "window: 30m}\ngroup_by"))
        differing = run("policy", "diff", str(file))
        assert differing.exit_code == 1
        assert "~ signals.n.window: 15m → 30m" in differing.stdout
        (change,) = [json.loads(line) for line in run("policy", "diff", "--json", str(file)).stdout.splitlines()]
        assert change == {"field": "signals.n.window", "change": "changed", "before": "15m", "after": "30m"}
        file.write_text(POLICY)
        same = run("policy", "diff", str(file))
        assert (same.exit_code, "no difference" in same.stdout) == (0, True)

    def test_breaks_the_glass_only_with_a_reason(self, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run("policy", "submit", str(file))
        monkeypatch.setattr("custodes.cli.policy.local_actor", lambda: "cli:somebody-else")
        with pytest.raises(InvalidInputError, match="say why"):
            raise_from(run("policy", "approve", ID, "--break-glass"))
        assert run("policy", "approve", ID, "--break-glass", "--reject").exit_code == 2
        broken = run("policy", "approve", ID, "--break-glass", "--comment", "answers are toxic right now")
        assert "is active" in broken.stdout
        assert "unless somebody else approves it" in broken.stdout
        monkeypatch.setattr("custodes.cli.policy.local_actor", lambda: "cli:a-third-person")
        ratified = run("policy", "approve", ID, "--comment", "ratified").stdout
        assert ("is active" in ratified, "it ends at" in ratified) == (True, False)

    def test_turns_a_version_down(self, run: Run, file: Path) -> None:
        run("policy", "submit", str(file))
        assert "is rejected" in run("policy", "approve", ID, "--reject", "--comment", "too eager by far").stdout

    def test_submits_nothing_that_fails_its_own_tests(self, run: Run, file: Path) -> None:
        file.write_text(POLICY.replace("at: 10m, state: firing", "at: 10m, state: ok"))
        with pytest.raises(PolicyError, match="fires after five minutes"):
            raise_from(run("policy", "submit", str(file)))
        assert run("policy", "list").stdout.startswith("no policies yet")


@on_sqlite
class TestBacktest:
    def test_reports_a_file_without_storing_it(self, run: Run, file: Path) -> None:
        report = json.loads(run("policy", "backtest", str(file), "--from", "now-1h", "--json").stdout)
        assert (report["policy_id"], report["minutes"], report["recorded"]["compared"]) == (ID, 60, False)
        assert run("policy", "list").stdout.startswith("no policies yet")
        assert run("policy", "backtest", str(file), "--from", "now", "--to", "now-1h").exit_code == 2
        with pytest.raises(NotFoundError, match="no file and no policy"):
            raise_from(run("policy", "backtest", "nothing"))

    def test_says_on_stderr_how_far_it_is(self, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        quick = run("policy", "backtest", str(file), "--from", "now-1h", "--json")
        assert quick.stderr == ""
        monkeypatch.setattr(backtest_output, "SAY_EVERY_S", 0.0)
        slow = run("policy", "backtest", str(file), "--from", "now-1d", "--json")
        assert slow.stderr.splitlines()[-1] == "back-test: 1,440 of 1,440 minutes"
        assert "back-test: 500 of 1,440 minutes" in slow.stderr
        assert json.loads(slow.stdout)["minutes"] == 1440


@on_sqlite
class TestRepository:
    def git(self, folder: Path, *words: str) -> str:
        identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
        done = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def test_submits_a_folder_with_its_commit_and_refuses_the_rest_where_policies_are_read_only(
        self, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch, database: Database
    ) -> None:
        monkeypatch.setenv("CUSTODES_POLICY__READ_ONLY", "true")
        with pytest.raises(InvalidInputError, match="is in no Git repository"):
            raise_from(run("policy", "submit", str(file.parent)))
        self.git(file.parent, "init", "--quiet")
        self.git(file.parent, "add", ".")
        self.git(file.parent, "commit", "--quiet", "-m", "policies: watch for toxicity")
        file.write_text(POLICY + "# changed\n")
        with pytest.raises(InvalidInputError, match="changes that are not committed"):
            raise_from(run("policy", "submit", str(file.parent)))
        file.write_text(POLICY)
        assert "is draft" in run("policy", "submit", str(file.parent)).stdout
        with database.read() as tx:
            (stored,) = list_policy_versions(tx, "default")
        assert stored.origin is not None
        assert stored.origin["commit"] == self.git(file.parent, "rev-parse", "HEAD")
        assert stored.origin["path"] == "spike.yaml"


def raise_from(result: Result) -> None:
    """Raise what a command raised, so that a test can say what it expects."""
    assert isinstance(result.exception, CustodesError), result.output
    raise result.exception
