from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from detectors.errors import MissingBundleError, ModelFileError
from detectors.full.escalation import Escalation
from detectors.full.options import FullOptions
from detectors.model import Exchange
from detectors.profile import Profile, load_profile
from tests.unit.detectors.full.conftest import CLAIMS, ENCODER, GROUNDING

ALL = FullOptions(claims=CLAIMS, encoder=ENCODER, escalation=Escalation(0.5, 1.0))
EXCHANGE = Exchange(
    "a",
    "When does it arrive?",
    "It arrives on Tuesday. It is blue.",
    ("Parcels arrive on Tuesday.",),
    None,
    ("It arrives on Tuesday.", "It arrives on Friday."),
)


@pytest.fixture(scope="module")
def full(models_dir: Path) -> Profile:
    return load_profile("full", models_dir=models_dir, precision="float32", full=ALL)


class TestLoading:
    @pytest.mark.usefixtures("no_network")
    def test_it_opens_no_connection(self, models_dir: Path) -> None:
        load_profile("full", models_dir=models_dir, full=ALL).warm_up()

    def test_it_names_every_missing_bundle(self, tmp_path: Path) -> None:
        with pytest.raises(MissingBundleError) as caught:
            load_profile("full", models_dir=tmp_path, full=FullOptions(claims=CLAIMS))
        assert caught.value.missing == {
            "detoxify-unbiased": "toxicity",
            GROUNDING: "grounding",
            CLAIMS: "claims",
        }

    def test_nothing_stands_in_for_a_bundle_that_cannot_be_used(self, models_dir: Path) -> None:
        with pytest.raises(ModelFileError, match="is made for encoder"):
            load_profile("full", models_dir=models_dir, full=FullOptions(toxicity=ENCODER))

    def test_the_builtin_profile_pays_for_none_of_it(self) -> None:
        program = (
            "import sys; from detectors.profile import load_profile; load_profile('builtin'); "
            "import custodes.runtime.models; print(sorted({'transformers', 'sentence_transformers', 'detoxify', "
            "'huggingface_hub'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100)
        assert done.stdout.strip() == "[]"


class TestScoring:
    def test_it_answers_for_every_metric(self, full: Profile) -> None:
        scores = {score.metric: score for score in full.score([EXCHANGE])[0].scores}
        assert {"hallucination", "toxicity", "prompt_toxicity", "identity_attack", "inconsistency"} <= set(scores)
        assert {score.metric: score.reason for score in scores.values() if score.state != "assessed"} == {}
        assert {"claim_unsupported", "disagreement"} <= set(scores["hallucination"].labels)
        assert {"average", "claim_unsupported"} == set(scores["inconsistency"].labels)

    def test_every_score_names_a_maker_of_its_own_and_none_of_the_builtin_ones(self, full: Profile) -> None:
        makers = {score.metric: score.detector.name for score in full.score([EXCHANGE])[0].scores}
        assert makers["hallucination"] == "hallucination/full"
        assert makers["toxicity"] == makers["prompt_toxicity"] == makers["identity_attack"] == "toxicity/full"
        assert not {identity.name for identity in full.identities()} & {"hallucination/builtin", "toxicity/builtin"}

    def test_a_named_encoder_takes_the_place_of_the_packaged_one(self, full: Profile, models_dir: Path) -> None:
        assert [(one.field, one.dim) for one in full.score([EXCHANGE])[0].embeddings] == [
            ("prompt", 32),
            ("response", 32),
        ]
        plain = load_profile("full", models_dir=models_dir, precision="float32")
        assert {one.encoder.name for one in plain.score([EXCHANGE])[0].embeddings} == {"encoder/all-MiniLM-L6-v2"}

    def test_an_incomplete_exchange_keeps_its_reason_everywhere(self, full: Profile) -> None:
        partial = Exchange("a", "When?", "Now.", ("Soon.",), "attributes_dropped", ("Later.",))
        answer = full.score([partial])[0]
        assert {score.reason for score in answer.scores} == {"attributes_dropped"}

    def test_loading_again_gives_the_same_identities_and_scores(self, full: Profile, models_dir: Path) -> None:
        again = load_profile("full", models_dir=models_dir, precision="float32", full=ALL)
        assert again.identities() == full.identities()
        assert again.score([EXCHANGE]) == full.score([EXCHANGE])

    def test_other_weights_are_another_detector(self, full: Profile, models_dir: Path) -> None:
        other = FullOptions(toxicity="detoxify-original", claims=CLAIMS, encoder=ENCODER, escalation=ALL.escalation)
        loaded: Any = load_profile("full", models_dir=models_dir, precision="float32", full=other)
        names = {identity.name for identity in set(loaded.identities()) ^ set(full.identities())}
        assert names == {"toxicity/full"}
