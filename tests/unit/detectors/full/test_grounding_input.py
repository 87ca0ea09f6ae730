from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.bundles import read_bundle
from detectors.full.grounding_input import (
    GroundingRow,
    GroundingTexts,
    GroundingTokens,
    compose_texts,
    lay_out_rows,
    tokenise_texts,
)
from detectors.full.loading import LoadedModel, SpecialTokens, load_tokenizer
from detectors.text.encoder import TokenisedText
from tests.unit.detectors.full.conftest import GROUNDING

SPECIAL = SpecialTokens((1,), (2,), (2,), 0, False, 3, 0, frozenset({1, 2, 3}))
CONTEXTS = ("Parcels arrive on Tuesday.", "  ", "The shop is closed.")
ANSWER = "It arrives on Tuesday."


def make_tokens(contexts: int, answer: int, lead: int = 4, tail: int = 3) -> GroundingTokens:
    """Return tokens that can be told apart: contexts from 1000 on, the answer from 100000 on."""
    ids = tuple(range(100_000, 100_000 + answer))
    offsets = tuple((place, place + 1) for place in range(answer))
    return GroundingTokens((1,) * lead, tuple(range(1000, 1000 + contexts)), (2,) * tail, TokenisedText(ids, offsets))


def lay_out_one(model: LoadedModel, texts: GroundingTexts) -> GroundingRow:
    """Return the one row that texts of ordinary length make."""
    rows = lay_out_rows(tokenise_texts(model, texts), model.special, 4096, 8)
    assert rows is not None
    (row,) = rows
    return row


def stretch(row: GroundingRow) -> tuple[int, ...]:
    """Return the part of a row that is the answer's."""
    return row.marked.row.ids[row.marked.at : row.marked.at + row.marked.count]


class TestComposing:
    def test_passages_are_numbered_under_the_question(self) -> None:
        texts = compose_texts(CONTEXTS, "When does {it} arrive?", ANSWER, "passages")
        assert texts.lead + texts.contexts + texts.tail == (
            "\nBriefly answer the following question:\nWhen does {it} arrive?\n"
            "Bear in mind that your response should be strictly based on the following 2 passages:\n"
            "passage 1: Parcels arrive on Tuesday.\npassage 2: The shop is closed.\n"
            "In case the passages do not contain the necessary information to answer the question, please reply "
            'with: "Unable to answer based on given passages."\noutput:\n'
        )

    def test_without_a_question_they_are_to_be_summarised(self) -> None:
        texts = compose_texts(CONTEXTS[:1], None, ANSWER, "passages")
        assert texts.lead + texts.contexts + texts.tail == (
            "\nSummarize the following text:\npassage 1: Parcels arrive on Tuesday.\noutput:\n"
        )

    def test_a_request_goes_first(self) -> None:
        assert compose_texts(CONTEXTS, "When?", ANSWER, "request") == GroundingTexts(
            "User request: When?\n\n", "Parcels arrive on Tuesday.\n\nThe shop is closed.", "", None, ANSWER
        )
        assert compose_texts(CONTEXTS, None, ANSWER, "request").lead == ""

    def test_a_triple_keeps_the_question_apart(self) -> None:
        texts = compose_texts(CONTEXTS, "When?", ANSWER, "triple")
        assert (texts.lead, texts.tail, texts.question) == ("", "", "When?")


class TestTokenising:
    @pytest.mark.parametrize("form", ["passages", "request"])
    @pytest.mark.parametrize("question", ["When does it arrive?", None])
    def test_what_fits_is_the_pair_the_tokenizer_makes(
        self, grounding: LoadedModel, models_dir: Path, form: str, question: str | None
    ) -> None:
        texts = compose_texts(CONTEXTS, question, ANSWER, form)  # type: ignore[arg-type]
        row = lay_out_one(grounding, texts)
        tokenizer = load_tokenizer(read_bundle(models_dir, GROUNDING).path)
        assert row.marked.row.ids == tuple(tokenizer(texts.lead + texts.contexts + texts.tail, ANSWER)["input_ids"])
        assert tokenizer.decode(stretch(row)) == ANSWER

    def test_a_triple_stands_between_separators(self, grounding: LoadedModel, models_dir: Path) -> None:
        texts = compose_texts(CONTEXTS[:1], "When?", ANSWER, "triple")
        row = lay_out_one(grounding, texts)
        tokenizer = load_tokenizer(read_bundle(models_dir, GROUNDING).path)
        assert tokenizer.decode(row.marked.row.ids) == f"[CLS]{CONTEXTS[0]}[SEP]When?[SEP]{ANSWER}[SEP]"


class TestLayingOut:
    @settings(max_examples=60)
    @given(st.integers(1, 400), st.integers(1, 200), st.integers(40, 120))
    def test_every_answer_token_meets_every_context_token(self, contexts: int, answer: int, row_tokens: int) -> None:
        tokens = make_tokens(contexts, answer)
        rows = lay_out_rows(tokens, SPECIAL, row_tokens, 10_000)
        assert rows is not None
        met: dict[int, set[int]] = {token: set() for token in tokens.answer.ids}
        for row in rows:
            ids = row.marked.row.ids
            assert len(ids) <= row_tokens
            assert stretch(row) == tokens.answer.ids[row.start : row.end]
            assert ids[: len(tokens.lead)] == tokens.lead
            seen = {token for token in ids if 1000 <= token < 100_000}
            for token in stretch(row):
                met[token] |= seen
        assert set(map(len, met.values())) == {contexts}

    def test_what_fits_is_one_row(self) -> None:
        rows = lay_out_rows(make_tokens(20, 70), SPECIAL, 98, 8)
        assert rows is not None
        assert [(row.start, row.end, len(row.marked.row.ids)) for row in rows] == [(0, 70, 98)]

    def test_the_answer_is_repeated_beside_every_window(self) -> None:
        rows = lay_out_rows(make_tokens(200, 10), SPECIAL, 68, 8)
        assert rows is not None
        assert {(row.start, row.end) for row in rows} == {(0, 10)}
        assert len(rows) == 5

    @pytest.mark.parametrize(("row_tokens", "most_rows"), [(8, 100), (20, 100), (68, 4)])
    def test_it_gives_up_without_room_or_with_too_many_rows(self, row_tokens: int, most_rows: int) -> None:
        assert lay_out_rows(make_tokens(200, 10), SPECIAL, row_tokens, most_rows) is None
