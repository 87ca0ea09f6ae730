"""The texts of our own that the toxicity head is trained and judged on: what a slip in them would silently spoil."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.slot_texts import fill, misspell, read_labelled, read_sections
from training.toxicity_corpus import CHAT_FILES, FRAMES_FILE, TEXTS, chat_frames, chat_texts, mixtures, own_phrases
from training.toxicity_report import share_interval
from training.toxicity_sets import LABELS, Sample, guess_obscene, make_targets


def bare(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


@pytest.fixture(scope="module")
def frames() -> list[Sample]:
    return list(chat_frames(np.random.default_rng(7), share=0.5))


class TestFrames:
    def test_every_label_is_one_the_head_has(self) -> None:
        _, sections = read_sections(TEXTS / FRAMES_FILE)
        assert {label for section in sections for label in section.labels} <= set(LABELS)

    def test_all_attacks_threats_and_insults_are_toxic(self, frames: list[Sample]) -> None:
        for sample in frames:
            by_label = dict(zip(LABELS, sample.targets, strict=True))
            assert by_label["toxicity"] >= max(by_label[label] for label in ("identity_attack", "insult", "threat"))

    def test_no_template_is_in_two_sections(self) -> None:
        _, sections = read_sections(TEXTS / FRAMES_FILE)
        templates = [template for section in sections for template in section.templates]
        assert len(templates) == len(set(templates))

    def test_groups_stand_in_harmless_sentences_as_often_as_in_hateful_ones(self, frames: list[Sample]) -> None:
        for group in ("Muslims", "women", "trans people", "immigrants"):
            about = [sample.holds(0) for sample in frames if group in sample.text]
            assert 0.3 < sum(about) / len(about) < 0.7, group

    def test_no_slot_is_left_open(self, frames: list[Sample]) -> None:
        assert not [sample.text for sample in frames if "{" in sample.text or "}" in sample.text]

    @pytest.mark.parametrize("content", ["You.\n", "== a b: toxicity\nYou.\n"])
    def test_a_file_that_is_none_is_refused(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "frames.txt").write_text(content)
        with pytest.raises(ValueError, match=r"frames\.txt"):
            read_sections(tmp_path / "frames.txt")

    def test_slots_inside_slots_are_filled(self) -> None:
        slots = {"who": ("{group}",), "group": ("men",)}
        assert fill("{who} sing, said {who}.", slots, np.random.default_rng(1)) == "Men sing, said men."


class TestChat:
    def test_the_sets_share_no_text_with_each_other_or_with_training(self, frames: list[Sample]) -> None:
        rng = np.random.default_rng(7)
        trained = {bare(s.text) for s in [*frames, *own_phrases(rng)] if s.part == "train" and s.family != "short"}
        dev, test = ({bare(one.text) for one in read_labelled(TEXTS / CHAT_FILES[part])} for part in ("dev", "test"))
        assert not dev & test - {"why", "no", "stop"}
        assert not (dev | test) & trained

    def test_both_hold_harmless_and_toxic_texts_of_each_kind(self) -> None:
        for part in ("dev", "test"):
            targets = np.array([sample.targets for sample in chat_texts() if sample.part == part])
            assert (targets.sum(axis=0) >= 10).all()
            assert (targets[:, 0] == 0).sum() >= 50


class TestSamples:
    def test_people_who_disagree_evenly_decide_nothing(self) -> None:
        sample = Sample("x", make_targets({"toxicity": 0.5, "insult": 1.0}, otherwise=0.0), "davidson", "train")
        assert [sample.holds(column) for column in range(3)] == [-1, 0, 1]

    def test_swear_words_make_a_text_obscene_and_their_absence_leaves_a_toxic_one_open(self) -> None:
        assert guess_obscene("what the fuck", toxic=False) == 1.0
        assert guess_obscene("a class of assassins", toxic=False) == 0.0
        assert guess_obscene("you are vile", toxic=True) == -1.0

    def test_a_misspelt_text_differs_in_one_word(self) -> None:
        rng = np.random.default_rng(3)
        for _ in range(50):
            changed = misspell("nobody likes pineapple pizza here", rng).split()
            pairs = zip(changed, ["nobody", "likes", "pineapple", "pizza", "here"], strict=True)
            assert sum(one != other for one, other in pairs) <= 1
        assert misspell("ok no", rng) == "ok no"

    def test_mixtures_fit_one_window(self, frames: list[Sample]) -> None:
        rng = np.random.default_rng(7)
        mixed = list(mixtures([*frames, *own_phrases(rng)], rng, count=300))
        longest = max(len(sample.text.split()) for sample in mixed)
        # English takes about 1.3 tokens for a word; a window holds 254.
        assert longest <= 190
        assert {sample.holds(0) for sample in mixed} == {0, 1}


class TestFigures:
    def test_a_share_lies_in_its_interval(self) -> None:
        found = share_interval(np.array([True] * 5 + [False] * 95))
        assert found["share"] == 0.05
        # Wilson's interval for 5 of 100, as tabulated.
        assert found["low"] == pytest.approx(0.0215, abs=2e-4)
        assert found["high"] == pytest.approx(0.1118, abs=2e-4)

    def test_never_is_not_certain(self) -> None:
        assert share_interval(np.zeros(20, dtype=bool))["high"] > 0.1
