"""What one pass of the MiniLM encoder finds out about one text: its sentence vector, and what the heads make of it.

All of it comes from the same forward pass, so embeddings for drift cost nothing extra, and a further head costs its own
layers only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from detectors.batching.cache import text_key
from detectors.batching.plan import WindowSize, padded_length
from detectors.contract import Head, TextFailure, TextReading, TextRequest, WindowPart
from detectors.model import DETECTOR_ERROR, UNSUPPORTED_TEXT
from detectors.text.bert import PAD_ID
from detectors.text.encoder import CLS_ID, SEP_ID, UNK_ID, Encoder, TokenisedText
from detectors.text.script import has_foreign_letters

# Two of the model's 256 positions go to the special tokens; the sentence encoder was trained with at most 256.
WINDOW: Final = WindowSize(tokens=254, overlap=32)
SPECIAL_TOKENS: Final = 2
UNKNOWN_SHARE: Final = 0.5
# Rounding lengths up to 16 costs 7 % of the work on mixed real text, to 4 costs 2 % (measured). The fused attention of
# accelerators wants multiples of 8 or more.
CPU_LENGTH_STEP: Final = 4
ACCELERATOR_LENGTH_STEP: Final = 16
# English takes a little over four characters a token.
_CHARACTERS_A_TOKEN: Final = 4
# A reading's own objects, without vectors and findings (measured by sys.getsizeof).
_READING_BYTES: Final = 400


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A tokenised text; it is readable if its script is known and most of its words are."""

    tokens: TokenisedText
    heads: frozenset[str]
    foreign_letters: bool

    @property
    def is_readable(self) -> bool:
        ids = self.tokens.ids
        return not self.foreign_letters and ids.count(UNK_ID) <= UNKNOWN_SHARE * len(ids)


@dataclass(frozen=True, slots=True)
class WindowReading:
    """One window: the sum of its token states and their number, and each wanted head's output."""

    state_sum: np.ndarray[Any, np.dtype[np.float64]]
    state_count: int
    heads: Mapping[str, WindowPart]


class MiniLmModel:
    """The encoder with its heads, in the form that ``TextReader`` runs."""

    window = WINDOW

    def __init__(self, encoder: Encoder, heads: Sequence[Head]) -> None:
        self._encoder = encoder
        self.length_step = CPU_LENGTH_STEP if encoder.device.type == "cpu" else ACCELERATOR_LENGTH_STEP
        self._heads = {head.name: head for head in heads}
        if len(self._heads) < len(heads):
            raise ValueError(f"two heads have the same name: {[head.name for head in heads]}")

    def key(self, wanted: TextRequest) -> bytes:
        return text_key(wanted.text) + text_key("\0".join(sorted(wanted.heads)))

    def size(self, wanted: TextRequest) -> int:
        return len(wanted.text) // _CHARACTERS_A_TOKEN + SPECIAL_TOKENS

    def tokenise(self, wanted: Sequence[TextRequest]) -> list[PreparedText]:
        tokenised = self._encoder.tokenise([one.text for one in wanted])
        return [
            PreparedText(tokens, one.heads, has_foreign_letters(one.text))
            for one, tokens in zip(wanted, tokenised, strict=True)
        ]

    def refuse(self, tokens: PreparedText) -> str | None:
        """Refuse a text of which the tokenizer keeps nothing, such as control characters only."""
        return None if tokens.tokens.ids else UNSUPPORTED_TEXT

    def length(self, tokens: PreparedText) -> int:
        return len(tokens.tokens.ids)

    def read_windows(self, windows: Sequence[tuple[PreparedText, int, int]]) -> list[WindowReading]:
        """Run one padded batch; windows should be of similar length."""
        ids, mask = pad_windows([tokens.tokens.ids[start:end] for tokens, start, end in windows], self.length_step)
        ids, mask = ids.to(self._encoder.device), mask.to(self._encoder.device)
        wanted = sorted({name for tokens, _, _ in windows for name in tokens.heads})
        with torch.inference_mode():
            states = self._encoder.bert.states(ids, mask)
            outputs = {name: self._heads[name].read(states, mask).float().cpu().numpy() for name in wanted}
            sums = (states[-1].float() * mask[:, :, None]).sum(dim=1).double().cpu().numpy()
        counts = mask.sum(dim=1).tolist()
        readings = []
        for row, (tokens, start, end) in enumerate(windows):
            parts = {}
            for name in tokens.heads:
                values = outputs[name][row]
                own = values[1 : 1 + end - start] if self._heads[name].reads_tokens else values
                parts[name] = WindowPart(start, end, own)
            readings.append(WindowReading(sums[row], int(counts[row]), parts))
        return readings

    def combine(self, tokens: PreparedText, parts: Sequence[WindowReading]) -> TextReading:
        """Average token states over all windows, and let each head combine its own.

        Raises ArithmeticError if the vector is not finite, so that the text counts as failed and no NaN leaves. A head
        whose numbers are not finite, or that raises, fails alone.
        """
        mean = np.sum([part.state_sum for part in parts], axis=0) / sum(part.state_count for part in parts)
        norm = float(np.linalg.norm(mean))
        if not (np.isfinite(norm) and norm > 0.0):
            raise ArithmeticError("the encoder returned a number that is not finite")
        heads = {
            name: self._combine_head(name, tokens.tokens, [part.heads[name] for part in parts]) for name in tokens.heads
        }
        refusal = None if tokens.is_readable else UNSUPPORTED_TEXT
        return TextReading((mean / norm).astype("<f2").tobytes(), refusal, heads)

    def weigh(self, reading: TextReading) -> int:
        return _READING_BYTES + len(reading.vector) + sum(_weigh_finding(finding) for finding in reading.heads.values())

    def _combine_head(self, name: str, tokens: TokenisedText, parts: Sequence[WindowPart]) -> Any:
        try:
            if not all(np.isfinite(part.values).all() for part in parts):
                return TextFailure(DETECTOR_ERROR)
            return self._heads[name].combine(tokens, parts)
        except Exception:
            return TextFailure(DETECTOR_ERROR)


def pad_windows(windows: Sequence[Sequence[int]], step: int = CPU_LENGTH_STEP) -> tuple[Tensor, Tensor]:
    """Return ids int64 and mask bool, both ``(windows, tokens)``, with special tokens, padded on the right.

    The width is a multiple of ``step``.
    """
    lengths = np.array([len(window) for window in windows]) + SPECIAL_TOKENS
    width = padded_length(int(lengths.max()), step)
    ids = np.full((len(windows), width), PAD_ID, dtype=np.int64)
    ids[:, 0] = CLS_ID
    for row, window in zip(ids, windows, strict=True):
        row[1 : 1 + len(window)] = window
    ids[np.arange(len(windows)), lengths - 1] = SEP_ID
    mask = np.arange(width) < lengths[:, None]
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _weigh_finding(finding: Any) -> int:
    """Return about how many bytes a head's finding takes: exact for arrays, a guess for anything else."""
    if isinstance(finding, np.ndarray):
        return int(finding.nbytes)
    if isinstance(finding, tuple | list):
        return 16 + sum(_weigh_finding(one) for one in finding)
    return 100
