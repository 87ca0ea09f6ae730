from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from detectors.contract import TextFailure
from detectors.full import grounding as grounding_module
from detectors.full.description import GroundingDescription
from detectors.full.grounding import GroundingReader, GroundingReading, mark_spans
from detectors.full.grounding_input import compose_texts, lay_out_rows, tokenise_texts
from detectors.full.loading import LoadedModel
from detectors.model import Exchange, Span
from tests.unit.detectors.full.conftest import GROUNDING, LIMITS

ROW_TOKENS = 256
CONTEXT = "Parcels sent on Friday arrive on Tuesday."
EXCHANGE = Exchange("a", "When does it arrive?", "It arrives on Tuesday, in a red box.", (CONTEXT,))
LONG = tuple(f"Paragraph {number} says that shelf {number} holds {number * 7} boxes of paper." for number in range(24))


@pytest.fixture
def reader(grounding: LoadedModel) -> GroundingReader:
    return GroundingReader(grounding, GroundingDescription("triple", ROW_TOKENS), LIMITS)


def read_one(reader: GroundingReader, exchange: Exchange) -> GroundingReading:
    (reading,) = reader.read([exchange])
    assert isinstance(reading, GroundingReading), reading
    return reading


def probabilities(model: LoadedModel, exchange: Exchange) -> list[tuple[int, int, np.ndarray[Any, Any]]]:
    """Return the model's own probabilities for each row of an exchange, row by row and without any batching."""
    texts = compose_texts(exchange.contexts, exchange.prompt, exchange.response or "", "triple")
    rows = lay_out_rows(tokenise_texts(model, texts), model.special, ROW_TOKENS, 99)
    assert rows is not None
    found = []
    for row in rows:
        with torch.no_grad():
            logits = model.model(input_ids=torch.tensor([row.marked.row.ids])).logits[0]
        own = torch.softmax(logits, dim=-1)[row.marked.at : row.marked.at + row.marked.count, 1]
        found.append((row.start, row.end, own.numpy()))
    return found


class TestReading:
    def test_the_value_is_the_worst_token_s(self, reader: GroundingReader, grounding: LoadedModel) -> None:
        ((_, _, expected),) = probabilities(grounding, EXCHANGE)
        assert read_one(reader, EXCHANGE).value == pytest.approx(expected.max(), abs=1e-5)

    def test_over_several_windows_a_token_takes_its_least_probability(
        self, reader: GroundingReader, grounding: LoadedModel
    ) -> None:
        exchange = Exchange("a", "How many?", "Shelf 3 holds 21 boxes.", LONG)
        rows = probabilities(grounding, exchange)
        assert len(rows) > 4
        least = np.min([own for _, _, own in rows], axis=0)
        worst_of_any = np.max([own for _, _, own in rows])
        reading = read_one(reader, exchange)
        assert reading.value == pytest.approx(least.max(), abs=1e-5)
        assert reading.value < worst_of_any

    def test_a_response_longer_than_a_row_is_read_to_its_end(
        self, reader: GroundingReader, grounding: LoadedModel
    ) -> None:
        exchange = Exchange("a", "How many?", " ".join(LONG[:8]), LONG[:6])
        least = np.ones(len(grounding.tokenise([exchange.response or ""])[0].ids))
        for start, end, own in probabilities(grounding, exchange):
            least[start:end] = np.minimum(least[start:end], own)
        assert read_one(reader, exchange).value == pytest.approx(least.max(), abs=1e-5)

    def test_a_pasted_document_as_the_prompt_becomes_a_source(self, reader: GroundingReader) -> None:
        pasted = " ".join(LONG)
        asked = Exchange("a", pasted, "Shelf 3 holds 21 boxes.", (CONTEXT,))
        given = Exchange("a", None, "Shelf 3 holds 21 boxes.", (pasted, CONTEXT))
        assert reader.read([asked]) == reader.read([given])

    def test_it_answers_in_order_and_reads_equal_exchanges_once(
        self, reader: GroundingReader, grounding: LoadedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows: list[int] = []
        original = LoadedModel.logits

        def count(self: LoadedModel, batch: Sequence[Any]) -> torch.Tensor:
            rows.append(len(batch))
            return original(self, batch)

        monkeypatch.setattr(LoadedModel, "logits", count)
        other = Exchange("b", "Why?", "Because.", (CONTEXT,))
        readings = reader.read([EXCHANGE, other, EXCHANGE])
        assert readings[0] == readings[2] != readings[1]
        assert sum(rows) == 2
        assert reader.read([other, EXCHANGE]) == [readings[1], readings[0]]
        assert sum(rows) == 2

    @pytest.mark.parametrize(
        ("exchange", "reason"),
        [
            (Exchange("a", "When?", None, (CONTEXT,)), "no_response_text"),
            (Exchange("a", "When?", " \n", (CONTEXT,)), "no_response_text"),
            (Exchange("a", "When?", "Now."), "no_context"),
            (Exchange("a", "When?", "Now.", (" ", "")), "no_context"),
            (Exchange("a", "When?", "星期二送货", (CONTEXT,)), "unsupported_text"),
            (Exchange("a", "When?", "On Tuesday.", ("星期二送货",)), "unsupported_text"),
            (Exchange("a", "When?", "word " * 50_000, (CONTEXT,)), "text_too_long"),
            (Exchange("a", "When?", "word " * 2_000, (CONTEXT * 400,)), "text_too_long"),
            (Exchange("a", "When?", "Now.", ("word " * 500_000,)), "text_too_long"),
        ],
    )
    def test_it_says_why_it_cannot_judge(self, reader: GroundingReader, exchange: Exchange, reason: str) -> None:
        assert reader.read([exchange]) == [TextFailure(reason)]

    def test_bfloat16_moves_a_value_only_a_little(self, models_dir: Any, reader: GroundingReader) -> None:
        from detectors.bundles import read_bundle
        from detectors.full.loading import load_classifier

        coarse = load_classifier(read_bundle(models_dir, GROUNDING), "token", device="cpu", precision="bfloat16")
        other = GroundingReader(coarse, GroundingDescription("triple", ROW_TOKENS), LIMITS)
        for exchange in (EXCHANGE, Exchange("b", "How many?", "Shelf 3 holds 21 boxes.", LONG)):
            assert read_one(other, exchange).value == pytest.approx(read_one(reader, exchange).value, abs=0.03)


class TestPoison:
    @pytest.mark.parametrize("harm", ["raise", "nan"])
    def test_it_costs_only_its_exchange(
        self, reader: GroundingReader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, harm: str
    ) -> None:
        exchanges = [Exchange(str(number), "Q?", f"Answer {number}.", (CONTEXT,)) for number in range(6)]
        clean = reader.read(exchanges)
        fresh = GroundingReader(reader._model, GroundingDescription("triple", ROW_TOKENS), LIMITS)
        poison = fresh._model.tokenise(["Answer 3."])[0].ids
        original = LoadedModel.logits

        def choke(self: LoadedModel, rows: Sequence[Any]) -> torch.Tensor:
            found = original(self, rows)
            for place, row in enumerate(rows):
                if row.ids[-1 - len(poison) : -1] == poison:
                    if harm == "raise":
                        raise RuntimeError("Answer 3. is secret")
                    found[place] = float("nan")
            return found

        monkeypatch.setattr(LoadedModel, "logits", choke)
        with caplog.at_level(logging.INFO):
            readings = fresh.read(exchanges)
        assert readings[3] == TextFailure("detector_error")
        for place in (0, 1, 2, 4, 5):
            left, right = readings[place], clean[place]
            assert isinstance(left, GroundingReading)
            assert isinstance(right, GroundingReading)
            assert left.value == pytest.approx(right.value, abs=1e-5)
        assert "secret" not in caplog.text

    def test_a_failure_is_not_remembered(self, reader: GroundingReader, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise MemoryError

        with monkeypatch.context() as patched:
            patched.setattr(grounding_module, "tokenise_texts", fail)
            assert reader.read([EXCHANGE]) == [TextFailure("detector_error")]
        assert isinstance(reader.read([EXCHANGE])[0], GroundingReading)


class TestMarkSpans:
    def mark(self, text: str, offsets: Sequence[tuple[int, int]], values: Sequence[float]) -> list[tuple[str, float]]:
        spans = mark_spans(text, offsets, np.array(values, dtype=np.float32))
        return [(text[span.start : span.end], round(span.value, 2)) for span in spans]

    def test_neighbours_are_joined_with_their_worst_value(self) -> None:
        offsets = [(0, 2), (3, 7), (8, 12), (12, 13)]
        assert self.mark("It left town.", offsets, [0.1, 0.6, 0.9, 0.2]) == [("left town", 0.9)]

    def test_space_at_the_ends_is_left_out(self) -> None:
        assert self.mark("It  left ", [(0, 2), (2, 9)], [0.1, 0.8]) == [("left", 0.8)]
        assert self.mark("It   ", [(0, 2), (2, 5)], [0.1, 0.8]) == []

    def test_the_bytes_of_one_character_are_one_span(self) -> None:
        offsets = [(0, 1), (0, 1), (0, 1), (1, 2)]
        assert self.mark("\U0001f600!", offsets, [0.7, 0.2, 0.9, 0.1]) == [("\U0001f600", 0.9)]

    def test_a_half_is_enough(self) -> None:
        assert mark_spans("ab", [(0, 1), (1, 2)], np.array([0.5, 0.49], dtype=np.float32)) == (Span(0, 1, 0.5),)

    def test_spans_lie_in_the_response(self, reader: GroundingReader) -> None:
        response = "Gr\u00fc\u00dfe \U0001f600! The \ud800 parcel weighs 93 kilograms.  "
        reading = read_one(reader, Exchange("a", None, response, (CONTEXT,)))
        assert reading.spans
        ends = [0, *(place for span in reading.spans for place in (span.start, span.end)), len(response)]
        assert ends == sorted(ends)
