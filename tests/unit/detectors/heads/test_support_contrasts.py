"""What training claims are made of: each change is where it is said to be, and evaluation shares no text with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detectors.text.opposites import OPPOSITES, inflect
from detectors.text.sentences import split_sentences
from training.grounding_corpus import from_document, split_by_group, without_unsupported
from training.support_cases import load_cases
from training.support_contrasts import CONTRADICTIONS, names_in, turn_equal
from training.support_examples import Example, merge_ranges
from training.support_frames import load_domains, make_frames, strip_brackets
from training.word_pairs import EQUALS

CONTEXT = (
    "Ada Lovelace wrote to Charles Babbage in June 1843. The letter was sold for 14000 pounds in 2018 on a Tuesday. "
    "The auction house in London accepted only cash. It does not open in August."
)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


class TestContradictions:
    @pytest.mark.parametrize(
        ("kind", "text", "changed"),
        [
            ("number", "It was sold for 14000 pounds.", "14000"),
            ("misplaced_number", "It was sold in 2018.", "2018"),
            ("name", "The auction house is in London.", "London"),
            ("roles", "In a letter Ada Lovelace wrote to Charles Babbage.", ""),
            ("negation", "The house does not open in August.", "does not"),
            ("negation", "The letter was sold.", "was"),
            ("opposite", "The house accepted only cash.", "accepted"),
            ("date", "It was sold on a Tuesday.", "Tuesday"),
        ],
    )
    def test_change_the_text_and_say_where(self, kind: str, text: str, changed: str) -> None:
        made = CONTRADICTIONS[kind](text, CONTEXT, rng())
        assert made is not None
        new, ranges = made
        assert new != text
        told = "".join(new[start:end] for start, end in ranges)
        kept = new
        for start, end in reversed(ranges):
            kept = kept[:start] + kept[end:]
        assert told
        assert changed == "" or kept == text.replace(changed, "", 1)

    @pytest.mark.parametrize("kind", list(CONTRADICTIONS))
    def test_find_nothing_in_nothing(self, kind: str) -> None:
        assert CONTRADICTIONS[kind]("", "", rng()) is None

    def test_exchange_numbers_for_ones_the_context_lacks_or_gives_for_something_else(self) -> None:
        fresh = CONTRADICTIONS["number"]("It was sold in 2018.", CONTEXT, rng())
        moved = CONTRADICTIONS["misplaced_number"]("It was sold in 2018.", CONTEXT, rng())
        assert fresh is not None
        assert moved is not None
        assert fresh[0][15:19] not in CONTEXT
        assert moved[0] == "It was sold in 1843."

    def test_swap_no_names_that_only_stand_beside_each_other(self) -> None:
        assert CONTRADICTIONS["roles"]("Then Ada Lovelace and Charles Babbage met.", CONTEXT, rng()) is None

    def test_equal_words_leave_everything_supported(self) -> None:
        made = turn_equal("They started at once.", CONTEXT, rng())
        assert made is not None
        assert made[1] == ()
        assert made[0] != "They started at once."

    def test_names_are_capitalised_runs_but_not_what_opens_a_sentence(self) -> None:
        text = "The New York Times praised Ada. However, Rome fell."
        assert [text[start:end] for start, end in names_in(text)] == ["New York Times", "Ada", "Rome"]


class TestWordPairs:
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

    def test_work_in_both_directions_and_never_contradict_each_other(self) -> None:
        for table in (OPPOSITES, EQUALS):
            assert all(word in table[other] for word, others in table.items() for other in others)
        clashes = {word for word in OPPOSITES if set(OPPOSITES[word]) & set(EQUALS.get(word, ()))}
        assert clashes == set()


class TestCorpus:
    def test_sentences_of_the_document_are_supported_by_it_and_their_twins_are_not(self) -> None:
        example = Example("Ada wrote.", (CONTEXT,), False, (), "g-1", "cg2c")
        made = from_document(example, 4, rng())
        plain = [one for one in made if one.origin.endswith("_sentence")]
        assert plain
        assert all(not one.is_unsupported for one in plain)
        for one in made:
            assert one.group == "g-1"
            if one.origin.endswith("contrast"):
                assert one.unsupported
                assert all(0 <= start < end <= len(one.text) for start, end in one.unsupported)
            if one.origin.endswith("context_contrast"):
                assert one.text not in one.contexts[0]

    def test_what_is_left_of_a_partly_supported_claim_is_supported(self) -> None:
        text = "He has three older brothers."
        partly = Example(text, ("He has brothers.",), True, ((7, 18),), "g", "wice_tokens")
        assert [one.text for one in without_unsupported(partly)] == ["He has brothers."]

    def test_no_document_is_on_both_sides_and_each_kind_is_on_either(self) -> None:
        examples = [
            Example(f"{kind} {number}", ("x",), False, None, f"{kind}-{number // 2}", kind)
            for kind in ("a", "b")
            for number in range(20)
        ]
        fitted, held = split_by_group(examples, 0.2, rng())
        assert sorted(fitted + held) == list(range(40))
        assert not {examples[i].group for i in fitted} & {examples[i].group for i in held}
        assert {examples[i].origin for i in held} == {"a", "b"}

    def test_ranges_that_only_space_parts_are_one(self) -> None:
        assert merge_ranges([(3, 6), (0, 2)], "ab cde") == ((0, 6),)


class TestFrames:
    def test_mark_what_is_wrong_and_nothing_else(self) -> None:
        assert strip_brackets("It is [not] so [big].") == ("It is not so big.", ((6, 9), (13, 16)))

    def test_are_different_repeatable_and_balanced(self) -> None:
        made = make_frames(400, rng())
        assert made == make_frames(400, rng())
        assert len({(one.text, one.contexts) for one in made}) == 400
        assert 0.4 < np.mean([one.is_unsupported for one in made]) < 0.7
        assert all("[" not in one.text and "{" not in one.text for one in made)

    def test_every_fact_has_documents_answers_a_contradiction_and_a_question(self) -> None:
        for domain in load_domains():
            assert domain.extras
            for fact in domain.facts:
                assert all((fact.documents, fact.answers, fact.contradictions, fact.question)), fact


class TestCases:
    def test_share_no_sentence_with_the_frames(self) -> None:
        frames = {
            sentence.text.lower()
            for one in make_frames(3000, rng())
            for text in (one.text, *one.contexts)
            for sentence in split_sentences(text)
        }
        for case in load_cases():
            for text in (case.example.text, *case.example.contexts):
                for sentence in split_sentences(text):
                    assert sentence.text.lower() not in frames, sentence.text

    def test_hold_many_of_both_verdicts_in_many_categories(self) -> None:
        cases = load_cases()
        wrong = sum(case.example.is_unsupported for case in cases)
        assert min(wrong, len(cases) - wrong) >= 80
        assert len({case.category for case in cases}) >= 14

    def test_mark_wrong_words_where_they_stand(self) -> None:
        for case in load_cases():
            ranges = case.example.unsupported or ()
            assert all(case.example.text[start:end].strip() for start, end in ranges)
            assert "[[" not in case.example.text


@pytest.mark.parametrize("make", [lambda: make_frames(50, rng()), load_cases])
def test_own_texts_need_no_data_folder(make: Callable[[], list[object]]) -> None:
    assert make()
