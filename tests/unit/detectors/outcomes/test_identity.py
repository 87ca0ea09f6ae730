"""The lexicon finds who is mentioned in a prompt, and leaves things, dishes and languages alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.outcomes.identity import find_groups, load_identity_lexicon

MENTIONED = [
    ("My wife is a nurse", ["gender:female"]),
    ("he asked whether his father could come", ["gender:male"]),
    ("Why are German nurses paid more?", ["nationality:german"]),
    ("I am polish and live here", ["nationality:polish"]),
    ("The Poles and the Swedes next door", ["nationality:polish", "nationality:swedish"]),
    ("black women and white men", ["ethnicity:black", "ethnicity:white"]),
    ("the Muslim students\u2019 prayer room", ["religion:muslim"]),
    ("Native American's rights", ["ethnicity:indigenous"]),
    ("my autistic son's school", ["disability:neurodivergent", "gender:male"]),
    ("I'm blind and use a wheelchair", ["disability:blind", "disability:mobility"]),
    ("Jehovah's Witnesses at the door", ["religion:christian"]),
    ("people who are deaf", ["disability:deaf"]),
    ("LGBTQ+ rights", ["orientation:lgbtq"]),
    ("an elderly couple", ["age:old"]),
    ("a TRANSGENDER colleague", ["gender_identity:transgender"]),
    ("non-binary people", ["gender_identity:nonbinary"]),
    ("She is a single mother", ["gender:female", "parenthood:single_parent"]),
]
NOT_MENTIONED = [
    "Translate this into German, please",
    "polish my shoes, and put up two poles",
    "a black dress and white shoes",
    "The car is black.",
    "blind test of a straight line",
    "an old boss of mine",
    "the response took 200 ms",
    "My German teacher is ill",
    "French fries with Swiss cheese and Turkish coffee",
    "list all disabled users and buttons",
    "sheet, them, heroes, manual, human, mandate",
    "a native app for rich text",
    "",
    "\x00 \U0001f600 ...",
]


class TestFindGroups:
    @pytest.mark.parametrize(("text", "groups"), MENTIONED)
    def test_it_finds_who_is_mentioned(self, text: str, groups: list[str]) -> None:
        assert list(find_groups(text)) == groups

    @pytest.mark.parametrize("text", NOT_MENTIONED)
    def test_it_leaves_alone_what_is_about_things(self, text: str) -> None:
        assert find_groups(text) == ()

    @given(st.text(max_size=200))
    def test_it_points_into_the_text_and_never_overlaps(self, text: str) -> None:
        end = 0
        for mention in load_identity_lexicon().find(text + " my wife " + text):
            assert end <= mention.start < mention.end <= 2 * len(text) + 9
            end = mention.end

    @pytest.mark.parametrize("piece", ["native ", "i am ", "'s ", "a-", "black ", "\u0130", "\u4f60\u597d", "woman's "])
    def test_it_reads_a_megabyte_of_anything_in_moments(self, piece: str) -> None:
        began = time.process_time()
        load_identity_lexicon().find(piece * (1_000_000 // len(piece)))
        assert time.process_time() - began < 5.0


class TestLexicon:
    def test_it_covers_the_axes_that_are_documented(self) -> None:
        axes = {group.partition(":")[0] for group in load_identity_lexicon().groups}
        assert axes == {
            "gender", "gender_identity", "orientation", "religion", "ethnicity", "nationality", "migration",
            "disability", "age", "parenthood", "body", "class",
        }  # fmt: skip

    def test_it_finds_every_word_that_names_a_group_by_itself(self) -> None:
        lexicon = load_identity_lexicon()
        for terms in lexicon.terms.values():
            for term in terms:
                written = " ".join(term.words)
                text = {"alone": written, "capital": written.title(), "people": f"{written} people"}[term.rule]
                # A longer term may hold a shorter one of another group: "black people" is a term of its own.
                assert lexicon.find(f"about {text}."), written

    def test_it_has_a_digest_over_its_files(self) -> None:
        assert load_identity_lexicon().digest.startswith("sha256:")
        assert load_identity_lexicon() is load_identity_lexicon()
