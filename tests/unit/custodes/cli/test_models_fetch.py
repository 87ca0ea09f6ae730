"""``custodes models fetch``: the one command that asks a hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from custodes.cli.main import cli
from custodes.kernel.errors import ConfigurationError
from detectors.bundles import import_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tiny"
    path.mkdir()
    (path / "config.json").write_text("{}")
    return path


def run(models_dir: Path, *words: str, **variables: str) -> Result:
    environment: dict[str, str | None] = {"CUSTODES_MODELS__DIR": str(models_dir), **variables}
    return CliRunner().invoke(cli, ["models", *words], env=environment)


class TestFetch:
    def test_it_asks_no_hub_while_offline(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("detectors.full.fetch.fetch_bundle", lambda *_: pytest.fail("the hub was asked"))
        done = run(tmp_path, "fetch", "detoxify-unbiased")
        assert isinstance(done.exception, ConfigurationError)
        assert "custodes models import detoxify-unbiased" in str(done.exception)

    def test_it_imports_what_it_gets(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("detectors.full.fetch.fetch_bundle", lambda name, into: import_bundle(folder, into, name))
        done = run(tmp_path / "models", "fetch", "detoxify-unbiased", CUSTODES_MODELS__OFFLINE="false")
        assert done.stdout.startswith("detoxify-unbiased  sha256:")

    def test_it_needs_a_known_name(self, tmp_path: Path) -> None:
        unknown = run(tmp_path, "fetch", "bert", CUSTODES_MODELS__OFFLINE="false")
        assert "no known model 'bert'" in str(unknown.exception)
