"""Runs ready-made rows of tokens through a transformer: in batches of similar length, in lanes, each row failing alone.

The reader of ``detectors.batching`` cuts single texts into windows by itself. Models that read several texts at once, a
context with an answer or a chunk with a claim, lay out their rows themselves; each row is then an input of its own, and
rows of many exchanges are read together. Equal rows are read once, and lately read ones are remembered.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np
from torch import Tensor

from detectors.batching.limits import ReaderLimits
from detectors.batching.plan import WindowSize
from detectors.batching.reader import TextReader
from detectors.contract import TextFailure
from detectors.full.loading import Alive, LoadedModel, Row, no_sign

# A number, or an array of them.
Part = TypeVar("Part")

_KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class MarkedRow:
    """A row and the stretch of it that is asked about: ``count`` tokens from position ``at`` on, or none."""

    row: Row
    at: int = 0
    count: int = 0


class _Rows(Generic[Part]):
    """A transformer over rows in the form that ``TextReader`` runs. A row is one window, whatever its length."""

    window = WindowSize(1 << 40, 0)

    def __init__(
        self, model: LoadedModel, read: Callable[[Sequence[MarkedRow], Tensor], Sequence[Part]], part_bytes: int
    ) -> None:
        self._model = model
        self._read = read
        self._part_bytes = part_bytes
        self.length_step = model.length_step

    def key(self, wanted: MarkedRow) -> bytes:
        row = wanted.row
        places = array("q", (wanted.at, wanted.count, -1 if row.second_from is None else row.second_from, *row.ids))
        return hashlib.blake2b(places.tobytes(), digest_size=_KEY_BYTES).digest()

    def size(self, wanted: MarkedRow) -> int:
        return len(wanted.row.ids)

    def tokenise(self, wanted: Sequence[MarkedRow]) -> Sequence[MarkedRow]:
        return wanted

    def refuse(self, tokens: MarkedRow) -> str | None:
        return None

    def length(self, tokens: MarkedRow) -> int:
        return len(tokens.row.ids)

    def read_windows(self, windows: Sequence[tuple[MarkedRow, int, int]]) -> Sequence[Part]:
        rows = [row for row, _, _ in windows]
        return self._read(rows, self._model.logits([row.row for row in rows]))

    def combine(self, tokens: MarkedRow, parts: Sequence[Part]) -> Part:
        """Return the row's part; raises ArithmeticError if a number in it is not finite."""
        numbers: Any = parts[0]
        if not np.isfinite(numbers).all():
            raise ArithmeticError("the model returned a number that is not finite")
        return parts[0]

    def weigh(self, reading: Part) -> int:
        return self._part_bytes


class RowReader(Generic[Part]):
    """Reads rows with one model. ``read`` makes one part a row of a batch's logits; one takes about ``part_bytes``."""

    def __init__(
        self,
        model: LoadedModel,
        read: Callable[[Sequence[MarkedRow], Tensor], Sequence[Part]],
        limits: ReaderLimits,
        *,
        part_bytes: int,
        alive: Alive = no_sign,
    ) -> None:
        """``alive`` is called after every batch."""
        rows = _Rows(model, read, part_bytes)
        self._reader: TextReader[MarkedRow, MarkedRow, Part, Part] = TextReader(rows, limits, alive=alive)

    def read(self, rows: Sequence[MarkedRow]) -> list[Part | None]:
        """Return one part per row, in order; None for a row that could not be read."""
        return [None if isinstance(part, TextFailure) else part for part in self._reader.read(rows)]
