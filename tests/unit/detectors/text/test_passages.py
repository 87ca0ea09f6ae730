from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from detectors.text.passages import choose_passages
from detectors.text.sentences import split_sentences
from detectors.text.support import LONGEST_PIECE, build_support
from detectors.text.words import content_words

FILLER = "The committee met in the old hall and talked about the weather. " * 30
LEASE = "The deposit equals two monthly rents. Pets need the consent of the landlord. The cellar is shared by all."


def choose(response: str, *contexts: str, budget: int = 300) -> str:
    words = [content_words(response, one.start, one.end) for one in split_sentences(response)]
    return choose_passages(words, build_support(contexts, None), budget)


class TestChoosing:
    def test_shows_short_contexts_whole(self) -> None:
        assert choose("Anything at all.", LEASE, "Second document.") == LEASE + " Second document."

    def test_finds_the_sentence_that_shares_rare_words(self) -> None:
        assert "The deposit equals two monthly rents." in choose("You pay a deposit of two rents.", FILLER, LEASE)

    def test_serves_every_sentence_of_the_response(self) -> None:
        chosen = choose("You pay a deposit. Pets need consent.", FILLER, LEASE, budget=120)
        assert "deposit" in chosen
        assert "Pets" in chosen

    def test_keeps_the_order_of_the_contexts(self) -> None:
        chosen = choose("The cellar is shared. The deposit equals two rents.", FILLER, LEASE)
        assert chosen.index("deposit") < chosen.index("cellar")

    def test_falls_back_on_the_beginning_without_a_word_in_common(self) -> None:
        assert choose("Zebras graze.", LEASE, FILLER, budget=60).startswith("The deposit")

    @given(st.text(max_size=200), st.lists(st.text(max_size=300), max_size=3), st.integers(1, 200))
    def test_never_exceeds_the_budget(self, response: str, contexts: list[str], budget: int) -> None:
        assert len(choose(response, *contexts, budget=budget)) <= budget

    def test_cuts_text_without_full_stops_into_pieces(self) -> None:
        support = build_support(["word " * 1000], None)
        assert max(map(len, support.sentences)) <= LONGEST_PIECE

    def test_takes_bounded_time_when_every_sentence_holds_every_word(self) -> None:
        started = time.process_time()
        choose("The committee met in the old hall. " * 50, FILLER * 40)
        assert time.process_time() - started < 10.0
