from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from detectors.bundles import read_bundle
from detectors.contract import TextFailure
from detectors.full.claims import ClaimChecker, ClaimQuestion, ClaimReading, find_claims
from detectors.full.description import ClaimDescription, ClaimInput
from detectors.full.loading import LoadedModel, Row, load_tokenizer
from tests.unit.detectors.full.conftest import CLAIMS, DEBERTA, LIMITS

CONTEXTS = ("Parcels sent on Friday arrive on Tuesday. The shop is closed on Sunday.", "Returns are free.")
RESPONSE = "Parcels arrive on Tuesday. Returns cost {nine} euros."


def checker(model: LoadedModel, form: ClaimInput = "separator", **options: Any) -> ClaimChecker:
    return ClaimChecker(model, ClaimDescription(form, **options), LIMITS)


def check_one(one: ClaimChecker, contexts: Sequence[str] = CONTEXTS, response: str = RESPONSE) -> ClaimReading:
    (reading,) = one.check([ClaimQuestion(tuple(contexts), response)])
    assert isinstance(reading, ClaimReading), reading
    return reading


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[list[Row]]:
    """The batches the models were given, from now on."""
    seen: list[list[Row]] = []
    original = LoadedModel.logits

    def watch(self: LoadedModel, batch: Sequence[Row]) -> torch.Tensor:
        seen.append(list(batch))
        return original(self, batch)

    monkeypatch.setattr(LoadedModel, "logits", watch)
    return seen


class TestInputs:
    @pytest.mark.parametrize("name", [CLAIMS, DEBERTA])
    def test_chunk_and_claim_stand_as_minicheck_joins_them(
        self, roberta: LoadedModel, deberta: LoadedModel, models_dir: Path, rows: list[list[Row]], name: str
    ) -> None:
        check_one(checker(roberta if name == CLAIMS else deberta), CONTEXTS[1:], "Returns cost nine euros.")
        tokenizer = load_tokenizer(read_bundle(models_dir, name).path)
        expected = tokenizer(tokenizer.eos_token.join(["Returns are free.", "Returns cost nine euros."]))["input_ids"]
        assert [row.ids for batch in rows for row in batch] == [tuple(expected)]

    def test_an_instruction_asks_as_factcg_does(
        self, deberta: LoadedModel, models_dir: Path, rows: list[list[Row]]
    ) -> None:
        check_one(checker(deberta, "instruction"), CONTEXTS[1:], "Returns cost {nine} euros.")
        tokenizer = load_tokenizer(read_bundle(models_dir, DEBERTA).path)
        asked = (
            "Returns are free.\n\nChoose your answer: based on the paragraph above can we conclude that "
            '"Returns cost {nine} euros."?\n\nOPTIONS:\n- Yes\n- No\nI think the answer is '
        )
        ((row,),) = rows
        assert row.ids == tuple(tokenizer(asked)["input_ids"])

    def test_a_pair_is_what_the_tokenizer_makes_of_two_texts(
        self, deberta: LoadedModel, models_dir: Path, rows: list[list[Row]]
    ) -> None:
        check_one(checker(deberta, "pair"), CONTEXTS[1:], "Returns cost nine euros.")
        tokenizer = load_tokenizer(read_bundle(models_dir, DEBERTA).path)
        expected = tokenizer("Returns are free.", "Returns cost nine euros.")
        ((row,),) = rows
        assert row.ids == tuple(expected["input_ids"])
        assert row.second_from == expected.sequence_ids(0).index(1)


class TestReading:
    def test_a_claim_is_supported_as_by_its_best_chunk_and_the_worst_claim_counts(self, roberta: LoadedModel) -> None:
        one = checker(roberta, chunk_tokens=45)
        chunks = ["Parcels sent on Friday arrive on Tuesday.", "The shop is closed on Sunday.", "Returns are free."]
        doubts = []
        for claim in ("Parcels arrive on Tuesday.", "Returns cost {nine} euros."):
            alone = [check_one(one, [chunk], claim) for chunk in chunks]
            doubts.append(min(reading.worst for reading in alone))
        reading = check_one(one)
        assert reading.worst == pytest.approx(max(doubts), abs=1e-5)
        assert reading.mean == pytest.approx(sum(doubts) / 2, abs=1e-5)
        assert reading.unsupported_share == sum(doubt > 0.5 for doubt in doubts) / 2

    def test_the_supported_label_decides_what_is_meant(self, roberta: LoadedModel) -> None:
        one, other = (checker(roberta, supported_label=label) for label in (1, 0))
        text = "Returns are free."
        assert check_one(one, [text], text).worst == pytest.approx(1 - check_one(other, [text], text).worst, abs=1e-5)

    def test_many_responses_are_read_together_and_equal_pairs_once(
        self, roberta: LoadedModel, rows: list[list[Row]]
    ) -> None:
        questions = [
            ClaimQuestion(("Returns are free.",), "Parcels are free."),
            ClaimQuestion(("Returns are free.",), "Parcels are free. Boxes are red."),
            ClaimQuestion(("The shop is shut.",), "Parcels are free."),
        ]
        together = checker(roberta).check(questions)
        assert [len(batch) for batch in rows] == [3]
        for question, reading in zip(questions, together, strict=True):
            alone = check_one(checker(roberta), question.texts, question.response)
            assert isinstance(reading, ClaimReading)
            assert (alone.worst, alone.mean) == pytest.approx((reading.worst, reading.mean), abs=1e-5)

    def test_a_long_context_is_cut_at_sentences_and_none_of_it_is_lost(
        self, roberta: LoadedModel, models_dir: Path, rows: list[list[Row]]
    ) -> None:
        sentences = [f"Shelf {number} holds {number * 7} boxes." for number in range(30)]
        check_one(checker(roberta, chunk_tokens=100), [" ".join(sentences)], "Shelf 3 is empty.")
        tokenizer = load_tokenizer(read_bundle(models_dir, CLAIMS).path)
        texts = [tokenizer.decode(row.ids) for batch in rows for row in batch]
        chunks = sorted((text.removeprefix("<s>").split("</s>")[0] for text in texts), key=lambda t: int(t.split()[1]))
        assert " ".join(chunks) == " ".join(sentences)
        assert all(len(roberta.tokenise([chunk])[0].ids) <= 100 for chunk in chunks)
        assert len(chunks) > 5

    def test_a_sentence_longer_than_a_chunk_and_a_claim_longer_than_its_share_are_read_in_windows(
        self, roberta: LoadedModel, rows: list[list[Row]]
    ) -> None:
        check_one(checker(roberta), ["many words without an end " * 40], "the claim goes on and on and on " * 20)
        lengths = [len(row.ids) for batch in rows for row in batch]
        assert max(lengths) <= 256
        assert len(lengths) > 20

    @pytest.mark.parametrize(
        ("contexts", "response", "reason"),
        [
            (("",), "Parcels are free.", "no_context"),
            (("Returns are free.",), "Sure, happy to help!", "no_checkable_claim"),
            (("Returns are free.",), "", "no_checkable_claim"),
            (("Returns are free.",), "退货免费。", "unsupported_text"),
            (("退货免费。",), "Returns are free.", "unsupported_text"),
            (("Returns are free. " * 400,), "Parcels are free. " * 40, "text_too_long"),
        ],
    )
    def test_it_says_why_it_cannot_check(
        self, roberta: LoadedModel, contexts: tuple[str, ...], response: str, reason: str
    ) -> None:
        assert checker(roberta).check([ClaimQuestion(contexts, response)]) == [TextFailure(reason)]

    def test_a_number_that_is_none_costs_only_its_question(
        self, roberta: LoadedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        poison = roberta.tokenise(["poison"])[0].ids
        original = LoadedModel.logits

        def spoil(self: LoadedModel, batch: Sequence[Row]) -> torch.Tensor:
            found = original(self, batch)
            for place, row in enumerate(batch):
                if row.ids[1 : 1 + len(poison)] == poison:
                    found[place] = float("nan")
            return found

        monkeypatch.setattr(LoadedModel, "logits", spoil)
        questions = [ClaimQuestion((text,), "Parcels are free.") for text in ("poison", "Returns are free.")]
        bad, good = checker(roberta).check(questions)
        assert bad == TextFailure("detector_error")
        assert isinstance(good, ClaimReading)


class TestFindClaims:
    def test_small_talk_is_left_out(self) -> None:
        text = "I'm sorry to hear that. Returns are free within 14 days. Let me know if you need more!"
        assert find_claims(text) == ["Returns are free within 14 days."]

    def test_a_clause_that_claims_something_keeps_its_sentence(self) -> None:
        text = "I could not find the fee, but it is 25 euros."
        assert find_claims(text) == [text]
