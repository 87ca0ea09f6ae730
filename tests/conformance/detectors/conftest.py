"""Every profile there is, loaded once a module; ``full`` with models of a few thousand weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detectors.bundles import import_bundle
from detectors.full.escalation import Escalation
from detectors.full.options import FullOptions
from detectors.profile import PROFILES, Profile, load_profile
from tests import tiny_models

TINY = FullOptions("toxicity", "grounding", "claims", "encoder", Escalation(threshold=0.5, rate=0.5))


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tiny bundle for every part of the full profile, described by itself."""
    sources, target = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("models")
    tiny_models.write_detoxify(sources / "toxicity", "unbiased")
    tiny_models.write_grounding(sources / "grounding")
    tiny_models.write_claim_checker(sources / "claims")
    tiny_models.write_encoder(sources / "encoder")
    inputs: dict[str, dict[str, object]] = {
        "grounding": {"input": "passages"},
        "claims": {"input": "separator", "window_tokens": 256},
    }
    for folder in sources.iterdir():
        description = {"role": folder.name, **inputs.get(folder.name, {})}
        (folder / "custodes.json").write_text(json.dumps(description))
        import_bundle(folder, target)
    return target


@pytest.fixture(scope="module", params=PROFILES)
def profile(request: pytest.FixtureRequest, models_dir: Path) -> Profile:
    if request.param == "full":
        return load_profile("full", models_dir=models_dir, full=TINY)
    return load_profile(request.param)
