from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.text.talk import LONGEST_TALK, claimless_ranges


def claimed(text: str) -> str:
    """Return what is left of a sentence without its claimless clauses."""
    left, place = "", 0
    for start, end in claimless_ranges(text, 0, len(text)):
        left, place = left + text[place:start], end
    return left + text[place:]


class TestClaimless:
    @pytest.mark.parametrize(
        "text",
        [
            "I could not find this information in the provided context.",
            "the documents don't mention that",
            "The policy doesn\u2019t say whether batteries count.",
            "There is no information about parking in the context.",
            "The parking fee is not mentioned in the text.",
            "I'm unable to determine the price from the given sources.",
            "I am sorry that you are upset.",
            "That must be frustrating.",
            "Would you like me to check another model?",
            "I'd be happy to look into the matter.",
        ],
    )
    def test_leaves_nothing(self, text: str) -> None:
        assert claimed(text) == ""

    @pytest.mark.parametrize(
        "text",
        [
            "We do not provide refunds.",
            "It does not include batteries.",
            "Water damage is not covered by the policy.",
            "There is no data limit.",
            "It must be requested in writing.",
            "I am happy to confirm that Brandeis founded us.",
            "No data is shared with partners.",
            "We don't have branches in Oslo.",
            "I hope you enjoy the 25 euros.",
        ],
    )
    def test_keeps_claims_that_look_alike(self, text: str) -> None:
        assert claimed(text) == text

    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("I could not find the fee, but it is 25 euros.", "25 euros"),
            ("I don't know, the company was founded by Brandeis.", "founded by Brandeis"),
            ("I'm sorry, opened software cannot be returned.", "opened software cannot be returned"),
            ("I don't know the price and you can return it for free.", "you can return it for free"),
        ],
    )
    def test_keeps_the_claim_beside_the_talk(self, text: str, left: str) -> None:
        assert left in claimed(text)
        assert claimed(text) != text

    def test_takes_very_long_sentences_as_claims(self) -> None:
        assert claimless_ranges("I don't know " + "it " * LONGEST_TALK, 0, LONGEST_TALK + 100) == []

    @given(st.text(max_size=200))
    def test_gives_ascending_ranges_inside_any_text(self, text: str) -> None:
        ends = [0, *(place for pair in claimless_ranges(text, 0, len(text)) for place in pair)]
        assert ends == sorted(ends)
        assert ends[-1] <= len(text)

    @pytest.mark.parametrize(
        "unit",
        ["and so ", "i can't ", "sorry ", "in the ", "no information ", "the document ", "is not ", ",", "very "],
    )
    def test_hostile_repetition_takes_bounded_time(self, unit: str) -> None:
        text = (unit * LONGEST_TALK)[:LONGEST_TALK]
        started = time.process_time()
        claimless_ranges(text, 0, len(text))
        assert time.process_time() - started < 1.0
