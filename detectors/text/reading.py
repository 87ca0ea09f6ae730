"""What one pass of the MiniLM encoder finds out about one text: its sentence vector and its toxicity.

Both come from the same forward pass, so embeddings for drift cost nothing extra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from detectors.batching.plan import WindowSize, padded_length
from detectors.model import UNSUPPORTED_TEXT
from detectors.text.bert import PAD_ID
from detectors.text.encoder import CLS_ID, SEP_ID, UNK_ID, Encoder, TokenisedText
from detectors.text.script import has_foreign_letters
from detectors.text.toxicity import ToxicityHead

# Two of the model's 256 positions go to the special tokens; the sentence encoder was trained with at most 256.
WINDOW: Final = WindowSize(tokens=254, overlap=32)
SPECIAL_TOKENS: Final = 2
UNKNOWN_SHARE: Final = 0.5
DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A tokenised text; it is readable if the head knows its script and most of its words."""

    tokens: TokenisedText
    foreign_letters: bool

    @property
    def is_readable(self) -> bool:
        ids = self.tokens.ids
        return not self.foreign_letters and ids.count(UNK_ID) <= UNKNOWN_SHARE * len(ids)


@dataclass(frozen=True, slots=True)
class WindowReading:
    """One window: the sum of its token states and their number, and calibrated probabilities per label."""

    state_sum: np.ndarray[tuple[int], np.dtype[np.float64]]
    state_count: int
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TextReading:
    """A text's unit vector (little-endian float16) and its label probabilities, in the head's label order.

    ``refusal`` is the reason for which the probabilities must not be used, or None; the vector stands in either case,
    since traffic that turns to another language is drift.
    """

    vector: bytes
    probabilities: tuple[float, ...]
    refusal: str | None


class MiniLmModel:
    """The encoder with its toxicity head, in the form that ``TextReader`` runs."""

    window = WINDOW

    def __init__(self, encoder: Encoder, head: ToxicityHead) -> None:
        self._encoder = encoder
        self._head = head

    def tokenise(self, texts: Sequence[str]) -> list[PreparedText]:
        tokenised = self._encoder.tokenise(texts)
        return [PreparedText(tokens, has_foreign_letters(text)) for text, tokens in zip(texts, tokenised, strict=True)]

    def refuse(self, tokens: PreparedText) -> str | None:
        """Refuse a text of which the tokenizer keeps nothing, such as control characters only."""
        return None if tokens.tokens.ids else UNSUPPORTED_TEXT

    def length(self, tokens: PreparedText) -> int:
        return len(tokens.tokens.ids)

    def read_windows(self, windows: Sequence[tuple[PreparedText, int, int]]) -> list[WindowReading]:
        """Run one padded batch; windows should be of similar length."""
        ids, mask = pad_windows([tokens.tokens.ids[start:end] for tokens, start, end in windows])
        ids, mask = ids.to(self._encoder.device), mask.to(self._encoder.device)
        with torch.inference_mode():
            states = self._encoder.bert.states(ids, mask)
            probabilities = self._head.probabilities(self._head.logits(states[self._head.input_layer], mask))
            sums = (states[-1].float() * mask[:, :, None]).sum(dim=1).double().cpu().numpy()
        counts = mask.sum(dim=1).tolist()
        return [
            WindowReading(sums[row], int(counts[row]), tuple(probabilities[row].tolist()))
            for row in range(len(windows))
        ]

    def combine(self, tokens: PreparedText, parts: Sequence[WindowReading]) -> TextReading:
        """Average token states over all windows; take each label's worst window.

        Raises ArithmeticError if a number is not finite, so that the text counts as failed and no NaN leaves.
        """
        mean = np.sum([part.state_sum for part in parts], axis=0) / sum(part.state_count for part in parts)
        norm = float(np.linalg.norm(mean))
        columns = zip(*(part.probabilities for part in parts), strict=True)
        worst = tuple(round(max(column), DECIMALS) for column in columns)
        if not (np.isfinite(norm) and norm > 0.0 and np.isfinite(worst).all()):
            raise ArithmeticError("the encoder returned a number that is not finite")
        refusal = None if tokens.is_readable else UNSUPPORTED_TEXT
        return TextReading((mean / norm).astype("<f2").tobytes(), worst, refusal)


def pad_windows(windows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return ids int64 and mask bool, both ``(windows, tokens)``, with special tokens, padded on the right."""
    width = padded_length(max(len(window) for window in windows) + SPECIAL_TOKENS)
    ids = torch.full((len(windows), width), PAD_ID, dtype=torch.int64)
    mask = torch.zeros((len(windows), width), dtype=torch.bool)
    for row, window in enumerate(windows):
        filled = [CLS_ID, *window, SEP_ID]
        ids[row, : len(filled)] = torch.tensor(filled, dtype=torch.int64)
        mask[row, : len(filled)] = True
    return ids, mask
