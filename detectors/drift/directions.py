"""Learned directions: which scalar tells the newest exchanges from usual ones best.

Learners look at mean vectors. The *whole* one is a linear discriminant of whole embeddings (``whole``), each direction
shrunk by how little evidence it has, so that hundreds of useless ones do not drown three useful ones; the *classifier*
is the same along the reference's principal directions alone. The *witness* is the difference of mean random Fourier
features, the function whose gap is the maximum mean discrepancy; it also sees changes of spread and shape. All need
sums of exchanges only.

Weights are rounded to whole numbers, so that scores are exact and do not depend on how a batch was cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from detectors.drift.fourier import FEATURE_SCALE
from detectors.drift.reference import BINS, Reference
from detectors.drift.whole import LARGEST

FloatArray = npt.NDArray[np.float64]
# Bytes are kept in float32, all else in float64.
Rows = npt.NDArray[np.floating[Any]]
Learner = Literal["whole", "witness", "classifier"]

# Those that follow the stream; the classifier, which needs coordinates only, explains alarms.
LEARNERS: Final[tuple[Learner, ...]] = ("whole", "witness")
# Squared standard errors of evidence at which a direction counts half.
_PRIOR: Final = 2.0
_WEIGHT_BITS: Final = 18
# Where bins of a learned direction begin, in deviations from usual: finer than any reference is below, and a sixteenth
# above, where what is new lies.
_GRID: Final = np.concatenate([np.linspace(-2.5, 1.0, 64, endpoint=False), np.linspace(1.0, 5.0, BINS - 65)])


@dataclass(frozen=True, slots=True)
class Direction:
    """``weights`` (inputs,), whole numbers; ``centre`` and ``deviation`` > 0 of usual scores, in the same units."""

    weights: FloatArray
    centre: float
    deviation: float

    def standard_scores(self, inputs: Rows) -> FloatArray:
        """Return scores (n,) of rows (n, inputs): about mean 0 and deviation 1 for usual traffic, higher for new."""
        scores: FloatArray = (inputs @ self.weights - self.centre) / self.deviation
        return scores


@dataclass(frozen=True, slots=True)
class Directions:
    """Some directions at once: ``weights`` (m, inputs), ``centres`` (m,), ``deviations`` (m,) > 0."""

    weights: FloatArray
    centres: FloatArray
    deviations: FloatArray

    def standard_scores(self, inputs: Rows) -> FloatArray:
        """Return scores (n, m) of rows (n, inputs)."""
        scores: FloatArray = (inputs @ self.weights.T - self.centres) / self.deviations
        return scores


@dataclass(frozen=True, slots=True)
class RankedDirection:
    """A direction of whole embeddings with what ranking needs: ``edges`` (127,) cut raw scores into bins.

    ``weights`` (inputs,) are bytes, so scores are whole numbers that float32 holds exactly.
    """

    weights: npt.NDArray[np.float32]
    centre: float
    deviation: float

    @property
    def edges(self) -> FloatArray:
        """Edges (127,) of the bins."""
        found: FloatArray = self.centre + self.deviation * _GRID
        return found

    def bins(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return the bin (n,) of each row (n, inputs)."""
        return np.searchsorted(self.edges, rows @ self.weights)


class Teacher:
    """What learning needs of a reference, computed once. Immutable; shared by all monitors of one reference.

    ``held`` and ``means`` are by learner: the held-out rows as that learner sees them, and the teaching half's mean.
    """

    def __init__(self, reference: Reference) -> None:
        features = reference.features
        self.taught = {"classifier": reference.taught, "witness": features.apply(reference.taught)}
        self.held: dict[Learner, Rows] = {
            "classifier": reference.held,
            "witness": features.apply(reference.held),
            # Bytes and their products with bytes are exact in float32, at half the time and memory.
            "whole": reference.held_whole.astype(np.float32),
        }
        self.means: dict[Learner, FloatArray] = {
            "classifier": self.taught["classifier"].mean(axis=0),
            "witness": self.taught["witness"].mean(axis=0),
            "whole": reference.whole.mean,
        }
        self.rows = len(reference.taught)
        self._whole = reference.whole
        centred = reference.taught - self.means["classifier"]
        # A direction without spread must not divide by zero; a step is far below any real spread.
        self._variances = (centred * centred).mean(axis=0) + 1.0
        turned = self.taught["witness"] - self.means["witness"]
        self._covariance = turned.T @ turned / self.rows

    def learn(
        self, learner: Learner, recent: FloatArray, count: float, usual: FloatArray, usual_count: float
    ) -> Direction:
        """Return the direction from the mean ``usual`` (inputs,) of so many exchanges to the mean ``recent`` of so
        many.
        """
        if learner == "classifier":
            difference = recent - usual
            evidence = difference * difference / (self._variances * (1.0 / count + 1.0 / usual_count))
            raw = difference / self._variances * (evidence / (evidence + _PRIOR))
            found = _fix(raw[None, :], (raw * raw * self._variances).sum(keepdims=True), usual, 1.0)
        else:
            found = self.learn_each(learner, recent[None, :], np.array([count]), usual, usual_count)
        return Direction(found.weights[0], float(found.centres[0]), float(found.deviations[0]))

    def learn_each(
        self, learner: Learner, recent: FloatArray, counts: FloatArray, usual: FloatArray, usual_count: float
    ) -> Directions:
        """Return the directions to each mean of ``recent`` (m, inputs), for the learners that follow the stream."""
        if learner == "whole":
            raw, variances = self._whole.discriminate(recent, counts, usual, usual_count)
            return _fix(raw, variances, usual, 1.0)
        raw = recent - usual
        return _fix(raw, ((raw @ self._covariance) * raw).sum(axis=1), usual, FEATURE_SCALE * 2.0**-20)

    def learn_block(
        self, recent: FloatArray, count: float, usual: FloatArray, usual_count: float
    ) -> tuple[RankedDirection, npt.NDArray[np.int64]]:
        """Return the direction from usual whole embeddings to ``recent`` ones in bytes, and how many held-out rows fall
        into each of its bins (128,).
        """
        raw, variances = self._whole.discriminate(recent[None, :], np.array([count]), usual, usual_count)
        found = _fix(raw, variances, usual, 1.0, LARGEST)
        direction = RankedDirection(
            found.weights[0].astype(np.float32), float(found.centres[0]), float(found.deviations[0])
        )
        return direction, np.bincount(direction.bins(self.held["whole"]), minlength=BINS).astype(np.int64)


def _fix(
    raw: FloatArray, variances: FloatArray, usual: FloatArray, floor: float, largest: float = 2.0**_WEIGHT_BITS
) -> Directions:
    """Return directions whose weights are whole numbers up to ``largest``, and zero where nothing was learned."""
    highest = np.abs(raw).max(axis=1, initial=0.0)
    scales = largest / np.where(highest > 0.0, highest, np.inf)
    weights = np.rint(raw * scales[:, None])
    # Rounded, so that the last bit of a sum, which may differ between libraries, decides nothing.
    deviations = np.maximum(np.sqrt(variances) * scales, floor).astype(np.float32).astype(np.float64)
    centres = (weights * usual).sum(axis=1).astype(np.float32).astype(np.float64)
    return Directions(weights, centres, deviations)
