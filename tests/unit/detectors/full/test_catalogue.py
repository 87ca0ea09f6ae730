from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

from detectors.bundles import import_bundle
from detectors.errors import MissingBundleError, ModelFileError
from detectors.full.catalogue import KNOWN_MODELS, find_known, open_bundles
from detectors.full.description import GroundingDescription, ToxicityDescription
from detectors.full.escalation import Escalation
from detectors.full.options import DEFAULT_GROUNDING, DEFAULT_TOXICITY, FullOptions, find_missing
from tests.unit.detectors.full.conftest import ENCODER, GROUNDING


class TestKnownModels:
    def test_names_are_unique_and_fit_a_bundle(self) -> None:
        names = [model.name for model in KNOWN_MODELS]
        assert len(set(names)) == len(names)

    def test_the_defaults_are_among_them(self) -> None:
        toxicity, grounding = find_known(DEFAULT_TOXICITY), find_known(DEFAULT_GROUNDING)
        assert toxicity is not None
        assert grounding is not None
        assert isinstance(toxicity.description, ToxicityDescription)
        assert isinstance(grounding.description, GroundingDescription)

    def test_others_are_not_known(self) -> None:
        assert find_known("another") is None


class TestOpenBundles:
    def test_a_known_name_needs_no_description_of_its_own(self, models_dir: Path) -> None:
        (found,) = open_bundles(models_dir, {"grounding": GROUNDING}).values()
        assert found.description == GroundingDescription("passages")

    def test_a_bundle_s_own_description_goes_first(self, sources: Path, tmp_path: Path) -> None:
        folder = tmp_path / GROUNDING
        shutil.copytree(sources / GROUNDING, folder)
        (folder / "custodes.json").write_text(json.dumps({"role": "grounding", "input": "triple"}))
        import_bundle(folder, tmp_path / "models")
        (found,) = open_bundles(tmp_path / "models", {"grounding": GROUNDING}).values()
        assert found.description == GroundingDescription("triple")

    def test_it_names_every_missing_bundle_and_the_commands_that_bring_them(self, tmp_path: Path) -> None:
        with pytest.raises(MissingBundleError) as caught:
            open_bundles(tmp_path, {"toxicity": "one", "claims": "two"})
        assert caught.value.missing == {"one": "toxicity", "two": "claims"}
        for part in (
            "one (toxicity), two (claims)",
            str(tmp_path),
            "custodes models import one; custodes models import",
        ):
            assert part in str(caught.value)

    def test_it_says_that_there_is_no_models_directory(self) -> None:
        with pytest.raises(MissingBundleError, match=r"no models directory \(set CUSTODES_MODELS__DIR"):
            open_bundles(None, {"toxicity": "one"})

    def test_it_refuses_a_changed_file(self, sources: Path, tmp_path: Path) -> None:
        import_bundle(sources / GROUNDING, tmp_path)
        config = tmp_path / GROUNDING / "config.json"
        config.write_text(config.read_text() + " ")
        with pytest.raises(ModelFileError, match=r"config\.json is changed"):
            open_bundles(tmp_path, {"grounding": GROUNDING})

    def test_it_refuses_a_bundle_made_for_another_part(self, models_dir: Path) -> None:
        with pytest.raises(ModelFileError, match="is made for encoder, not for grounding"):
            open_bundles(models_dir, {"grounding": ENCODER})

    def test_it_asks_an_unknown_bundle_to_describe_itself(self, sources: Path, tmp_path: Path) -> None:
        import_bundle(sources / GROUNDING, tmp_path, "ours")
        with pytest.raises(ModelFileError, match=r'put a custodes\.json such as \{"role": "grounding"\}'):
            open_bundles(tmp_path, {"grounding": "ours"})


class TestFullOptions:
    def test_parts_that_are_left_out_need_no_bundle(self) -> None:
        assert set(FullOptions().bundles()) == {"toxicity", "grounding"}
        assert FullOptions(claims="c", encoder="e").bundles() == {
            "toxicity": DEFAULT_TOXICITY,
            "grounding": DEFAULT_GROUNDING,
            "claims": "c",
            "encoder": "e",
        }

    def test_they_survive_the_way_to_another_process(self) -> None:
        options = FullOptions(claims="c", escalation=Escalation(0.25, 0.5))
        assert pickle.loads(pickle.dumps(options)) == options

    def test_it_finds_what_is_missing(self, models_dir: Path) -> None:
        assert find_missing(models_dir, {"grounding": GROUNDING, "claims": "other"}) == {"other": "claims"}
        assert find_missing(None, {"grounding": GROUNDING}) == {GROUNDING: "grounding"}
