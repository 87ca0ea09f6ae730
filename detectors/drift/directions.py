"""Learned directions: which scalar tells the newest exchanges from usual ones best.

Two learners look at mean vectors. The *classifier* is a linear discriminant along the reference's principal
directions, each shrunk by how little evidence it has (an empirical Bayes prior, so that sixty useless directions do
not drown three useful ones). The *witness* is the difference of mean random Fourier features, the function whose gap
is the maximum mean discrepancy; it also sees changes of spread and shape. Both need sums of exchanges only.

Weights are rounded to whole numbers, so that scores are exact and do not depend on how a batch was cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from detectors.drift.fourier import FEATURE_SCALE
from detectors.drift.reference import BINS, Reference

FloatArray = npt.NDArray[np.float64]
Learner = Literal["classifier", "witness"]

LEARNERS: Final[tuple[Learner, ...]] = ("classifier", "witness")
# Squared standard errors of evidence at which a direction counts half.
_PRIOR: Final = 2.0
_WEIGHT_BITS: Final = 18


@dataclass(frozen=True, slots=True)
class Direction:
    """``weights`` (inputs,), whole numbers; ``centre`` and ``deviation`` > 0 of usual scores, in the same units."""

    weights: FloatArray
    centre: float
    deviation: float

    def standard_scores(self, inputs: FloatArray) -> FloatArray:
        """Return scores (n,) of rows (n, inputs): about mean 0 and deviation 1 for usual traffic, higher for new."""
        scores: FloatArray = (inputs @ self.weights - self.centre) / self.deviation
        return scores


@dataclass(frozen=True, slots=True)
class RankedDirection:
    """A direction with what ranking needs: ``edges`` (127,) cut raw scores into bins, ``pool`` (128,) counts held-out
    rows.
    """

    weights: FloatArray
    edges: FloatArray
    pool: npt.NDArray[np.int64]


class Teacher:
    """What learning needs of a reference, computed once. Immutable; shared by all monitors of one reference.

    ``held`` and ``means`` are by learner: the held-out rows as that learner sees them, and the teaching half's mean.
    """

    def __init__(self, reference: Reference) -> None:
        self.taught = {"classifier": reference.taught, "witness": reference.features.apply(reference.taught)}
        self.held = {"classifier": reference.held, "witness": reference.features.apply(reference.held)}
        self.means = {name: rows.mean(axis=0) for name, rows in self.taught.items()}
        self.rows = len(reference.taught)
        centred = reference.taught - self.means["classifier"]
        # A direction without spread must not divide by zero; a step is far below any real spread.
        self._variances = (centred * centred).mean(axis=0) + 1.0
        turned = self.taught["witness"] - self.means["witness"]
        self._covariance = turned.T @ turned / self.rows
        self._cuts = np.arange(1, BINS) * self.rows // BINS

    def learn(
        self, learner: Learner, recent: FloatArray, count: float, usual: FloatArray, usual_count: float
    ) -> Direction:
        """Return the direction from the mean ``usual`` (inputs,) of so many exchanges to the mean ``recent`` of so
        many.
        """
        difference = recent - usual
        if learner == "classifier":
            evidence = difference * difference / (self._variances * (1.0 / count + 1.0 / usual_count))
            raw = difference / self._variances * (evidence / (evidence + _PRIOR))
            variance = float((raw * raw * self._variances).sum())
        else:
            raw = difference
            variance = float(raw @ self._covariance @ raw)
        largest = float(np.abs(raw).max())
        if not largest > 0.0:
            return Direction(np.zeros_like(raw), 0.0, 1.0)
        scale = 2.0**_WEIGHT_BITS / largest
        weights = np.rint(raw * scale)
        floor = 1.0 if learner == "classifier" else FEATURE_SCALE * 2.0**-20
        # Rounded, so that the last bit of a sum, which may differ between libraries, decides nothing.
        deviation = float(np.float32(max(np.sqrt(variance) * scale, floor)))
        return Direction(weights, float(np.float32((weights * usual).sum())), deviation)

    def rank(self, learner: Learner, direction: Direction) -> RankedDirection:
        """Return ``direction`` with bins of about equal shares of the teaching half, and the held-out rows counted."""
        edges = np.sort(self.taught[learner] @ direction.weights)[self._cuts]
        bins = np.searchsorted(edges, self.held[learner] @ direction.weights)
        return RankedDirection(direction.weights, edges, np.bincount(bins, minlength=BINS).astype(np.int64))
