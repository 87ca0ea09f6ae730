from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.text.opposites import OPPOSITES, inflect
from detectors.text.relations import split_clauses
from detectors.text.sentences import split_sentences
from detectors.text.support import Evidence, build_support, weigh_sentence
from detectors.text.words import content_words

DOCUMENT = (
    "The blue bus leaves from the market and costs 4 euros. The red bus leaves from the station and costs 7 euros. "
    "Bicycles are not carried on the red bus. Dr Amir Sahin examines adults, while Dr Nora Feld examines children. "
    "Parcels above ten kilograms are refused. The upper deck opens at noon."
)


def weigh(response: str, document: str = DOCUMENT) -> Evidence:
    return weigh_sentence(response, split_sentences(response)[0], build_support([document], None))


def suspected(response: str) -> list[str]:
    return [response[start:end] for start, end in weigh(response).suspects]


class TestTurnedNegation:
    @pytest.mark.parametrize(
        ("response", "shown"),
        [
            ("Bicycles are carried on the red bus.", "are"),
            ("The blue bus doesn't leave from the market.", "n't"),
            ("Parcels above ten kilograms are not refused.", "not"),
        ],
    )
    def test_is_suspected_where_the_same_words_stand_with_the_other_polarity(self, response: str, shown: str) -> None:
        assert weigh(response).turned_negation > 0.3
        assert shown in suspected(response)

    @pytest.mark.parametrize(
        "response",
        [
            "Bicycles are never carried on the red bus.",
            "The blue bus leaves from the market.",
            "The blue bus costs no more than 4 euros.",
        ],
    )
    def test_is_not_where_polarity_agrees(self, response: str) -> None:
        assert weigh(response).turned_negation == 0.0


class TestOppositeWord:
    def test_is_suspected_where_the_document_says_the_opposite(self) -> None:
        assert weigh("The lower deck opens at noon.").opposite_word > 0.3
        assert "lower" in suspected("The lower deck opens at noon.")
        assert weigh("The upper deck closes at noon.").opposite_word > 0.3

    def test_is_not_where_the_document_uses_the_word(self) -> None:
        assert weigh("The upper deck opens at noon.").opposite_word == 0.0


class TestMisplacedAnchor:
    @pytest.mark.parametrize(
        ("response", "shown"),
        [
            ("The blue bus costs 7 euros.", "7"),
            ("Dr Amir Sahin examines children.", "Sahin"),
        ],
    )
    def test_is_suspected_where_another_fits_better(self, response: str, shown: str) -> None:
        assert weigh(response).misplaced_anchor > 0.0
        assert shown in suspected(response)

    @pytest.mark.parametrize("response", ["The red bus costs 7 euros.", "Dr Nora Feld examines children."])
    def test_is_not_where_it_stands(self, response: str) -> None:
        assert weigh(response).misplaced_anchor == 0.0


class TestClauses:
    def split(self, text: str) -> list[str]:
        return [text[one.start : one.end] for one in split_clauses(text, 0, len(text), content_words(text))]

    def test_end_at_conjunctions_and_marks(self) -> None:
        assert self.split("Trams stop here; buses turn left but lorries go straight.") == [
            "Trams stop here",
            "; buses turn left ",
            "but lorries go straight.",
        ]

    def test_with_too_few_words_join_a_neighbour(self) -> None:
        assert self.split("Red, green and blue paint dries slowly.") == ["Red, green ", "and blue paint dries slowly."]
        assert self.split("The new paint dries, slowly.") == ["The new paint dries, slowly."]

    @given(st.text(max_size=120))
    def test_cover_the_text_in_order(self, text: str) -> None:
        assert "".join(self.split(text)) == text


class TestRobustness:
    @given(st.text(max_size=80), st.text(max_size=120))
    def test_any_text_gives_shares_and_ranges_within_it(self, response: str, document: str) -> None:
        support = build_support([document], None)
        for sentence in split_sentences(response):
            evidence = weigh_sentence(response, sentence, support)
            for value in (evidence.turned_negation, evidence.opposite_word, evidence.misplaced_anchor):
                assert 0.0 <= value <= 1.0
            assert all(sentence.start <= start < end <= sentence.end for start, end in evidence.suspects)

    @given(st.text(st.characters(categories=("L", "N", "Z", "P")), max_size=100))
    def test_no_text_contradicts_itself(self, text: str) -> None:
        support = build_support([text], None)
        for sentence in split_sentences(text):
            assert weigh_sentence(text, sentence, support).turned_negation == 0.0

    def test_long_sentences_take_bounded_time(self) -> None:
        started = time.process_time()
        weigh("red bus 7 euros not " * 5_000, DOCUMENT * 200)
        assert time.process_time() - started < 10.0


class TestOpposites:
    @pytest.mark.parametrize(
        ("verb", "forms"),
        [
            ("accept", ("accept", "accepts", "accepted", "accepting")),
            ("deny", ("deny", "denies", "denied", "denying")),
            ("approve", ("approve", "approves", "approved", "approving")),
            ("permit", ("permit", "permits", "permitted", "permitting")),
            ("push", ("push", "pushes", "pushed", "pushing")),
        ],
    )
    def test_inflect_regular_verbs(self, verb: str, forms: tuple[str, ...]) -> None:
        assert inflect(verb) == forms

    def test_work_in_both_directions(self) -> None:
        assert all(word in OPPOSITES[other] for word, others in OPPOSITES.items() for other in others)
