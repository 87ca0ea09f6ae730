"""What the settings say about models, and what is said when a model is missing."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from collector.content import Contents
from custodes.cli.main import cli
from custodes.db import Database
from custodes.kernel.clock import system_clock
from custodes.kernel.errors import ConfigurationError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import ModelsSettings, Settings, WorkerSettings
from custodes.runtime.doctor import examine
from custodes.runtime.finding import Finding
from custodes.runtime.models import check_bundles_present, full_options, load_configured_profile
from custodes.runtime.worker import Worker
from detectors.bundles import import_bundle
from detectors.full.escalation import Escalation
from detectors.full.options import DEFAULT_GROUNDING, DEFAULT_TOXICITY, FullOptions
from tests import tiny_models


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory with the two bundles the full profile needs by default, in tiny."""
    sources, target = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("models")
    tiny_models.write_detoxify(sources / DEFAULT_TOXICITY, "unbiased")
    tiny_models.write_grounding(sources / DEFAULT_GROUNDING)
    for folder in sources.iterdir():
        import_bundle(folder, target)
    return target


def names_what_is_missing(text: str, folder: Path) -> bool:
    needed = (
        f"{DEFAULT_TOXICITY} (toxicity), {DEFAULT_GROUNDING} (grounding)",
        str(folder),
        f"custodes models import {DEFAULT_TOXICITY}; custodes models import {DEFAULT_GROUNDING}",
    )
    return all(part in text for part in needed)


class TestSettings:
    def test_their_defaults_are_the_profile_s(self) -> None:
        assert full_options(ModelsSettings()) == FullOptions()

    def test_each_of_them_arrives(self) -> None:
        settings = ModelsSettings(
            toxicity="t",
            grounding="g",
            claims="c",
            encoder="e",
            claims_threshold=0.25,
            claims_rate=0.125,
            checkpoint_loader="package",
        )
        assert full_options(settings) == FullOptions("t", "g", "c", "e", Escalation(0.25, 0.125), "package")

    def test_builtin_needs_no_bundle(self) -> None:
        check_bundles_present(Settings())

    def test_full_needs_its_own(self, models_dir: Path) -> None:
        check_bundles_present(Settings(models=ModelsSettings(profile="full", dir=models_dir)))
        with pytest.raises(ConfigurationError, match=r"are missing: other \(claims\)"):
            check_bundles_present(Settings(models=ModelsSettings(profile="full", dir=models_dir, claims="other")))


class TestMissingBundles:
    def test_loading_names_them_and_the_commands(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError) as caught:
            load_configured_profile(Settings(models=ModelsSettings(dir=tmp_path)), profile="full")
        assert names_what_is_missing(str(caught.value), tmp_path)

    def test_the_worker_says_so_and_readiness_with_it(
        self, database: Database, contents: Contents, tmp_path: Path
    ) -> None:
        settings = Settings(models=ModelsSettings(profile="full", dir=tmp_path))
        tried = threading.Event()

        def load() -> Any:
            try:
                return load_configured_profile(settings)
            finally:
                tried.set()

        worker = Worker(database, contents, load, WorkerSettings(), clock=system_clock, metrics=Metrics(), owner="w")
        worker.start()
        assert tried.wait(60)
        worker.stop()
        assert names_what_is_missing(worker.problem() or "", tmp_path)
        assert not worker.ready.is_set()

    def test_the_doctor_says_the_same(self, tmp_path: Path) -> None:
        settings = Settings(data_dir=tmp_path, models=ModelsSettings(profile="full", dir=tmp_path / "models"))
        findings = {finding.subject: finding for finding in examine(settings)}
        assert findings["models"].level == "problem"
        assert names_what_is_missing(findings["models"].text, tmp_path / "models")
        assert "transformers" in findings["packages for full"].text

    def test_the_doctor_loads_what_is_there(self, tmp_path: Path, models_dir: Path) -> None:
        settings = Settings(data_dir=tmp_path, models=ModelsSettings(profile="full", dir=models_dir))
        found: list[Finding] = [finding for finding in examine(settings) if finding.subject == "models"]
        assert [finding.level for finding in found] == ["ok"]
        assert "hallucination/full 1.0.0, toxicity/full 1.0.0" in found[0].text


class TestScoreCommand:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "exchanges.jsonl"
        line = {
            "id": "a",
            "prompt": "When?",
            "response": "It opened in 1932.",
            "contexts": ["The bridge opened in 1932."],
            "samples": ["It opened in 1931."],
        }
        path.write_text(json.dumps(line) + "\n")
        return path

    def test_it_scores_with_the_full_profile_and_closed_sockets(
        self, file: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a connection was attempted")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        done = CliRunner().invoke(
            cli, ["score", str(file), "--profile", "full"], env={"CUSTODES_MODELS__DIR": str(models_dir)}
        )
        assert done.exit_code == 0, (done.output, done.exception)
        answer = json.loads(done.stdout)
        states = {metric: score["state"] for metric, score in answer["scores"].items()}
        assert states["hallucination"] == states["toxicity"] == states["inconsistency"] == "assessed"
        makers = {maker["name"] for maker in answer["detectors"]}
        assert {"hallucination/full", "toxicity/full", "inconsistency/unigram"} <= makers

    def test_it_never_falls_back_to_another_profile(self, file: Path, tmp_path: Path) -> None:
        environment = {"CUSTODES_MODELS__DIR": str(tmp_path / "models"), "CUSTODES_MODELS__PROFILE": "full"}
        done = CliRunner().invoke(cli, ["score", str(file)], env=environment)
        assert done.stdout == ""
        assert isinstance(done.exception, ConfigurationError)
        assert names_what_is_missing(str(done.exception), tmp_path / "models")
