from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detectors.batching.cache import text_key
from detectors.batching.limits import ReaderLimits
from detectors.batching.plan import WindowSize
from detectors.batching.reader import TextReader
from detectors.contract import TextFailure

POISON = "poison"


@dataclass
class LetterModel:
    """Reads a text as its upper case, letter by letter; chokes where it is told to, and counts its work."""

    choke_at: str = ""
    window: WindowSize = field(default_factory=lambda: WindowSize(tokens=8, overlap=2))
    length_step: int = 1
    tokenised: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    room: int | None = None
    full: Callable[[], Exception] = MemoryError

    def key(self, wanted: str) -> bytes:
        return text_key(wanted)

    def size(self, wanted: str) -> int:
        return len(wanted)

    def weigh(self, reading: str) -> int:
        return 1

    def tokenise(self, texts: Sequence[str]) -> list[str]:
        if self.choke_at == "tokenise" and POISON in texts:
            raise MemoryError
        self.tokenised.extend(texts)
        return list(texts)

    def refuse(self, tokens: str) -> str | None:
        if self.choke_at == "plan" and tokens == POISON:
            raise KeyError(tokens)
        return "unsupported_text" if tokens.isdigit() else None

    def length(self, tokens: str) -> int:
        return len(tokens)

    def read_windows(self, windows: Sequence[tuple[str, int, int]]) -> list[tuple[int, str]]:
        self.batches.append(len(windows))
        if self.room is not None and sum(end - start for _, start, end in windows) > self.room:
            raise self.full()
        if self.choke_at == "read too few" and any(tokens == POISON for tokens, _, _ in windows):
            return []
        if self.choke_at == "memory" and any(tokens == POISON for tokens, _, _ in windows):
            raise MemoryError
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
    model: LetterModel, *, max_windows: int = 50, cache_capacity: int = 100, lanes: int = 2, batch_tokens: int = 64
) -> TextReader[str, str, tuple[int, str], str]:
    return TextReader(model, ReaderLimits(batch_tokens, max_windows, cache_capacity, lanes))


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

    def test_forgets_earlier_calls_when_told_to(self) -> None:
        model = LetterModel()
        reader = make_reader(model)
        reader.read(["aa"])
        reader.forget()
        assert reader.read(["aa"]) == ["AA"]
        assert model.tokenised == ["aa", "aa"]

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
    @pytest.mark.parametrize("stage", ["tokenise", "plan", "read", "read too few", "memory", "combine"])
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


class TestMemory:
    @pytest.mark.parametrize("full", [MemoryError, lambda: torch.OutOfMemoryError("CUDA out of memory")])
    def test_halves_the_budget_until_batches_fit(self, full: Callable[[], Exception]) -> None:
        model = LetterModel(room=20, full=full)
        reader = make_reader(model, lanes=1)
        texts = [letter * 4 for letter in "abcdefghijklmnop"]
        assert reader.read(texts) == [text.upper() for text in texts]
        assert reader.batch_tokens == 16
        assert model.batches == [16, 8, 4, 4, 4, 4]

    def test_keeps_to_the_smaller_budget_afterwards(self) -> None:
        model = LetterModel(room=20)
        reader = make_reader(model, lanes=1, cache_capacity=0)
        texts = [letter * 4 for letter in "abcdefghijklmnop"]
        reader.read(texts)
        model.batches.clear()
        reader.read(texts)
        assert model.batches == [4, 4, 4, 4]

    def test_fails_only_what_does_not_fit_alone_and_keeps_the_budget(self) -> None:
        reader = make_reader(LetterModel(room=6), lanes=1, batch_tokens=6)
        assert reader.read(["a" * 7, "bb", "cc"]) == [TextFailure("detector_error"), "BB", "CC"]
        assert reader.batch_tokens == 6

    def test_gets_the_budget_back_when_one_text_was_to_blame(self) -> None:
        reader = make_reader(LetterModel(choke_at="memory"), lanes=1)
        texts = [POISON, *("abcdef" for _ in range(1)), "ghijkl", "mnopqr"]
        assert reader.read(texts)[0] == TextFailure("detector_error")
        assert reader.batch_tokens == 64


class TestThreads:
    def test_tokenises_a_wave_ahead_of_the_model(self) -> None:
        ahead = threading.Event()

        class Waiting(LetterModel):
            def tokenise(self, texts: Sequence[str]) -> list[str]:
                if "last" in texts:
                    ahead.set()
                return super().tokenise(texts)

            def read_windows(self, windows: Sequence[tuple[str, int, int]]) -> list[tuple[int, str]]:
                assert ahead.wait(30), "the model ran before the next wave was tokenised"
                return super().read_windows(windows)

        texts = [f"{number:04d}x" for number in range(60)] + ["last"]
        assert make_reader(Waiting()).read(texts) == [text.upper() for text in texts]

    def test_runs_batches_side_by_side(self) -> None:
        together = threading.Barrier(2, timeout=30)

        class Meeting(LetterModel):
            def read_windows(self, windows: Sequence[tuple[str, int, int]]) -> list[tuple[int, str]]:
                together.wait()
                return super().read_windows(windows)

        texts = ["a" * 8, "b" * 8]
        assert make_reader(Meeting(), batch_tokens=8).read(texts) == ["A" * 8, "B" * 8]

    def test_prepares_each_lane_in_its_own_thread(self) -> None:
        prepared: list[str] = []
        limits = ReaderLimits(8, 50, 0, 1, lambda: prepared.append(threading.current_thread().name))
        TextReader(LetterModel(), limits).read(["ab"])
        assert len(prepared) == 1
        assert prepared[0].startswith("lane")

    def test_gives_a_sign_of_life_after_each_batch_even_a_failed_one(self) -> None:
        signs: list[int] = []
        model = LetterModel(choke_at="read")
        reader = TextReader(model, ReaderLimits(8, 50, 0), alive=lambda: signs.append(1))
        reader.read(["a" * 8, "b" * 8, POISON])
        assert len(signs) == len(model.batches) == 3

    @given(st.lists(st.text("abcdefg", min_size=1, max_size=40), max_size=60), st.integers(1, 4))
    def test_answers_alike_however_many_lanes(self, texts: list[str], lanes: int) -> None:
        assert make_reader(LetterModel(), lanes=lanes, batch_tokens=16).read(texts) == [text.upper() for text in texts]
