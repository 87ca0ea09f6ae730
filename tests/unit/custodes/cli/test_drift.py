import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from custodes.cli.main import cli
from custodes.kernel.errors import InvalidInputError


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    """1,500 rows of eight numbers, of which the last 500 are moved."""
    rows = np.random.default_rng(0).normal(size=(1500, 8))
    rows[1000:, :2] += 1.5
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    return tmp_path / "rows.npy"


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["drift", *map(str, words)])


class TestDrift:
    def test_it_finds_a_change_and_exits_with_one(self, stream: Path) -> None:
        result = run(stream, "--reference", 400, "--json")
        assert result.exit_code == 1
        found = json.loads(result.stdout)
        assert (found["n"], found["watched"]) == (1500, {"first": 400, "rows": 1100, "unusable": 0})
        first = found["alarms"][0]
        assert 1000 <= first["at"] < 1150
        assert abs(first["onset"] - 1000) < 40
        assert first["statistic"] >= 1e4
        assert set(first["explanation"]) >= {"separation", "novel_share", "clusters", "examples", "map"}

    def test_it_exits_with_nought_when_nothing_has_changed(self, stream: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "quiet.npy", np.load(stream)[:1000])
        result = run(tmp_path / "quiet.npy", "--alpha", 1e-6)
        assert result.exit_code == 0
        assert "no drift found" in result.stdout

    def test_it_takes_another_file_as_the_reference(self, stream: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "usual.npy", np.load(stream)[:500])
        result = run(stream, "--reference", tmp_path / "usual.npy", "--alpha", 1e-5)
        assert result.exit_code == 1
        assert "most like the change" in result.stdout

    @pytest.mark.parametrize("rows", [1000, 1500])
    def test_it_draws_a_picture_with_and_without_an_alarm(self, stream: Path, tmp_path: Path, rows: int) -> None:
        np.save(tmp_path / "some.npy", np.load(stream)[:rows])
        result = run(tmp_path / "some.npy", "--reference", 400, "--alpha", 1e-6, "--plot", tmp_path / "out.png")
        assert result.exit_code == (rows == 1500)
        assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--reference", "1500"], "none would be left"),
            (["--reference", "10"], "at least 64"),
            (["--reference", "nowhere.npy"], "no file"),
            (["--alpha", "0"], "--alpha"),
            (["--alpha", "nan"], "--alpha"),
        ],
    )
    def test_it_says_what_cannot_be_used(self, stream: Path, words: list[str], message: str) -> None:
        error = run(stream, *words).exception
        assert isinstance(error, InvalidInputError)
        assert message in str(error)

    def test_it_refuses_a_reference_of_another_length(self, stream: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "other.npy", np.random.default_rng(1).normal(size=(100, 7)))
        error = run(stream, "--reference", tmp_path / "other.npy").exception
        assert isinstance(error, InvalidInputError)
        assert "length 7" in str(error)
