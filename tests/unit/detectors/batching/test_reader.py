from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.batching.plan import WindowSize
from detectors.batching.reader import TextFailure, TextReader

POISON = "poison"


@dataclass
class LetterModel:
    """Reads a text as its upper case, letter by letter; chokes where it is told to, and counts its work."""

    choke_at: str = ""
    window: WindowSize = field(default_factory=lambda: WindowSize(tokens=8, overlap=2))
    tokenised: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def tokenise(self, texts: Sequence[str]) -> list[str]:
        if self.choke_at == "tokenise" and POISON in texts:
            raise MemoryError
        self.tokenised.extend(texts)
        return list(texts)

    def refuse(self, tokens: str) -> str | None:
        return "unsupported_text" if tokens.isdigit() else None

    def length(self, tokens: str) -> int:
        return len(tokens)

    def read_windows(self, windows: Sequence[tuple[str, int, int]]) -> list[tuple[int, str]]:
        self.batches.append(len(windows))
        if self.choke_at == "read" and any(tokens == POISON for tokens, _, _ in windows):
            raise RuntimeError("no memory left")
        return [(start, tokens[start:end].upper()) for tokens, start, end in windows]

    def combine(self, tokens: str, parts: Sequence[tuple[int, str]]) -> str:
        if self.choke_at == "combine" and tokens == POISON:
            raise ArithmeticError
        letters = [" "] * len(tokens)
        for start, text in parts:
            letters[start : start + len(text)] = text
        return "".join(letters)


def make_reader(
    model: LetterModel, *, max_windows: int = 50, cache_capacity: int = 100
) -> TextReader[str, tuple[int, str], str]:
    return TextReader(model, max_batch_tokens=64, max_windows=max_windows, cache_capacity=cache_capacity)


class TestReading:
    @given(st.lists(st.text("abcdefg", min_size=1, max_size=60), max_size=30))
    def test_answers_every_text_in_order_and_in_full(self, texts: list[str]) -> None:
        assert make_reader(LetterModel()).read(texts) == [text.upper() for text in texts]

    def test_reads_repeated_texts_once(self) -> None:
        model = LetterModel()
        assert make_reader(model).read(["aa", "bb", "aa", "aa"]) == ["AA", "BB", "AA", "AA"]
        assert model.tokenised == ["aa", "bb"]

    def test_remembers_texts_of_earlier_calls(self) -> None:
        model = LetterModel()
        reader = make_reader(model)
        reader.read(["aa"])
        assert reader.read(["aa", "bb"]) == ["AA", "BB"]
        assert model.tokenised == ["aa", "bb"]

    def test_works_without_a_memory(self) -> None:
        model = LetterModel()
        reader = make_reader(model, cache_capacity=0)
        assert reader.read(["aa"]) == reader.read(["aa"]) == ["AA"]
        assert model.tokenised == ["aa", "aa"]

    def test_batches_windows_of_different_texts(self) -> None:
        model = LetterModel()
        make_reader(model).read(["aaaa", "bbbb", "cccc"])
        assert model.batches == [3]


class TestRefusal:
    def test_refuses_what_the_model_refuses(self) -> None:
        assert make_reader(LetterModel()).read(["12", "ab"]) == [TextFailure("unsupported_text"), "AB"]

    def test_refuses_a_text_of_too_many_windows_instead_of_cutting_it(self) -> None:
        reader = make_reader(LetterModel(), max_windows=3)
        assert reader.read(["a" * 20, "a" * 21]) == ["A" * 20, TextFailure("text_too_long")]


class TestFailure:
    @pytest.mark.parametrize("stage", ["tokenise", "read", "combine"])
    def test_fails_one_text_and_answers_its_neighbours(self, stage: str) -> None:
        texts = ["before", POISON, "after"]
        assert make_reader(LetterModel(choke_at=stage)).read(texts) == [
            "BEFORE",
            TextFailure("detector_error"),
            "AFTER",
        ]

    def test_tries_a_failed_text_again_next_time(self) -> None:
        model = LetterModel(choke_at="read")
        reader = make_reader(model)
        assert reader.read([POISON]) == [TextFailure("detector_error")]
        model.choke_at = ""
        assert reader.read([POISON]) == [POISON.upper()]

    def test_logs_the_kind_of_error_and_never_the_text(self, caplog: pytest.LogCaptureFixture) -> None:
        make_reader(LetterModel(choke_at="read")).read([POISON])
        assert [record.getMessage() for record in caplog.records] == ["a text could not be read"]
        assert POISON not in caplog.text
