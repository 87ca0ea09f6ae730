from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.text.consistency import Comparison, ConsistencyReading, compare_answers, read_consistency

WORDS = st.text("abcde .\n1", max_size=40)


def read(response: str, *others: str) -> ConsistencyReading | None:
    return read_consistency(response, compare_answers(response, others))


class TestReading:
    def test_the_doubt_of_a_word_is_one_minus_log_c_over_log_n(self) -> None:
        # Four answers, the word's own included: "red" stands in one, "blue" in two, "green" in three, "box" in all.
        others = ("blue green box", "green box", "box")
        for word, held in (("red", 1), ("blue", 2), ("green", 3), ("box", 4)):
            reading = read(word, *others)
            assert reading is not None
            assert reading.value == pytest.approx(1 - math.log(held) / math.log(4), abs=1e-6)

    def test_a_response_is_as_doubtful_as_its_sentences_on_average(self) -> None:
        reading = read("The box is red. The box is here.", "The box is here.", "The box is here.")
        assert reading is not None
        # One sentence holds a word of its own and the other none; one of seven words is doubted.
        assert reading.value == 0.5
        assert reading.average == pytest.approx(1 / 8, abs=1e-6)

    def test_equal_answers_leave_no_doubt(self) -> None:
        reading = read("It opened in 1932.", "It opened in 1932.", "IT OPENED IN 1932!")
        assert reading == ConsistencyReading(0.0, 0.0, ())

    def test_a_word_counts_once_an_answer_however_often_it_says_it(self) -> None:
        once, often = read("box", "red", "box"), read("box", "red", "box box box")
        assert once == often

    def test_numbers_keep_their_points_and_characters_without_spaces_are_words(self) -> None:
        reading = read("Version 1.2 costs 1,000.", "Version 1.3 costs 1,000.")
        assert reading is not None
        assert [(span.start, span.end) for span in reading.spans] == [(8, 11)]
        chinese = read("周二送货", "周三送货")
        assert chinese is not None
        assert [(span.start, span.end) for span in chinese.spans] == [(1, 2)]
        assert chinese.average == 0.25

    def test_spans_join_neighbours_and_point_into_the_response(self) -> None:
        response = "Grüße! It was built by Ann Lee."
        reading = read(response, "Grüße! It was built by someone.", "Grüße! It was built by Bob.")
        assert reading is not None
        assert [(response[span.start : span.end], span.value) for span in reading.spans] == [("Ann Lee", 1.0)]

    def test_there_may_be_nothing_to_compare(self) -> None:
        assert read("?!", "Yes.") is None
        assert read_consistency("Yes.", []) is None

    @given(WORDS, st.lists(WORDS, max_size=6))
    def test_every_number_is_in_the_unit_interval_and_every_span_in_the_text(
        self, response: str, others: list[str]
    ) -> None:
        reading = read(response, *others)
        if reading is not None:
            assert 0.0 <= reading.average <= 1.0
            assert 0.0 <= reading.value <= 1.0
            places = [place for span in reading.spans for place in (span.start, span.end)]
            assert places == sorted(places)
            assert all(place <= len(response) for place in places)


class TestComparing:
    def test_other_answers_are_compared_with_the_whole_response(self) -> None:
        assert compare_answers("A", ("B", " ", "C")) == [Comparison(0, 1, ("B", "C"))]

    def test_choices_of_one_call_are_compared_with_each_other(self) -> None:
        assert compare_answers("A b\nC\nA b", ("A b", "C", "A b")) == [
            Comparison(0, 3, ("C", "A b")),
            Comparison(4, 5, ("A b", "A b")),
            Comparison(6, 9, ("A b", "C")),
        ]

    @pytest.mark.parametrize("samples", [(), ("",), (" ", "\n"), ("A",)])
    def test_an_answer_is_not_compared_with_itself(self, samples: tuple[str, ...]) -> None:
        assert compare_answers("A", samples) == []

    def test_at_most_twenty_count(self) -> None:
        ((_, others),) = [(one.start, one.others) for one in compare_answers("A", tuple(map(str, range(30))))]
        assert others == tuple(map(str, range(20)))
