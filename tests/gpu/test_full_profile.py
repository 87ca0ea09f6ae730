"""The full profile on an accelerator, in bfloat16, with models of a few thousand weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from detectors.bundles import import_bundle
from detectors.checks import check_company_does_not_matter, check_odd_texts_do_no_harm, check_plain_text_is_assessed
from detectors.full.escalation import Escalation
from detectors.full.options import FullOptions
from detectors.model import Exchange
from detectors.profile import Profile, load_profile
from tests import tiny_models

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator: no CUDA device here"),
]

TINY = FullOptions("toxicity", "grounding", "claims", "encoder", Escalation(threshold=0.5, rate=1.0))
# bfloat16 keeps eight bits; the tiny weights are spread wide, which makes the most of every rounding.
TOLERANCE = 0.03


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
        (folder / "custodes.json").write_text(json.dumps({"role": folder.name, **inputs.get(folder.name, {})}))
        import_bundle(folder, target)
    return target


@pytest.fixture(scope="module")
def cuda(models_dir: Path) -> Profile:
    """The profile as a worker on an accelerator loads it."""
    return load_profile("full", models_dir=models_dir, device="cuda", full=TINY)


def test_it_holds_what_every_profile_holds(cuda: Profile) -> None:
    for check in (check_plain_text_is_assessed, check_company_does_not_matter, check_odd_texts_do_no_harm):
        check(cuda)


def test_bfloat16_there_agrees_with_float32_here(cuda: Profile, models_dir: Path) -> None:
    fine = load_profile("full", models_dir=models_dir, precision="float32", full=TINY)
    exchanges = [
        Exchange(
            str(n), f"When does parcel {n} arrive?", f"Parcel {n} arrives on Tuesday. " * (1 + n % 5), (f"Shelf {n}.",)
        )
        for n in range(40)
    ]
    for left, right in zip(cuda.score(exchanges), fine.score(exchanges), strict=True):
        for one, other in zip(left.scores, right.scores, strict=True):
            assert one.state == other.state
            if one.value is not None:
                assert one.value == pytest.approx(other.value, abs=TOLERANCE), one.metric
