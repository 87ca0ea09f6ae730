"""Loading detectors by the settings: what is missing is said at once, and nothing is ever reached for."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from custodes.kernel.errors import ConfigurationError, CustodesError, UnavailableError
from custodes.kernel.settings import ModelsSettings, Settings, WorkerSettings
from custodes.runtime import models, serve
from custodes.runtime.app import build
from custodes.runtime.models import ScoringProcess, find_configured_devices, load_configured_profile
from detectors.bundles import import_bundle
from detectors.errors import DetectorError, ScoringProcessError
from detectors.isolation import Loader
from detectors.model import Exchange
from detectors.text.encoder_files import CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE, locate_encoder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: None if name == "torch" else find_spec(name))


class TestMissingPackages:
    @pytest.mark.usefixtures("without_torch")
    def test_it_stops_a_worker_before_anything_is_made(self, settings: Settings) -> None:
        with pytest.raises(ConfigurationError, match=r"scoring needs torch: pip install 'custodes\[detectors\]'"):
            serve.run_worker(settings)
        assert not settings.data_dir.exists()

    @pytest.mark.usefixtures("without_torch")
    def test_it_does_not_keep_a_server_from_taking_traffic(self, settings: Settings) -> None:
        app = build(settings, serve=True, work=False)
        app.stop()
        assert app.workers == []


class TestDevices:
    def test_it_stops_at_a_name_that_is_no_device(self, settings: Settings) -> None:
        wrong = settings.model_copy(update={"models": ModelsSettings(device="gpu")})
        with pytest.raises(ConfigurationError, match="CUSTODES_MODELS__DEVICE: no device 'gpu'"):
            build(wrong, serve=False, work=True)
        assert not settings.data_dir.exists()

    def test_it_builds_a_worker_for_each_device(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(models, "find_devices", lambda name: ("cuda:0", "cuda:1"))
        assert find_configured_devices(settings) == ("cuda:0", "cuda:1")
        app = build(settings, serve=False, work=True)
        app.stop()
        assert len(app.workers) == 2


class TestLoading:
    def test_it_scores_in_a_process_that_is_offline(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(
            models, "Loader", lambda function, arguments: Loader("tests.unit.detectors.fakes:load_fakes", {})
        )
        profile = load_configured_profile(settings)
        try:
            answers = profile.score([Exchange("a", None, "environment"), Exchange("b", None, "connect")])
        finally:
            profile.close()
        # The first says what HF_HUB_OFFLINE is in the process that scores; the second tried to connect.
        assert [answer.scores[0].value for answer in answers] == [1.0, None]
        assert "HF_HUB_OFFLINE" not in os.environ

    def test_it_says_which_file_of_a_bundle_was_changed(self, settings: Settings, tmp_path: Path) -> None:
        source = locate_encoder()
        copy = tmp_path / "all-MiniLM-L6-v2"
        copy.mkdir()
        for name in (WEIGHTS_FILE, TOKENIZER_FILE, CONFIG_FILE):
            (copy / name).write_bytes((source / name).read_bytes())
        bundle = import_bundle(copy, settings.default_models_dir)
        (bundle.path / CONFIG_FILE).write_text("{}")
        (bundle.path / "pytorch_model.bin").write_bytes(b"")
        with pytest.raises(ConfigurationError, match=r"config\.json is changed, pytorch_model\.bin is not pinned"):
            load_configured_profile(settings)

    def test_it_says_what_is_wrong_with_a_plugin(self, settings: Settings) -> None:
        wrong = settings.model_copy(update={"models": ModelsSettings(plugins=("nonsense",))})
        with pytest.raises(ConfigurationError, match="no detector plug-in 'nonsense' is installed"):
            load_configured_profile(wrong)

    def test_it_waits_no_longer_than_configured_for_a_detector(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            models, "Loader", lambda function, arguments: Loader("tests.unit.detectors.fakes:load_fakes", {})
        )
        impatient = settings.model_copy(update={"worker": WorkerSettings(detector_timeout_s=0.5)})
        profile = load_configured_profile(impatient)
        try:
            assert profile.score([Exchange("a", None, "hang")])[0].scores[0].reason == "detector_timeout"
        finally:
            profile.close()


class _Failing:
    """Stands where an isolated profile would and raises."""

    def __init__(self, error: DetectorError) -> None:
        self._error = error

    def score(self, exchanges: object) -> None:
        raise self._error


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [(ScoringProcessError("cannot start"), UnavailableError), (DetectorError("as a whole"), CustodesError)],
    )
    def test_it_tells_what_time_may_mend_from_what_it_will_not(
        self, error: DetectorError, expected: type[CustodesError]
    ) -> None:
        profile = ScoringProcess(_Failing(error))  # type: ignore[arg-type]
        with pytest.raises(CustodesError) as caught:
            profile.score([])
        assert type(caught.value) is expected
