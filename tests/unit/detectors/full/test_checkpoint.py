from __future__ import annotations

import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from detectors.bundles import import_bundle
from detectors.errors import ModelFileError
from detectors.full.catalogue import DescribedBundle
from detectors.full.checkpoint import build_model, find_checkpoint, find_strayed_weight, read_checkpoint

Change = Callable[[dict[str, Any]], None]


class Harmful:
    """What a pickle can hold: an object that makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def unbiased(sources: Path, tmp_path: Path) -> Path:
    """A copy of the tiny ``unbiased`` folder, to be spoilt."""
    folder = tmp_path / "detoxify-unbiased"
    shutil.copytree(sources / "detoxify-unbiased", folder)
    return folder


def change_checkpoint(folder: Path, change: Change) -> Path:
    """Rewrite the folder's checkpoint under a name that promises nothing."""
    (path,) = folder.glob("*.ckpt")
    content = torch.load(path, weights_only=True)
    change(content)
    path.unlink()
    changed = folder / "changed.ckpt"
    torch.save(content, changed)
    return changed


class TestReading:
    def test_it_gives_weights_architecture_and_detoxify_s_labels(self, detoxify_bundle: DescribedBundle) -> None:
        path = find_checkpoint(detoxify_bundle.bundle)
        assert path is not None
        checkpoint = read_checkpoint(path)
        kind = detoxify_bundle.bundle.name.removeprefix("detoxify-")
        assert (checkpoint.outputs, len(checkpoint.labels)) == ((6, 6) if kind == "original" else (16, 7))
        assert {"toxicity", "severe_toxicity", "identity_attack", "insult", "threat", "obscene"} <= set(
            checkpoint.labels
        )
        assert checkpoint.weights["classifier.weight" if kind == "original" else "classifier.out_proj.weight"].ndim == 2

    def test_it_runs_nothing_that_a_checkpoint_holds(self, unbiased: Path, tmp_path: Path) -> None:
        mark = tmp_path / "was-run"
        path = change_checkpoint(unbiased, lambda content: content.update(extra=Harmful(mark)))
        with pytest.raises(ModelFileError, match="what else it holds is not run"):
            read_checkpoint(path)
        assert not mark.exists()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.load(path, weights_only=False)
        assert mark.exists(), "the checkpoint of this test is harmless"

    @pytest.mark.parametrize("content", [b"", b"no archive", pickle.dumps({"state_dict": {}}, protocol=2)])
    def test_it_refuses_other_files(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "other.ckpt"
        path.write_bytes(content)
        with pytest.raises(ModelFileError):
            read_checkpoint(path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: c.pop("config"), "is not a checkpoint of detoxify: KeyError at 'config'"),
            (lambda c: c["config"]["arch"]["args"].update(model_name="GPT2Model"), "is of GPT2Model; known are Albert"),
            (lambda c: c["config"]["dataset"]["args"].update(classes=[]), "names 0 labels for 16 outputs"),
            (lambda c: c["config"]["arch"]["args"].update(num_classes=3), "names 7 labels for 3 outputs"),
        ],
    )
    def test_it_says_what_a_checkpoint_lacks(self, unbiased: Path, change: Change, message: str) -> None:
        with pytest.raises(ModelFileError) as caught:
            read_checkpoint(change_checkpoint(unbiased, change))
        assert message in str(caught.value)


class TestFinding:
    def test_a_bundle_may_have_none(self, tmp_path: Path) -> None:
        (tmp_path / "plain").mkdir()
        (tmp_path / "plain" / "config.json").write_text("{}")
        assert find_checkpoint(import_bundle(tmp_path / "plain", tmp_path / "models")) is None

    def test_it_refuses_several(self, unbiased: Path, tmp_path: Path) -> None:
        (unbiased / "second.ckpt").write_bytes(b"x")
        with pytest.raises(ModelFileError, match="holds 2 checkpoints"):
            find_checkpoint(import_bundle(unbiased, tmp_path / "models"))

    def test_it_holds_a_file_to_the_digest_in_its_name(self, unbiased: Path, tmp_path: Path) -> None:
        (path,) = unbiased.glob("*.ckpt")
        path.rename(unbiased / "toxic_debiased-c7548aa0.ckpt")
        with pytest.raises(ModelFileError, match="is not the file its name promises"):
            find_checkpoint(import_bundle(unbiased, tmp_path / "models"))


class TestBuilding:
    def test_every_weight_is_the_checkpoint_s(self, detoxify_bundle: DescribedBundle) -> None:
        path = find_checkpoint(detoxify_bundle.bundle)
        assert path is not None
        checkpoint = read_checkpoint(path)
        assert find_strayed_weight(build_model(checkpoint, detoxify_bundle.bundle.path), checkpoint) is None

    def test_it_leaves_out_what_older_releases_stored(self, unbiased: Path) -> None:
        def add(content: dict[str, Any]) -> None:
            content["state_dict"]["roberta.embeddings.position_ids"] = torch.arange(66)[None]
            content["state_dict"]["roberta.pooler.dense.weight"] = torch.zeros(32, 32)

        checkpoint = read_checkpoint(change_checkpoint(unbiased, add))
        assert find_strayed_weight(build_model(checkpoint, unbiased), checkpoint) is None

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            (lambda c: c["state_dict"].pop("classifier.dense.bias"), "classifier.dense.bias"),
            (lambda c: c["state_dict"].update(stranger=torch.zeros(1)), "stranger"),
            (lambda c: c["state_dict"].update({"classifier.dense.bias": torch.zeros(5)}), "classifier.dense.bias"),
        ],
    )
    def test_it_names_weights_that_are_missing_left_over_or_of_another_size(
        self, unbiased: Path, change: Change, named: str
    ) -> None:
        checkpoint = read_checkpoint(change_checkpoint(unbiased, change))
        with pytest.raises(ModelFileError, match="does not fit") as caught:
            build_model(checkpoint, unbiased)
        assert named in str(caught.value)

    def test_it_needs_a_configuration_beside_it(self, unbiased: Path) -> None:
        (path,) = unbiased.glob("*.ckpt")
        (unbiased / "config.json").unlink()
        with pytest.raises(ModelFileError, match=r"config\.json cannot be read"):
            build_model(read_checkpoint(path), unbiased)

    def test_it_notices_a_weight_that_is_not_the_checkpoint_s(self, unbiased: Path) -> None:
        (path,) = unbiased.glob("*.ckpt")
        checkpoint = read_checkpoint(path)
        model = build_model(checkpoint, unbiased)
        with torch.no_grad():
            model.classifier.dense.bias.add_(1.0)
        assert find_strayed_weight(model, checkpoint) == "classifier.dense.bias"
