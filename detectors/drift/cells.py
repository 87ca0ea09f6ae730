"""Frozen clusters of the reference, in an order in which neighbours are alike.

k-means divides the projected reference; a tree that always halves the reference along the longest axis of the
centres puts the cells in a row. A group of similar cells is then an interval of that row, so that "this kind of
traffic grew" is a statement about an interval of ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

MOST_CELLS: Final = 64
ROWS_PER_CELL: Final = 8
_ROUNDS: Final = 15


@dataclass(frozen=True, slots=True)
class Cells:
    """``centres`` is ``(cells, width)``, whole numbers in projected coordinates, in the order of the tree."""

    centres: npt.NDArray[np.float64]

    def assign(self, coordinates: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return each row's nearest cell ``(n,)`` and its squared distance to that cell's centre ``(n,)``."""
        lengths = (self.centres * self.centres).sum(axis=1)
        gaps = lengths[None, :] - 2.0 * (coordinates @ self.centres.T)
        nearest = gaps.argmin(axis=1)
        own = (coordinates * coordinates).sum(axis=1)
        return nearest, gaps[np.arange(len(coordinates)), nearest] + own


def fit_cells(coordinates: npt.NDArray[np.float64], rng: np.random.Generator) -> Cells:
    """Return the clusters of ``coordinates`` ``(n, width)``: at most 64, and on average at least 8 rows to each."""
    distinct = np.unique(coordinates, axis=0)
    wanted = max(1, min(MOST_CELLS, len(coordinates) // ROWS_PER_CELL, len(distinct)))
    centres = distinct[rng.choice(len(distinct), wanted, replace=False)]
    for _ in range(_ROUNDS):
        nearest, _ = Cells(centres).assign(coordinates)
        sizes = np.bincount(nearest, minlength=wanted)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, coordinates)
        # A cell that lost all its rows stays where it is: it may still catch what the reference lacks.
        moved = np.where(sizes[:, None] > 0, np.rint(sums / np.maximum(sizes, 1)[:, None]), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    nearest, _ = Cells(centres).assign(coordinates)
    rows = np.bincount(nearest, minlength=wanted).astype(np.float64)
    return Cells(centres[_order(centres, rows, np.arange(wanted, dtype=np.intp))])


def _order(
    centres: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], members: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Return ``members`` so that each half, by rows of the reference, lies on one side of their longest axis."""
    if len(members) < 2:
        return members
    centred = centres[members] - centres[members].mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    along = members[np.argsort(centred @ axis, kind="stable")]
    cumulated = np.cumsum(sizes[along] + 1e-9)
    cut = min(len(along) - 1, max(1, int(np.searchsorted(cumulated, cumulated[-1] / 2.0))))
    return np.concatenate([_order(centres, sizes, along[:cut]), _order(centres, sizes, along[cut:])])


def tree_intervals(masses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return ``(2 * cells - 2, 2)`` intervals of (0, 1]: every node below the root of a tree that halves the masses.

    ``masses`` (cells,) are positive and sum to one; cell ``k`` occupies the interval after those before it.
    """
    edges = np.concatenate([[0.0], np.cumsum(masses)])
    edges[-1] = 1.0
    found: list[tuple[float, float]] = []
    waiting = [(0, len(masses))]
    while waiting:
        first, last = waiting.pop()
        if last - first > 1:
            middle = int(np.searchsorted(edges, (edges[first] + edges[last]) / 2.0))
            middle = max(first + 1, min(last - 1, middle))
            for part in ((first, middle), (middle, last)):
                found.append((float(edges[part[0]]), float(edges[part[1]])))
                waiting.append(part)
    return np.array(found).reshape(-1, 2)
