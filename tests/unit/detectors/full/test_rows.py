from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from detectors.full.loading import LoadedModel, Row
from detectors.full.rows import MarkedRow, RowReader
from tests.unit.detectors.full.conftest import LIMITS


class Lengths:
    """Makes of each row its number of tokens, raising or giving no number where it is told to; counts its batches."""

    def __init__(self, raise_at: int | None = None, nan_at: int | None = None) -> None:
        self.raise_at = raise_at
        self.nan_at = nan_at
        self.batches: list[int] = []

    def __call__(self, rows: Sequence[MarkedRow], logits: torch.Tensor) -> list[float]:
        assert len(logits) == len(rows)
        self.batches.append(len(rows))
        lengths = [len(row.row.ids) for row in rows]
        if self.raise_at in lengths:
            raise RuntimeError
        return [float("nan") if length == self.nan_at else float(length) for length in lengths]


def rows_of(*lengths: int) -> list[MarkedRow]:
    return [MarkedRow(Row((0, *[9] * (length - 2), 2))) for length in lengths]


class TestRowReader:
    def test_it_answers_every_row_in_order_and_equal_rows_once(self, roberta: LoadedModel) -> None:
        lengths = Lengths()
        reader: RowReader[float] = RowReader(roberta, lengths, LIMITS, part_bytes=8)
        assert reader.read(rows_of(5, 90, 5, 31, 90)) == [5, 90, 5, 31, 90]
        assert sum(lengths.batches) == 3
        assert reader.read(rows_of(31)) == [31]
        assert sum(lengths.batches) == 3

    def test_a_row_that_fails_fails_alone_and_is_tried_again_later(self, roberta: LoadedModel) -> None:
        for lengths in (Lengths(raise_at=31), Lengths(nan_at=31)):
            reader: RowReader[float] = RowReader(roberta, lengths, LIMITS, part_bytes=8)
            assert reader.read(rows_of(5, 31, 90)) == [5, None, 90]
            lengths.raise_at = lengths.nan_at = None
            assert reader.read(rows_of(31)) == [31]

    def test_rows_are_the_same_only_with_the_same_stretch_and_texts(self, roberta: LoadedModel) -> None:
        def read(rows: Sequence[MarkedRow], _: torch.Tensor) -> list[np.ndarray[tuple[int], np.dtype[np.float32]]]:
            return [np.full(2, row.at, dtype=np.float32) for row in rows]

        (row,) = rows_of(8)
        marked = [row, replace(row, at=3), replace(row, row=replace(row.row, second_from=4)), replace(row, count=1)]
        reader = RowReader(roberta, read, LIMITS, part_bytes=8)
        parts = [part for part in reader.read(marked) if part is not None]
        assert [part.tolist() for part in parts] == [[0, 0], [3, 3], [0, 0], [0, 0]]
        assert len({id(part) for part in parts}) == 4
