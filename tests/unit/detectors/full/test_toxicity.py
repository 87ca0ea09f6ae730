from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from detectors.batching.reader import TextReader
from detectors.bundles import import_bundle
from detectors.contract import SeenExchange, TextFailure
from detectors.errors import ModelFileError
from detectors.full.catalogue import DescribedBundle, open_bundles
from detectors.full.description import ToxicityDescription
from detectors.full.loading import single_row
from detectors.full.toxicity import ToxicityDetector, ToxicityModel, ToxicityWindows, identify, load_toxicity
from detectors.model import Exchange
from detectors.text.encoder import Precision
from tests.unit.detectors.full.conftest import LIMITS

TEXTS = (
    "you are an idiot",
    "thanks a lot, friend!",
    "x",
    "The parcel arrives on Tuesday at noon.",
    "wörld \U0001f600",
    "A B C " * 8,
    "  spaces   and\ttabs\n",
)


def open_original(bundle: DescribedBundle, sources: Path) -> Any:
    """Return detoxify's own object, loaded by its own loader: with unpickling, and the folder in both places."""
    from detoxify import Detoxify

    folder = sources / bundle.bundle.name
    (checkpoint,) = folder.glob("*.ckpt")
    return Detoxify(checkpoint=str(checkpoint), huggingface_config_path=str(folder))


def read(model: ToxicityModel, texts: Sequence[str]) -> list[Any]:
    reader = TextReader(ToxicityWindows(model), replace(LIMITS, batch_tokens=256, cache_bytes=0))
    return reader.read(texts)


def load(bundle: DescribedBundle, precision: Precision = "float32", **options: Any) -> ToxicityModel:
    return load_toxicity(bundle, device="cpu", precision=precision, **options)


class TestAgainstDetoxify:
    @pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 1e-2)])
    def test_probabilities_are_those_of_predict(
        self, detoxify_bundle: DescribedBundle, sources: Path, precision: Precision, tolerance: float
    ) -> None:
        predicted = open_original(detoxify_bundle, sources).predict(list(TEXTS))
        model = load(detoxify_bundle, precision)
        assert list(predicted) == list(model.labels)
        spread = max(predicted["toxicity"]) - min(predicted["toxicity"])
        assert spread > 10 * tolerance or precision == "bfloat16", "the tiny weights tell no texts apart"
        for place, reading in enumerate(read(model, TEXTS)):
            for label, value in zip(model.labels, reading, strict=True):
                assert value == pytest.approx(predicted[label][place], abs=tolerance), (label, TEXTS[place])

    def test_logits_are_those_of_the_package_s_model(self, detoxify_bundle: DescribedBundle, sources: Path) -> None:
        original = open_original(detoxify_bundle, sources)
        model = load(detoxify_bundle).loaded
        for text, tokens in zip(TEXTS, model.tokenise(TEXTS), strict=True):
            with torch.no_grad():
                expected = original.model.eval()(**original.tokenizer(text, return_tensors="pt"))[0]
            found = model.logits([single_row(tokens.ids, model.special)])
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)

    def test_the_package_s_builder_gives_the_same_numbers(self, detoxify_bundle: DescribedBundle) -> None:
        ours, theirs = load(detoxify_bundle), load(detoxify_bundle, loader="package")
        assert read(ours, TEXTS) == read(theirs, TEXTS)
        assert ours.labels == theirs.labels

    def test_a_batch_changes_nothing_that_matters(self, detoxify_bundle: DescribedBundle) -> None:
        model = load(detoxify_bundle)
        together = read(model, TEXTS)
        for text, reading in zip(TEXTS, together, strict=True):
            assert read(model, [text])[0] == pytest.approx(reading, abs=1e-5)


class TestTransformersFolder:
    @pytest.fixture
    def saved(self, models_dir: Path, tmp_path: Path) -> Path:
        """The unbiased model as transformers saves it, with all 16 labels named."""
        model = load(open_bundles(models_dir, {"toxicity": "detoxify-unbiased"})["toxicity"]).loaded.model
        names = ["toxic", "severe_toxicity", "obscene", "identity_hate", "insult", "threat", "sexual_explicit"]
        people = ["male", "female", "homosexual_gay_or_lesbian", "christian", "jewish", "muslim", "black", "white"]
        labels = [*names, *people, "psychiatric_or_mental_illness"]
        model.config.id2label = dict(enumerate(labels))
        model.config.label2id = {label: place for place, label in enumerate(labels)}
        folder = tmp_path / "ours"
        shutil.copytree(models_dir / "detoxify-unbiased", folder, ignore=shutil.ignore_patterns("*.ckpt"))
        model.save_pretrained(folder)
        (folder / "custodes.json").write_text(json.dumps({"role": "toxicity"}))
        return folder

    def test_it_scores_as_the_checkpoint_does(self, saved: Path, models_dir: Path, tmp_path: Path) -> None:
        import_bundle(saved, tmp_path / "models")
        model = load(open_bundles(tmp_path / "models", {"toxicity": "ours"})["toxicity"])
        checkpoint = load(open_bundles(models_dir, {"toxicity": "detoxify-unbiased"})["toxicity"])
        assert model.labels == checkpoint.labels
        assert read(model, TEXTS) == read(checkpoint, TEXTS)

    def test_it_needs_the_labels_that_are_asked_for(self, saved: Path, tmp_path: Path) -> None:
        config = json.loads((saved / "config.json").read_text())
        config["id2label"] = {number: f"LABEL_{number}" for number in range(16)}
        (saved / "config.json").write_text(json.dumps(config))
        import_bundle(saved, tmp_path / "models")
        with pytest.raises(ModelFileError, match="has no label 'toxicity'"):
            load(open_bundles(tmp_path / "models", {"toxicity": "ours"})["toxicity"])


class TestWindows:
    def test_the_worst_window_of_a_long_text_counts(self, models_dir: Path) -> None:
        model = load(open_bundles(models_dir, {"toxicity": "detoxify-unbiased"})["toxicity"])
        text = "Thank you for your patience, it is much appreciated here. " * 4 + "you are an idiot"
        windows = ToxicityWindows(model)
        (tokens,) = model.loaded.tokenise([text])
        assert len(tokens.ids) > 3 * windows.window.tokens
        starts = range(0, len(tokens.ids) - windows.window.tokens, windows.window.tokens - windows.window.overlap)
        spans = [*starts, len(tokens.ids) - windows.window.tokens]
        rows = [single_row(tokens.ids[at : at + windows.window.tokens], model.loaded.special) for at in spans]
        alone = torch.sigmoid(torch.cat([model.loaded.logits([row]) for row in rows]))[:, :7].max(dim=0).values
        assert read(model, [text])[0] == pytest.approx(alone.tolist(), abs=1e-5)

    def test_a_text_of_too_many_windows_is_not_judged_by_its_beginning(self, models_dir: Path) -> None:
        model = load(open_bundles(models_dir, {"toxicity": "detoxify-unbiased"})["toxicity"])
        assert read(model, ["word " * 1000]) == [TextFailure("text_too_long")]

    def test_writing_out_a_separator_does_not_end_a_text(self, models_dir: Path) -> None:
        model = load(open_bundles(models_dir, {"toxicity": "detoxify-unbiased"})["toxicity"])
        (tokens,) = model.loaded.tokenise(["fine</s> you are an idiot"])
        assert not set(tokens.ids) & model.loaded.special.reserved

    @pytest.mark.parametrize(
        ("kind", "text", "readable"),
        [
            ("unbiased", "Ты идиот", False),
            ("multilingual", "Ты идиот", True),
            ("multilingual", "你是个白痴", False),
            ("unbiased", "\x00\u200b", True),
        ],
    )
    def test_it_judges_only_scripts_it_was_trained_on(
        self, models_dir: Path, kind: str, text: str, readable: bool
    ) -> None:
        model = load(open_bundles(models_dir, {"toxicity": f"detoxify-{kind}"})["toxicity"])
        (reading,) = read(model, [text])
        assert isinstance(reading, tuple) is readable
        assert readable or reading == TextFailure("unsupported_text")


@pytest.fixture(scope="module")
def detector(models_dir: Path) -> ToxicityDetector:
    model = load(open_bundles(models_dir, {"toxicity": "detoxify-original"})["toxicity"])
    return ToxicityDetector(model, LIMITS)


class TestDetector:
    def judge(self, detector: ToxicityDetector, *exchanges: Exchange) -> list[dict[str, Any]]:
        found = detector.judge([SeenExchange(exchange, {}) for exchange in exchanges])
        return [{score.metric: score for score in one.scores} for one in found]

    def test_it_judges_prompt_and_response_apart(self, detector: ToxicityDetector) -> None:
        scores, swapped = self.judge(detector, Exchange("a", "Hello", "Goodbye"), Exchange("b", "Goodbye", "Hello"))
        assert scores["toxicity"].value == swapped["prompt_toxicity"].value
        assert scores["prompt_toxicity"].value == swapped["toxicity"].value
        assert scores["toxicity"].value != scores["prompt_toxicity"].value

    def test_it_breaks_toxicity_down_by_label(self, detector: ToxicityDetector) -> None:
        (scores,) = self.judge(detector, Exchange("a", "Hello", "Goodbye"))
        assert set(scores["toxicity"].labels) == {"severe_toxicity", "obscene", "threat", "insult", "identity_attack"}
        assert scores["identity_attack"].value == scores["toxicity"].labels["identity_attack"]

    def test_it_says_which_text_is_missing(self, detector: ToxicityDetector) -> None:
        (scores,) = self.judge(detector, Exchange("a", " ", None))
        assert [(score.metric, score.reason) for score in scores.values()] == [
            ("toxicity", "no_response_text"),
            ("prompt_toxicity", "no_prompt_text"),
            ("identity_attack", "no_response_text"),
        ]

    def test_a_number_that_is_none_costs_only_its_text(self, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        model = load(open_bundles(models_dir, {"toxicity": "detoxify-original"})["toxicity"])
        detector = ToxicityDetector(model, LIMITS)
        poison = model.loaded.tokenise(["poison"])[0].ids
        original = type(model.loaded).logits

        def logits(self: Any, rows: Sequence[Any]) -> torch.Tensor:
            found = original(self, rows)
            for place, row in enumerate(rows):
                if row.ids[1 : 1 + len(poison)] == poison:
                    found[place] = float("nan")
            return found

        monkeypatch.setattr(type(model.loaded), "logits", logits)
        bad, good = self.judge(detector, Exchange("a", None, "poison"), Exchange("b", None, "Goodbye"))
        assert (bad["toxicity"].reason, good["toxicity"].state) == ("detector_error", "assessed")


class TestIdentity:
    def test_it_tells_bundles_formats_and_scripts_apart(self, detoxify_bundle: DescribedBundle) -> None:
        other = DescribedBundle(detoxify_bundle.bundle, ToxicityDescription("any"))
        found = {
            identify(load(detoxify_bundle)).digest,
            identify(load(detoxify_bundle, "bfloat16")).digest,
            identify(load(other)).digest,
        }
        assert len(found) == 3
        assert identify(load(detoxify_bundle)) == identify(load(detoxify_bundle))
