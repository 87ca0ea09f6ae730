from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from detectors.batching.plan import split_windows
from detectors.contract import Head, TextFailure, TextReading, TextRequest, WindowPart
from detectors.text.encoder import Encoder, TokenisedText
from detectors.text.reading import WINDOW, MiniLmModel, WindowReading, pad_windows


@pytest.fixture(scope="module")
def model(encoder: Encoder) -> MiniLmModel:
    return MiniLmModel(encoder, [FirstNumbers(), TokenNumbers()])


@dataclass(frozen=True)
class FirstNumbers:
    """Returns each window's first state's first two numbers; raises on the word at index 7592, "hello"."""

    name: str = "first"
    reads_tokens: bool = False

    def read(self, states: tuple[torch.Tensor, ...], mask: torch.Tensor) -> torch.Tensor:
        return states[-1][:, 0, :2]

    def combine(self, tokens: TokenisedText, parts: Sequence[WindowPart]) -> list[tuple[int, int]]:
        if 7592 in tokens.ids:
            raise ValueError("I do not greet")
        return [(part.start, part.end) for part in parts]


@dataclass(frozen=True)
class TokenNumbers:
    """Returns a row per token, so that what belongs to the window can be told from the rest."""

    name: str = "tokens"
    reads_tokens: bool = True

    def read(self, states: tuple[torch.Tensor, ...], mask: torch.Tensor) -> torch.Tensor:
        return torch.arange(mask.shape[1]).float()[None, :, None].expand(mask.shape[0], -1, 1)

    def combine(self, tokens: TokenisedText, parts: Sequence[WindowPart]) -> list[list[float]]:
        return [part.values[:, 0].tolist() for part in parts]


def read(model: MiniLmModel, text: str, *heads: str) -> TextReading:
    tokens = model.tokenise([TextRequest(text, frozenset(heads))])[0]
    windows = [(tokens, start, end) for start, end in split_windows(model.length(tokens), WINDOW)]
    return model.combine(tokens, model.read_windows(windows))


def vector(reading: TextReading) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.frombuffer(reading.vector, dtype="<f2").astype(np.float64)


class TestPadWindows:
    def test_adds_special_tokens_and_padding(self) -> None:
        ids, mask = pad_windows([(7, 8), (9,)], step=8)
        assert ids.tolist() == [[101, 7, 8, 102, 0, 0, 0, 0], [101, 9, 102, 0, 0, 0, 0, 0]]
        assert mask.sum(dim=1).tolist() == [4, 3]
        assert mask.tolist()[1][:4] == [True, True, True, False]


class TestVectors:
    def test_have_unit_length(self, model: MiniLmModel) -> None:
        assert np.linalg.norm(vector(read(model, "Where is my order?"))) == pytest.approx(1.0, abs=1e-3)

    def test_are_closer_for_closer_meanings(self, model: MiniLmModel) -> None:
        order, parcel, bread = (
            vector(read(model, text)) for text in ("Where is my order?", "My parcel is late.", "How do I bake bread?")
        )
        assert order @ parcel > order @ bread + 0.1

    def test_of_a_long_text_average_its_windows(self, model: MiniLmModel) -> None:
        window = "The parcel arrives on Tuesday at noon, and the bread is baked in the morning. " * 15
        assert vector(read(model, window * 5)) @ vector(read(model, window)) > 0.95


class TestHeads:
    def test_run_only_for_the_texts_that_want_them(self, model: MiniLmModel) -> None:
        assert read(model, "Where is it?").heads == {}
        assert set(read(model, "Where is it?", "first").heads) == {"first"}

    def test_get_every_window_of_a_long_text(self, model: MiniLmModel) -> None:
        found = read(model, "parcel " * 400, "first", "tokens").heads
        assert found["first"] == [(0, 254), (146, 400)]
        assert [len(window) for window in found["tokens"]] == [254, 254]

    def test_that_read_tokens_get_neither_special_tokens_nor_padding(self, model: MiniLmModel) -> None:
        assert read(model, "Where is it", "tokens").heads["tokens"] == [[1.0, 2.0, 3.0]]

    def test_fail_alone(self, model: MiniLmModel) -> None:
        reading = read(model, "Hello there", "first", "tokens")
        assert reading.heads == {"first": TextFailure("detector_error"), "tokens": [[1.0, 2.0]]}

    def test_fail_alone_when_a_number_is_not_finite(self, encoder: Encoder) -> None:
        class Broken(FirstNumbers):
            def read(self, states: tuple[torch.Tensor, ...], mask: torch.Tensor) -> torch.Tensor:
                return states[-1][:, 0, :2] * float("nan")

        reading = read(MiniLmModel(encoder, [Broken(), TokenNumbers()]), "Where", "first", "tokens")
        assert reading.heads == {"first": TextFailure("detector_error"), "tokens": [[1.0]]}

    def test_have_names_of_their_own(self, encoder: Encoder) -> None:
        heads: list[Head] = [FirstNumbers(), FirstNumbers()]
        with pytest.raises(ValueError, match="same name"):
            MiniLmModel(encoder, heads)

    def test_and_text_are_told_apart_by_key(self, model: MiniLmModel) -> None:
        requests = [
            TextRequest("a"),
            TextRequest("a", frozenset({"first"})),
            TextRequest("a\0first"),
            TextRequest("a", frozenset({"first", "tokens"})),
        ]
        assert len({model.key(request) for request in requests}) == 4


class TestRefusal:
    @pytest.mark.parametrize(
        "text",
        [
            "\u6211\u4eec\u5c06\u5728\u661f\u671f\u4e8c\u9001\u8d27",
            "\u0412\u0430\u0448 \u0437\u0430\u043a\u0430\u0437 \u043f\u0440\u0438\u0431\u0443\u0434\u0435\u0442",
            "\U0001f600\U0001f601 \U0001f602",
        ],
    )
    def test_marks_what_the_head_cannot_read_and_embeds_it_all_the_same(self, model: MiniLmModel, text: str) -> None:
        reading = read(model, text)
        assert reading.refusal == "unsupported_text"
        assert len(reading.vector) == 768

    @pytest.mark.parametrize("text", ["Caf\u00e9 cr\u00e8me, s'il vous pla\u00eet", "42", "Thanks \U0001f600"])
    def test_reads_latin_letters_numbers_and_the_odd_emoji(self, model: MiniLmModel, text: str) -> None:
        assert read(model, text).refusal is None

    def test_refuses_a_text_without_any_token(self, model: MiniLmModel) -> None:
        assert model.refuse(model.tokenise([TextRequest("\x00\x01")])[0]) == "unsupported_text"


class TestNumbers:
    def test_that_are_not_finite_fail_the_text(self, model: MiniLmModel) -> None:
        tokens = model.tokenise([TextRequest("Hello")])[0]
        broken = WindowReading(np.full(384, np.nan), 3, {})
        with pytest.raises(ArithmeticError, match="not finite"):
            model.combine(tokens, [broken])
