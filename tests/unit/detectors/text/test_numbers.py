from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.text.numbers import conversions, normal_number, read_quantity, tokens_of
from detectors.text.support import build_support
from detectors.text.words import content_words, is_known


def numbers(text: str) -> list[tuple[str, str]]:
    return [(word.stem, word.unit) for word in content_words(text) if word.is_number]


class TestReading:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("twenty-five percent", [("25", "percent")]),
            ("one hundred and twenty items", [("120", "")]),
            ("two thousand and five", [("2005", "")]),
            ("2.5 million users", [("2500000", "")]),
            ("a 5k run", [("5000", "")]),
            ("three to five working days", [("3", "day"), ("5", "day")]),
            ("3\u20135 days", [("3", "day"), ("5", "day")]),
            ("12 items within 14 days", [("12", ""), ("14", "day")]),
            ("a 30-day trial", [("30", "day")]),
            ("\u20ac9.90", [("9.9", "euro")]),
            ("9.90 EUR", [("9.9", "euro")]),
            ("7 %", [("7", "percent")]),
            ("seven per cent", [("7", "percent")]),
            ("the 3rd floor", [("3", "")]),
            ("1'000 or 1\u00a0000", [("1000", ""), ("1000", "")]),
            ("at 10:00", [("10", "")]),
            ("no one knows one of them", []),
        ],
    )
    def test_gives_value_and_unit(self, text: str, expected: list[tuple[str, str]]) -> None:
        assert numbers(text) == expected

    @pytest.mark.parametrize(
        "text", ["1. Open the lid", "2) Open it", "**3.** Open it", "It is open [2]", "It is open (3)", "See step 4"]
    )
    def test_leaves_out_numbers_that_only_enumerate(self, text: str) -> None:
        assert numbers(text) == []

    @pytest.mark.parametrize("text", ["14 days", "2.5 percent", "(14 days)", "It costs 5."])
    def test_keeps_numbers_that_say_something(self, text: str) -> None:
        assert len(numbers(text)) == 1

    @pytest.mark.parametrize(
        ("written", "context"),
        [
            ("2 pm", "14:00"),
            ("14:00", "2 p.m."),
            ("1,000", "1.000"),
            ("3rd", "third"),
            ("4 October 2026", "2026-10-04"),
            ("2026-03-31", "31 March 2026"),
            ("\u20ac9.90", "9.90 euros"),
            ("2 h", "two hours"),
            ("48 hours", "two days"),
            ("1,200,000", "1.2 million"),
        ],
    )
    def test_finds_other_spellings(self, written: str, context: str) -> None:
        support = build_support([context], None)
        missing = [word.stem for word in content_words(written) if not is_known(word, support.places)]
        assert [stem for stem in missing if stem[0].isdigit()] == []

    @given(st.text(max_size=80))
    def test_takes_any_text_and_always_moves_on(self, text: str) -> None:
        tokens = tokens_of(text, 0, len(text))
        for place in range(len(tokens)):
            quantity = read_quantity(text, tokens, place)
            assert quantity is None or (quantity.after > place and quantity.start < quantity.end <= len(text))

    @given(st.integers(0, 10**9))
    def test_reads_thousands_separators(self, value: int) -> None:
        assert normal_number(f"{value:,}") == str(value)


class TestConversions:
    def test_goes_both_ways_where_exact(self) -> None:
        assert ("14", "day") in conversions("2", "week")
        assert ("2", "week") in conversions("14", "day")
        assert all(unit != "week" for _, unit in conversions("15", "day"))

    @pytest.mark.parametrize("value", ["2.5", "9" * 100, ""])
    def test_leaves_other_figures_alone(self, value: str) -> None:
        assert conversions(value, "day") == []
