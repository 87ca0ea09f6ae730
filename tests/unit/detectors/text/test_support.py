from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.text.numbers import normal_number
from detectors.text.sentences import split_sentences
from detectors.text.support import (
    FEATURES,
    Evidence,
    build_support,
    weigh_sentence,
)
from detectors.text.words import content_words, stem

POLICY = (
    "Customers may return items within 14 days of delivery. Opened software cannot be returned. Fees are 1,000 euros."
)


def weigh(response: str, *contexts: str, prompt: str | None = None) -> Evidence:
    sentence = split_sentences(response)[0]
    return weigh_sentence(response, sentence, build_support(contexts, prompt))


class TestStem:
    @pytest.mark.parametrize(
        "words",
        [
            ("return", "returns", "returned", "returning"),
            ("deliver", "delivered"),
            ("city", "cities"),
            ("stop", "stopped", "stopping"),
            ("Caf\u00e9", "cafe"),
            ("company's", "company"),
            ("organise", "organize", "organised"),
            ("day", "days"),
        ],
    )
    def test_joins_forms_of_a_word(self, words: tuple[str, ...]) -> None:
        assert len({stem(word) for word in words}) == 1

    @pytest.mark.parametrize(("left", "right"), [("class", "clas"), ("nation", "nature"), ("bus", "but")])
    def test_keeps_other_words_apart(self, left: str, right: str) -> None:
        assert stem(left) != stem(right)


class TestNormalNumber:
    @pytest.mark.parametrize(
        ("number", "expected"),
        [
            ("1,000", "1000"),
            ("1,000.50", "1000.5"),
            ("007", "7"),
            ("0", "0"),
            ("3.0", "3"),
            ("2,5", "2.5"),
            ("100", "100"),
        ],
    )
    def test_gives_one_spelling(self, number: str, expected: str) -> None:
        assert normal_number(number) == expected


class TestContentWords:
    def test_leaves_out_grammar_and_keeps_places(self) -> None:
        text = "The parcel arrives on 3 September."
        words = content_words(text)
        assert [text[word.start : word.end] for word in words] == ["parcel", "arrives", "3", "September"]

    def test_reads_number_words_as_numbers(self) -> None:
        assert [word.stem for word in content_words("twelve eggs")] == ["12", "egg"]

    def test_knows_names_but_not_sentence_starts(self) -> None:
        assert [word.is_name for word in content_words("Parcels reach Berlin")] == [False, False, True]

    @given(st.text(max_size=100))
    def test_takes_any_text(self, text: str) -> None:
        for word in content_words(text):
            assert 0 <= word.start < word.end <= len(text)


class TestWeighSentence:
    def test_finds_everything_supported(self) -> None:
        evidence = weigh("You can return items within 14 days.", POLICY)
        assert evidence.unsupported == ()
        assert (evidence.missing_share, evidence.missing_numbers, evidence.best_sentence_missing) == (0.0, 0.0, 0.0)

    def test_finds_the_wrong_number(self) -> None:
        evidence = weigh("You can return items within 60 days.", POLICY)
        assert [word.stem for word in evidence.unsupported] == ["60"]
        assert evidence.missing_numbers == 0.5

    def test_finds_the_invented_name(self) -> None:
        evidence = weigh("You can return items to Leonardo Brandeis.", POLICY)
        assert evidence.missing_names == 0.75

    @pytest.mark.parametrize("written", ["1000", "1,000", "1000.00"])
    def test_meets_numbers_in_other_spellings(self, written: str) -> None:
        assert weigh(f"The fees are {written} euros.", POLICY).missing_numbers == 0.0

    @pytest.mark.parametrize("month", ["Sep", "September", "sept"])
    def test_meets_months_in_other_spellings(self, month: str) -> None:
        assert weigh(f"It starts in {month}.", "The start is in September.").missing_share == 0.0

    def test_lets_words_and_numbers_rest_on_the_prompt(self) -> None:
        evidence = weigh("The bicycle costs 78.", "It costs something.", prompt="What does bicycle 77 cost?")
        assert [word.stem for word in evidence.unsupported] == ["78"]
        assert weigh("Bicycle 77 costs something.", "It costs something.", prompt="And bicycle 77?").unsupported == ()

    def test_does_not_let_names_rest_on_the_prompt(self) -> None:
        evidence = weigh("It was sold to Brandeis.", "It was sold.", prompt="Was it sold to Brandeis?")
        assert evidence.missing_names == 0.5

    @pytest.mark.parametrize(
        ("answer", "missing"),
        [
            ("There are two options: delivery and return.", False),
            ("You have two weeks for it.", False),
            ("You have three weeks for it.", True),
            ("There are seven employees.", True),
        ],
    )
    def test_leaves_out_counts_in_words_unless_a_unit_or_the_context_says_more(
        self, answer: str, missing: bool
    ) -> None:
        context = "Delivery or return within 14 days. There are 5 employees."
        assert bool(weigh(answer, context).missing_numbers) is missing

    def test_counts_small_talk_as_no_claim(self) -> None:
        assert weigh("I hope this helps, feel free to contact me!", POLICY).claims == 0

    def test_sees_words_scattered_over_sentences(self) -> None:
        scattered = weigh("Opened items cost 14 euros.", POLICY)
        assert scattered.missing_share < scattered.best_sentence_missing

    @given(st.text(min_size=1, max_size=60), st.lists(st.text(max_size=60), max_size=3))
    def test_keeps_every_feature_in_the_unit_interval(self, response: str, contexts: list[str]) -> None:
        support = build_support(contexts, None)
        for sentence in split_sentences(response):
            evidence = weigh_sentence(response, sentence, support)
            assert all(0.0 <= getattr(evidence, feature) <= 1.0 for feature in FEATURES)

    @given(st.text(st.characters(categories=("L", "N", "Z", "P")), max_size=80))
    def test_finds_every_text_supported_by_itself(self, text: str) -> None:
        support = build_support([text], None)
        for sentence in split_sentences(text):
            assert weigh_sentence(text, sentence, support).unsupported == ()
