"""Principal directions of the reference, in whole numbers.

An embedding of some hundreds of numbers becomes its coordinates along the reference's strongest directions, plus how
far it lies off them all: traffic of a kind the reference never showed is mostly *off*.

Everything is arithmetic on whole numbers held in float64, small enough that sums of products stay below 2**53 and are
therefore exact. So the coordinates of an exchange are the same bits whether it is projected alone or in a
batch, in whatever order a BLAS library adds; that is what lets a monitor be restored after a crash exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

MOST_DIRECTIONS: Final = 64
# One unit of the reference's spread is 2**12 steps; values are held within 2**5 spreads. Directions have 18 bits.
_STEP_BITS: Final = 12
_LIMIT: Final = 2.0 ** (_STEP_BITS + 5)
_DIRECTION_BITS: Final = 18
# Coarse steps are a sixteenth of a spread, and a byte each.
_COARSE_BITS: Final = 8
_COARSEST: Final = 127.0


@dataclass(frozen=True, slots=True)
class Projection:
    """``mean`` (dim,) and ``spread`` > 0 in the embedding's units; ``directions`` (dim, rank), in 1/2**18."""

    mean: npt.NDArray[np.float64]
    spread: float
    directions: npt.NDArray[np.float64]

    @property
    def dim(self) -> int:
        """Length of the embeddings that are understood."""
        return int(self.mean.shape[0])

    @property
    def width(self) -> int:
        """Numbers per exchange that ``apply`` returns: one for each direction, and the distance off them all."""
        return int(self.directions.shape[1]) + 1

    def apply(self, vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return ``(n, width)`` whole numbers: coordinates, then the distance off them, in steps of spread / 2**12.

        ``vectors`` is ``(n, dim)`` and finite. Values beyond 32 spreads are held at 32. The same row gives the same
        bits in any batch.
        """
        steps = self._steps(vectors)
        coordinates = np.rint((steps @ self.directions) * 2.0**-_DIRECTION_BITS)
        squared = (steps * steps).sum(axis=1) - (coordinates * coordinates).sum(axis=1)
        off = np.rint(np.sqrt(np.maximum(squared, 0.0)))
        return np.concatenate([coordinates, off[:, None]], axis=1)

    def coarse(self, vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the embeddings themselves, ``(n, dim)`` whole numbers in [-127, 127], in steps of spread / 16.

        Coordinates leave out half of what a new kind of traffic differs in; this keeps all of it, a byte a number.
        """
        steps = np.rint(self._steps(vectors) * 2.0**-_COARSE_BITS)
        np.clip(steps, -_COARSEST, _COARSEST, out=steps)
        return steps

    def _steps(self, vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        steps = np.rint((vectors - self.mean) * (2.0**_STEP_BITS / self.spread))
        np.clip(steps, -_LIMIT, _LIMIT, out=steps)
        return steps


def fit_projection(vectors: npt.NDArray[np.float64]) -> Projection:
    """Return the projection onto the strongest directions of ``vectors``, at most 64 and at most a quarter of the rows.

    A direction along which the vectors do not differ is left out, so constant embeddings have no direction at all.
    """
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    spread = float(np.sqrt(np.mean(centred * centred)))
    # Float noise around a constant is not spread.
    floor = 1e-9 * max(1.0, float(np.abs(mean).max()))
    if not spread > floor:
        return Projection(mean, 1.0, np.zeros((vectors.shape[1], 0)))
    _, strengths, rows = np.linalg.svd(centred, full_matrices=False)
    wanted = min(MOST_DIRECTIONS, max(1, len(vectors) // 4))
    kept = int((strengths[:wanted] > 1e-6 * strengths[0]).sum())
    directions = np.rint(rows[:kept].T * 2.0**_DIRECTION_BITS)
    return Projection(mean, spread, np.ascontiguousarray(directions))
