from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from detectors.model import Exchange
from detectors.text.encoder import Encoder
from detectors.text.evidence import (
    EVIDENCE_TOKENS,
    MAX_PIECES,
    SENTENCE_FEATURES,
    WINDOW_TOKENS,
    WORD_FEATURES,
    gather_evidence,
)
from detectors.text.grounding import COLUMNS, Floats, GroundingHead, Pair, load_grounding_head
from detectors.text.hallucination import HEADS_FOLDER

CONTEXT = "The ferry leaves at noon. Dogs travel free. Refunds take 14 days."


@pytest.fixture(scope="module")
def head(encoder: Encoder) -> GroundingHead:
    return load_grounding_head(encoder, HEADS_FOLDER)


@dataclass
class WatchedReader:
    """Stands in for the head: remembers what it was shown, and numbers the response's tokens."""

    encoder: Encoder
    seen: list[Pair] = field(default_factory=list)

    def read(self, pairs: list[Pair]) -> list[Floats]:
        self.seen += pairs
        return [np.arange(len(pair.response) * COLUMNS, dtype=np.float32).reshape(-1, COLUMNS) for pair in pairs]

    def shown(self) -> str:
        return " ".join(self.encoder.tokenizer.decode(list(pair.evidence)) for pair in self.seen)


def watch(encoder: Encoder, response: str, prompt: str | None = None) -> WatchedReader:
    reader = WatchedReader(encoder)
    gather_evidence([Exchange("1", prompt, response, (CONTEXT,))], reader)  # type: ignore[arg-type]
    return reader


class TestWhatTheReaderIsShown:
    def test_whole_sentences_in_windows(self, encoder: Encoder) -> None:
        response = "The ferry leaves at noon from the pier. " * 30
        reader = watch(encoder, response)
        assert len(reader.seen) > 1
        decoded = [encoder.tokenizer.decode(list(pair.response)) for pair in reader.seen]
        assert all(text.startswith("the ferry") and text.endswith("pier.") for text in decoded)

    def test_nothing_for_small_talk(self, encoder: Encoder) -> None:
        assert watch(encoder, "Sure, happy to help!").seen == []

    def test_what_the_response_repeats_of_the_prompt(self, encoder: Encoder) -> None:
        assert "4711" in watch(encoder, "Order 4711 is refunded.", "Where is order 4711?").shown()

    def test_no_name_that_only_the_prompt_holds(self, encoder: Encoder) -> None:
        assert "brandeis" not in watch(encoder, "It went to Brandeis.", "Did it go to Brandeis?").shown()

    def test_amounts_that_are_the_same_in_another_unit(self, encoder: Encoder) -> None:
        assert watch(encoder, "Refunds take two weeks.").shown().endswith("two weeks")
        assert not watch(encoder, "Refunds take three weeks.").shown().endswith("three weeks")

    def test_no_more_than_it_was_trained_on(self, encoder: Encoder) -> None:
        reader = watch(encoder, "x1\u00a4y2 " * 300)
        assert max(len(pair.response) for pair in reader.seen) <= WINDOW_TOKENS
        assert max(len(pair.evidence) for pair in reader.seen) <= EVIDENCE_TOKENS


class TestEvidence:
    def test_has_all_features_of_sentences_and_words(self, head: GroundingHead) -> None:
        response = "The ferry leaves at noon. Hello! Cats travel free."
        (sentences,) = gather_evidence([Exchange("1", None, response, (CONTEXT,))], head)
        assert sentences is not None
        assert [one.lexical.sentence.text for one in sentences] == ["The ferry leaves at noon.", "Cats travel free."]
        for one in sentences:
            assert len(one.features) == len(SENTENCE_FEATURES)
            assert np.isfinite(one.features).all()
            assert all(len(word.features) == len(WORD_FEATURES) for word in one.words)
            told = [response[word.start : word.end] for word in one.words]
            assert told == one.lexical.sentence.text.rstrip(".").split()

    def test_goes_to_the_exchange_it_is_of(self, head: GroundingHead) -> None:
        exchanges = [
            Exchange("1", None, "Dogs travel free.", (CONTEXT,)),
            Exchange("2", None, "Hello!", (CONTEXT,)),
            Exchange("3", None, "The ferry leaves at noon. Refunds take 14 days.", (CONTEXT,)),
        ]
        found = gather_evidence(exchanges, head)
        assert [len(sentences or []) for sentences in found] == [1, 0, 2]

    def test_is_never_of_a_part(self, encoder: Encoder) -> None:
        reader = WatchedReader(encoder)
        long = Exchange("1", None, "x1\u00a4y2 " * (MAX_PIECES * WINDOW_TOKENS // 4), (CONTEXT,))
        short = Exchange("2", None, "Dogs travel free.", (CONTEXT,))
        found = gather_evidence([long, short], reader)  # type: ignore[arg-type]
        assert found[0] is None
        assert found[1] is not None
        assert len(reader.seen) == 1
