"""The committed heads and their cards belong together, and claim only what their figures carry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from detectors.fairness.audit import load_self_audits
from detectors.text.toxicity import HEADS_FOLDER
from training import hallucination_card
from training.hallucination_candidates import SHIPPED
from training.hallucination_card import render_card as render_hallucination_card
from training.toxicity_card import render_card as render_toxicity_card

LARGEST_HEAD_BYTES = 5_000_000
ROOT = Path(hallucination_card.__file__).parent.parent


def card(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((HEADS_FOLDER / f"{name}.json").read_text())
    return loaded


class TestFiles:
    def test_no_head_is_large(self) -> None:
        sizes = {path.name: path.stat().st_size for path in HEADS_FOLDER.iterdir()}
        assert max(sizes.values()) < LARGEST_HEAD_BYTES, sizes

    def test_the_toxicity_weights_are_the_ones_measured(self) -> None:
        content = (HEADS_FOLDER / "toxicity.safetensors").read_bytes()
        assert card("toxicity")["model"]["weights_sha256"] == hashlib.sha256(content).hexdigest()

    def test_the_toxicity_card_for_people_says_what_the_one_for_machines_says(self) -> None:
        assert (HEADS_FOLDER / "toxicity.md").read_text() == render_toxicity_card(card("toxicity"))

    def test_the_toxicity_texts_of_our_own_are_the_ones_used(self) -> None:
        for name, digest in card("toxicity")["own_texts_sha256"].items():
            assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == digest, name

    def test_the_hallucination_weights_are_the_ones_measured(self) -> None:
        content = (HEADS_FOLDER / "hallucination.safetensors").read_bytes()
        assert card("hallucination")["model"]["reader"]["weights_sha256"] == hashlib.sha256(content).hexdigest()

    def test_the_hallucination_texts_of_our_own_are_the_ones_used(self) -> None:
        for name, digest in card("hallucination")["own_texts_sha256"].items():
            assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == digest, name

    @pytest.mark.parametrize("name", ["hallucination", "toxicity"])
    def test_the_reliability_diagram_stands_where_the_card_points(self, name: str) -> None:
        drawing = ROOT / f"docs/images/{name}-reliability.svg"
        assert drawing.read_text().startswith("<svg ")
        assert f"docs/images/{name}-reliability.svg" in (HEADS_FOLDER / f"{name}.md").read_text().replace("\n", " ")

    def test_the_hallucination_card_for_people_says_what_the_one_for_machines_says(self) -> None:
        assert (HEADS_FOLDER / "hallucination.md").read_text() == render_hallucination_card(card("hallucination"))


class TestFigures:
    @pytest.mark.parametrize("source", ["wikipedia", "davidson", "toxigen", "chat", "mixture", "frames"])
    def test_toxicity_beats_vector_words_and_length(self, source: str) -> None:
        figures = card("toxicity")["figures"]["toxicity"][source]
        assert figures["head"]["auroc"] > max(figures["pooled_linear"]["auroc"], figures["words"]["auroc"])
        assert figures["head"]["low"] > figures["length_only"]["high"]

    @pytest.mark.parametrize("source", ["davidson", "toxigen", "madlibs", "chat"])
    def test_identity_attack_is_learnt_and_not_pretended(self, source: str) -> None:
        figures = card("toxicity")["figures"]["identity_attack"][source]
        assert figures["head"]["low"] > 0.8
        assert figures["head"]["auroc"] > figures["pooled_linear"]["auroc"]

    @pytest.mark.parametrize(("label", "least"), [("toxicity", 0.75), ("identity_attack", 0.8)])
    def test_hatecheck_beats_vector_words_and_length(self, label: str, least: float) -> None:
        figures = card("toxicity")["figures"]["hatecheck"][label]
        assert figures["head"]["low"] > least
        for rival in ("pooled_linear", "words", "length_only"):
            assert figures["head"]["low"] > figures[rival]["high"], rival

    @pytest.mark.parametrize("label", ["insult", "obscene", "threat"])
    def test_parts_of_toxicity_are_told_apart_on_chat(self, label: str) -> None:
        assert card("toxicity")["figures"][label]["chat"]["head"]["low"] > 0.8

    def test_no_identity_word_is_treated_much_worse_than_another(self) -> None:
        for name in ("subgroup", "bpsn", "bnsp"):
            figures = card("toxicity")["figures"]["madlibs_subgroups"][name]
            assert figures["max"] - figures["min"] < 0.05

    def test_the_audit_by_identity_is_there_for_the_fairness_monitors(self) -> None:
        audits = load_self_audits()
        assert {"toxicity", "identity_attack"} <= audits.keys()
        assert audits["toxicity"].false_alarms < 0.3

    def test_hallucination_beats_word_overlap_and_length_on_claims_it_was_not_fitted_on(self) -> None:
        figures = card("hallucination")["figures"]["claims"]["wice_test"]
        assert figures["detector"]["low"] > figures["word_overlap"]["high"]
        assert figures["detector"]["low"] > figures["length_only"]["high"]

    @pytest.mark.parametrize("words", ["", "_content_words"])
    def test_hallucination_beats_word_overlap_on_tokens(self, words: str) -> None:
        figures = card("hallucination")["figures"]["tokens"]["wice_test"]
        assert figures[f"detector{words}"]["auroc"] > figures[f"word_overlap{words}"]["auroc"]
        assert figures["detector"]["low"] > figures["word_overlap"]["high"]

    def test_hallucination_sees_on_chat_style_cases_what_words_do_not_show(self) -> None:
        figures = card("hallucination")["figures"]["cases"]
        assert figures["detector"]["low"] > figures["word_overlap"]["high"]
        assert figures["detector"]["low"] > figures["length_only"]["high"]

    def test_the_shipped_candidate_is_the_best_on_what_it_was_chosen_for(self) -> None:
        candidates = card("hallucination")["figures"]["candidates"]
        for other in ("support", "late_interaction", "reader"):
            assert candidates[SHIPPED]["cases"] >= candidates[other]["cases"]
