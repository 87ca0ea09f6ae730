"""``custodes models``: what is pinned, what was changed, and no connection whatever happens."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from custodes.cli.main import cli
from custodes.kernel.errors import ConfigurationError, NotFoundError

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    variables = {"CUSTODES_DATA_DIR": str(tmp_path), "CUSTODES_MODELS__OFFLINE": "true"}
    return lambda *words: CliRunner().invoke(cli, ["models", *words], env=variables)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "downloaded" / "tiny"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    return folder


class TestImport:
    def test_it_pins_a_folder_in_the_data_directory(self, run: Run, source: Path, tmp_path: Path) -> None:
        result = run("import", str(source), "--json")
        told = json.loads(result.stdout)
        assert (result.exit_code, told["name"]) == (0, "tiny")
        assert told["path"] == str(tmp_path / "models" / "tiny")
        assert [one["path"] for one in told["files"]] == ["config.json", "model.safetensors"]

    def test_it_takes_another_name(self, run: Run, source: Path) -> None:
        assert run("import", str(source), "--name", "detoxify-unbiased").exit_code == 0
        assert "detoxify-unbiased  2 files" in run("list").stdout

    def test_it_says_what_is_wrong_with_a_folder(self, run: Run, tmp_path: Path) -> None:
        result = run("import", str(tmp_path / "nowhere"))
        assert isinstance(result.exception, ConfigurationError)
        assert "not a folder" in str(result.exception)


class TestList:
    def test_it_shows_bundles_and_the_packaged_encoder(self, run: Run, source: Path) -> None:
        assert "no bundles in" in run("list").stdout
        run("import", str(source))
        assert "tiny  2 files" in run("list").stdout
        assert "packaged encoder  sha256:53aa5117" in run("list").stdout
        told = json.loads(run("list", "--json").stdout)
        assert [one["name"] for one in told["bundles"]] == ["tiny"]
        assert told["plugins"] == []


class TestVerify:
    def test_it_finds_nothing_wrong_with_what_was_imported(self, run: Run, source: Path) -> None:
        run("import", str(source))
        result = run("verify")
        assert (result.exit_code, result.stdout) == (0, "tiny: ok\npackaged encoder: ok\n")

    def test_it_names_each_changed_missing_and_additional_file(self, run: Run, source: Path, tmp_path: Path) -> None:
        run("import", str(source))
        run("import", str(source), "--name", "sound")
        folder = tmp_path / "models" / "tiny"
        (folder / "model.safetensors").write_bytes(b"weightz")
        (folder / "config.json").unlink()
        (folder / "more.py").write_text("")
        result = run("verify")
        assert result.exit_code == 1
        assert result.stdout.splitlines()[:5] == [
            "sound: ok",
            "tiny: 3 files are not as pinned",
            "  missing  config.json",
            "  changed  model.safetensors",
            "  extra    more.py",
        ]
        told = json.loads(run("verify", "tiny", "--json").stdout)
        assert told["bundles"][0]["faults"][1] == {"path": "model.safetensors", "fault": "changed"}
        assert run("verify", "sound").exit_code == 0

    def test_it_refuses_a_name_that_is_not_there(self, run: Run) -> None:
        result = run("verify", "nothing")
        assert isinstance(result.exception, NotFoundError)

    def test_it_refuses_a_broken_manifest(self, run: Run, source: Path, tmp_path: Path) -> None:
        run("import", str(source))
        (tmp_path / "models" / "manifest.json").write_text("{")
        assert isinstance(run("verify").exception, ConfigurationError)
