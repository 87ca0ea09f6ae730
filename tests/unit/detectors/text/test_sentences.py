from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.text.sentences import split_sentences


class TestSplitSentences:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            (" \n\t ", []),
            ("One sentence", ["One sentence"]),
            ("First. Second! Third?", ["First.", "Second!", "Third?"]),
            ("Wait... Really?! Yes.", ["Wait...", "Really?!", "Yes."]),
            ('She said "no." He left.', ['She said "no."', "He left."]),
            (
                "Dr. Miller lives at No. 5 St. James St. in London.",
                ["Dr. Miller lives at No. 5 St. James St. in London."],
            ),
            ("J. R. Smith came. So did I. We talked.", ["J. R. Smith came.", "So did I.", "We talked."]),
            ("Version 2.5 costs 3.50 euros. It is new.", ["Version 2.5 costs 3.50 euros.", "It is new."]),
            ("Use e.g. a pen, i.e. ink.", ["Use e.g. a pen, i.e. ink."]),
            ("1. Open it.\n2. Close it.", ["Open it.", "Close it."]),
            ("- one\n* two\n\u2022 three", ["one", "two", "three"]),
            ("## Title\nText", ["Title", "Text"]),
            ("no capital. follows here", ["no capital. follows here"]),
        ],
    )
    def test_gives_known_sentences(self, text: str, expected: list[str]) -> None:
        assert [sentence.text for sentence in split_sentences(text)] == expected

    @given(st.text(st.sampled_from("aB. !?\n\"'-*1)#\u2026\u00e9\U0001f600"), max_size=80) | st.text(max_size=80))
    def test_keeps_places_and_order(self, text: str) -> None:
        end = 0
        for sentence in split_sentences(text):
            assert sentence.text == text[sentence.start : sentence.end]
            assert sentence.text.strip() == sentence.text != ""
            assert sentence.start >= end
            end = sentence.end

    @pytest.mark.parametrize("unit", [".", ". ", "a.", "A. ", " ", "\n", "((", ".\u00a0", "1. "])
    def test_takes_linear_time(self, unit: str) -> None:
        started = time.process_time()
        split_sentences(unit * 200_000)
        assert time.process_time() - started < 5.0
