"""Whole embeddings, a byte a number: what tells traffic apart that the reference's own directions leave out.

Along sixty-four directions of the reference lies half of its spread, but a quarter or less of what another language or
another style differs in (measured on MiniLM). So learners look at the embedding itself, in steps of a sixteenth of a
spread, and at how far it lies off the directions. Bytes are small enough that scores are exact in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.drift.projection import Projection

FloatArray = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.int8]

LARGEST: Final = 127.0
# Squared standard errors of evidence at which a direction counts half.
_PRIOR: Final = 2.0
# A coarse step is 2**8 of the projection's steps, so variances are 2**16 times smaller; rounding adds a twelfth.
_FINER: Final = 2.0**16
_ROUNDING: Final = 1.0 / 12.0


@dataclass(frozen=True, slots=True)
class Whole:
    """How a reference varies in whole embeddings, by its teaching part. ``width`` is one more than their length.

    ``mean`` (width,) of the rows; ``strengths`` (rank,) are variances along the projection's directions, ``scatter``
    the variance in each direction off them; the last number of a row, the distance off, is counted from ``off_middle``
    in steps of ``off_step``.
    """

    projection: Projection
    mean: FloatArray
    strengths: FloatArray
    scatter: float
    off_middle: float
    off_step: float

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return self.projection.dim + 1

    def apply(self, vectors: FloatArray, coordinates: FloatArray) -> Bytes:
        """Return rows ``(n, width)`` of embeddings ``(n, dim)`` whose projection is ``coordinates``."""
        rows = np.empty((len(vectors), self.width), dtype=np.int8)
        rows[:, :-1] = self.projection.coarse(vectors)
        off = np.rint((coordinates[:, -1] - self.off_middle) / self.off_step)
        rows[:, -1] = np.clip(off, -LARGEST, LARGEST)
        return rows

    def discriminate(
        self, recent: FloatArray, counts: FloatArray, usual: FloatArray, usual_count: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return weights (m, width), not rounded, to each mean of ``recent`` (m, width), and variances of scores.

        A linear discriminant. Each direction of the reference is shrunk by its own evidence (empirical Bayes); what
        lies off them all is a sphere of hundreds of directions, shrunk together as James and Stein do: chance
        alone moves it by as much as there are directions, and only what exceeds that counts.
        """
        directions = self.projection.directions * 2.0**-18
        difference = recent - usual
        errors = (1.0 / counts + 1.0 / usual_count)[:, None]
        along = difference[:, :-1] @ directions
        along_weights = along / self.strengths * _trust(along * along / (self.strengths * errors))
        rest = difference[:, :-1] - along @ directions.T
        squares = (rest * rest).sum(axis=1, keepdims=True)
        chance = (self.projection.dim - directions.shape[1]) * self.scatter * errors
        kept = np.maximum(1.0 - chance / np.maximum(squares, 1e-12), 0.0) if chance.all() else np.zeros_like(squares)
        rest_weights = rest * (kept / self.scatter)
        off = difference[:, -1:]
        off_variance = 16.0**2 + _ROUNDING
        off_weights = off / off_variance * _trust(off * off / (off_variance * errors))
        variances = (
            (along_weights * along_weights * self.strengths).sum(axis=1)
            + (rest_weights * rest_weights * self.scatter).sum(axis=1)
            + (off_weights * off_weights * off_variance)[:, 0]
        )
        return np.concatenate([along_weights @ directions.T + rest_weights, off_weights], axis=1), variances


def _trust(evidence: FloatArray) -> FloatArray:
    trusted: FloatArray = evidence / (evidence + _PRIOR)
    return trusted


def fit_whole(vectors: FloatArray, coordinates: FloatArray, projection: Projection) -> Whole:
    """Return what ``vectors`` (n, dim) teach.

    The last of ``coordinates`` is how far they lie off *other* rows' directions.
    """
    off = coordinates[:, -1]
    along = coordinates[:, :-1]
    rest = max(1, projection.dim - along.shape[1])
    middle = float(np.float32(off.mean()))
    step = float(np.float32(max(1.0, off.std() / 16.0)))
    empty = Whole(projection, np.zeros(projection.dim + 1), np.zeros(0), 1.0, middle, step)
    return Whole(
        projection=projection,
        mean=empty.apply(vectors, coordinates).astype(np.float64).mean(axis=0),
        strengths=along.var(axis=0) / _FINER + _ROUNDING,
        scatter=float((off * off).mean()) / _FINER / rest + _ROUNDING,
        off_middle=middle,
        off_step=step,
    )
