"""``custodes fairness``: the monitor over a file."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from custodes.cli import fairness as cli_fairness
from custodes.cli.main import cli
from custodes.kernel.errors import InvalidInputError, UnavailableError


def call(*words: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["fairness", *map(str, words)], input=stdin)


@pytest.fixture
def unequal(tmp_path: Path) -> Path:
    """A file whose group "$b$" is refused four times as often from row 2,000 on."""
    rng, path = random.Random(1), tmp_path / "rows.jsonl"
    with path.open("w") as file:
        for row in range(6_000):
            group = rng.choice(("a", "$b$"))
            outcome = int(rng.random() < (0.2 if group == "$b$" and row >= 2_000 else 0.05))
            file.write(json.dumps({"group": group, "outcome": outcome, "stratum": rng.choice("st")}) + "\n")
    return path


class TestFairness:
    def test_an_alarm_is_a_finding(self, unequal: Path) -> None:
        result = call(unequal)
        assert result.exit_code == 1
        assert "ALARM at row" in result.stdout

    def test_json_is_for_machines(self, unequal: Path) -> None:
        result = call(unequal, "--json")
        assert result.exit_code == 1
        found = json.loads(result.stdout)
        assert found["n"] == 6_000
        assert found["alarms"][0]["at"] > 2_000

    def test_a_wider_tolerance_accepts_the_gap(self, unequal: Path) -> None:
        result = call(unequal, "--epsilon", "0.3")
        assert result.exit_code == 0
        assert "no alarm" in result.stdout

    def test_it_draws_a_plot(self, unequal: Path, tmp_path: Path) -> None:
        target = tmp_path / "out.png"
        assert call(unequal, "--plot", target).exit_code == 1
        assert target.read_bytes().startswith(b"\x89PNG")

    def test_it_reads_csv(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.csv"
        path.write_text("group,outcome,stratum\na,1,s\nb,0,s\nb,,s\n")
        result = call(path)
        assert result.exit_code == 0
        assert "too few data" in result.stdout
        assert "1 outcomes were not assessed" in result.stdout

    def test_it_reads_standard_input(self) -> None:
        result = call("-", "--json", stdin='{"group": "a", "outcome": NaN}\n')
        assert result.exit_code == 0
        assert json.loads(result.stdout)["not_assessed"] == 1

    @pytest.mark.parametrize(
        ("content", "problem"),
        [(b"", "no rows"), (b"{", "not JSON"), (b"\xff\xfe", "UTF-8"), (b'{"group": "a", "outcome": 9}', "divide")],
    )
    def test_a_bad_file_is_a_usage_error(self, tmp_path: Path, content: bytes, problem: str) -> None:
        path = tmp_path / "bad.jsonl"
        path.write_bytes(content)
        error = call(path).exception
        assert isinstance(error, InvalidInputError)
        assert problem in str(error)

    @pytest.mark.parametrize("words", [("--alpha", "0"), ("--alpha", "1"), ("--epsilon", "1"), ("--min-pairs", "0")])
    def test_numbers_that_mean_nothing_are_usage_errors(self, unequal: Path, words: tuple[str, str]) -> None:
        assert call(unequal, *words).exit_code == 2

    def test_a_missing_package_is_unavailable(self, unequal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli_fairness, "find_spec", lambda name: None)
        error = call(unequal).exception
        assert isinstance(error, UnavailableError)
        assert "custodes[detectors]" in str(error)
