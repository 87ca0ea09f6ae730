from __future__ import annotations

import numpy as np
import pytest

from detectors.batching.plan import split_windows
from detectors.text.encoder import Encoder
from detectors.text.reading import WINDOW, MiniLmModel, TextReading, WindowReading, pad_windows
from detectors.text.toxicity import load_toxicity_head


@pytest.fixture(scope="module")
def model(encoder: Encoder) -> MiniLmModel:
    return MiniLmModel(encoder, load_toxicity_head(encoder))


def read(model: MiniLmModel, text: str) -> TextReading:
    tokens = model.tokenise([text])[0]
    windows = [(tokens, start, end) for start, end in split_windows(model.length(tokens), WINDOW)]
    return model.combine(tokens, model.read_windows(windows))


def vector(reading: TextReading) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.frombuffer(reading.vector, dtype="<f2").astype(np.float64)


class TestPadWindows:
    def test_adds_special_tokens_and_padding(self) -> None:
        ids, mask = pad_windows([(7, 8), (9,)])
        assert ids.shape == (2, 16)
        assert ids[0].tolist()[:5] == [101, 7, 8, 102, 0]
        assert mask.sum(dim=1).tolist() == [4, 3]


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


class TestProbabilities:
    def test_of_a_long_text_are_those_of_its_worst_window(self, model: MiniLmModel) -> None:
        polite = (
            "To start, open your account page and choose the second option. Then enter your customer number, which you "
            "find on the invoice. Employees are entitled to 25 days of leave, and unused leave expires in March. The "
            "museum opens at ten; admission is twelve euros. "
        ) * 10
        insulted = f"{polite} You are a worthless stupid idiot and everybody hates you. {polite}"
        assert read(model, polite).probabilities[0] < 0.3
        assert read(model, insulted).probabilities[0] > 0.5


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
        assert model.refuse(model.tokenise(["\x00\x01"])[0]) == "unsupported_text"


class TestNumbers:
    def test_that_are_not_finite_fail_the_text(self, model: MiniLmModel) -> None:
        tokens = model.tokenise(["Hello"])[0]
        broken = WindowReading(np.full(384, np.nan), 3, (0.1, 0.1))
        with pytest.raises(ArithmeticError, match="not finite"):
            model.combine(tokens, [broken])
