from __future__ import annotations

import time

import pytest

from detectors.text.disguise import PlainSpelling, load_plain_spelling
from detectors.text.encoder import Encoder


@pytest.fixture(scope="module")
def plain(encoder: Encoder) -> PlainSpelling:
    return load_plain_spelling(encoder.tokenizer.get_vocab())


class TestDisguised:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("st*pid", "stupid"),
            ("f**k", "fuck"),
            ("f***ing", "fucking"),
            ("a$$hole", "asshole"),
            ("sh!t", "shit"),
            ("1di0t", "idiot"),
            ("ki11", "kill"),
            ("loooooser", "loser"),
            ("killlll", "kill"),
            ("i d i o t", "idiot"),
            ("m.o.r.o.n", "moron"),
            ("killallmuslims", "kill all muslims"),
            ("#BanAllWomen", "ban all women"),
            ("i h a t e gay people", "i hate gay people"),
        ],
    )
    def test_it_reads_what_was_meant(self, plain: PlainSpelling, written: str, meant: str) -> None:
        assert plain.spellings(written) == (written, meant)

    def test_it_reads_several_ways_in_one_text(self, plain: PlainSpelling) -> None:
        assert plain.spellings("f*ck you, stuuupid m o r o n!")[1] == "fuck you, stupid moron!"

    def test_of_a_long_text_it_reads_the_passages_around(self, plain: PlainSpelling) -> None:
        text = f"{'first words ' * 60}you 1diot {'middle words ' * 60}b1tch {'last words ' * 60}"
        reading = plain.spellings(text)[1]
        assert "words you idiot middle" in reading
        assert "words bitch last" in reading
        assert len(reading) < 600


class TestPlain:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "Why?",
            "mp3 log4j k8s h264 utf-8 x86 i18n 2nd 3D covid19",
            "The U.S.A. and e.g. i.e. A B C D",
            "I refactored the backend workflow, deadlines included.",
            "sooo goood, coool!!!",
            "5 * 3 * 2 = 30, a+b, price: $100!",
            "x = a_b_c_d; - a - b - c; 1 2 3 4 5",
            "***** | --- | ##### five stars",
            "classics, cockpits, Scunthorpe, assassination, Essex, blackboards",
            "user@kill.example https://example.org/hate-speech/women",
        ],
    )
    def test_it_leaves_it_alone(self, plain: PlainSpelling, text: str) -> None:
        assert plain.spellings(text) == (text,)


class TestCost:
    @pytest.mark.parametrize(
        "text",
        [
            "a" * 50_000 + "_",
            "a " * 25_000 + "aa",
            "*" * 50_000 + "-",
            "f**k " * 10_000,
            "q*x " * 12_000,
            "hate" * 12_000,
        ],
        ids=["row", "apart", "stars", "masked", "unknown", "joined"],
    )
    def test_no_text_makes_it_slow(self, plain: PlainSpelling, text: str) -> None:
        started = time.process_time()
        plain.spellings(text)
        assert time.process_time() - started < 0.5
