from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch.hub

from detectors.bundles import read_bundle, verify_bundle
from detectors.errors import DetectorError, ModelFileError
from detectors.full.catalogue import open_bundles
from detectors.full.checkpoint import find_checkpoint
from detectors.full.fetch import fetch_bundle
from tests.unit.detectors.full.conftest import GROUNDING


@pytest.fixture
def hub(sources: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stand in for the hub and the release page with the tiny models; keep what was asked for."""
    asked: list[dict[str, Any]] = []

    def snapshot(repository: str, *, allow_patterns: list[str], local_dir: Path) -> None:
        asked.append({"repository": repository, "patterns": allow_patterns})
        name = "detoxify-unbiased" if repository.endswith("roberta-base") else GROUNDING
        shutil.copytree(sources / name, local_dir, ignore=shutil.ignore_patterns("*.ckpt"))
        (local_dir / ".cache").mkdir()
        (local_dir / ".cache" / "lock").write_text("")

    def download(url: str, target: str, hash_prefix: str | None, progress: bool) -> None:
        asked.append({"url": url, "hash": hash_prefix, "progress": progress})
        (checkpoint,) = (sources / "detoxify-unbiased").glob("*.ckpt")
        shutil.copyfile(checkpoint, target)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    return asked


class TestFetching:
    def test_what_comes_is_pinned_and_can_be_used(self, hub: list[dict[str, Any]], tmp_path: Path) -> None:
        bundle = fetch_bundle(GROUNDING, tmp_path)
        assert bundle == read_bundle(tmp_path, GROUNDING)
        assert verify_bundle(bundle) == []
        assert open_bundles(tmp_path, {"grounding": GROUNDING})
        assert hub[0]["repository"] == "KRLabsOrg/lettucedect-base-modernbert-en-v1"
        assert "*.safetensors" in hub[0]["patterns"]
        assert not any(one.path.startswith(".") for one in bundle.files)

    def test_detoxify_s_weights_come_from_where_the_package_says_and_are_held_to_their_name(
        self, hub: list[dict[str, Any]], tmp_path: Path
    ) -> None:
        bundle = fetch_bundle("detoxify-unbiased", tmp_path)
        assert hub[0]["repository"] == "FacebookAI/roberta-base"
        assert not any(pattern.endswith((".safetensors", ".bin")) for pattern in hub[0]["patterns"])
        assert hub[1]["url"].endswith("/toxic_debiased-c7548aa0.ckpt")
        assert (hub[1]["hash"], hub[1]["progress"]) == ("c7548aa0", False)
        with pytest.raises(ModelFileError, match="is not the file its name promises"):
            find_checkpoint(bundle)

    def test_an_unknown_name_is_answered_with_the_known_ones(self, hub: list[dict[str, Any]], tmp_path: Path) -> None:
        with pytest.raises(DetectorError, match="no known model 'bert'; known are detoxify-original, detoxify-unbia"):
            fetch_bundle("bert", tmp_path)
        assert hub == []

    @pytest.mark.usefixtures("no_network")
    def test_without_a_network_it_says_what_could_not_be_reached(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise ConnectionError("no route")

        monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
        with pytest.raises(ModelFileError, match="cannot be fetched: ConnectionError; is KRLabsOrg/lettuce"):
            fetch_bundle(GROUNDING, tmp_path / "models")
        assert not (tmp_path / "models").exists()
