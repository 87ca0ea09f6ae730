"""Random Fourier features: sums of them tell two distributions apart as a Gaussian kernel would.

The mean difference of these features is the witness function of the maximum mean discrepancy (Gretton et al., JMLR
2012), approximated as in Rahimi and Recht (NIPS 2007): where it is high, one distribution has more mass. The cosine
is computed from additions and multiplications alone and rounded to whole numbers, so that its bits depend on no
mathematics library and sums of features are exact in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FEATURES: Final = 128
FEATURE_SCALE: Final = 2**14
_FREQUENCY_BITS: Final = 32
_FREQUENCY_LIMIT: Final = 2.0**19
# cos(pi * x) for x in [0, 1/2] as a polynomial in x * x: the first terms of its series, error below 6e-8.
_SERIES: Final = (
    1.0,
    -4.934802200544679,
    4.058712126416768,
    -1.3352627688545893,
    0.23533063035889312,
    -0.02580689139001405,
    0.0019295743094039231,
)


@dataclass(frozen=True, slots=True)
class FourierFeatures:
    """``frequencies`` (width, 128), whole numbers / 2**32, in turns per step; ``phases`` (128,) in turns."""

    frequencies: npt.NDArray[np.float64]
    phases: npt.NDArray[np.float64]

    def apply(self, coordinates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return ``(n, 128)`` whole numbers in [-2**14, 2**14] for ``(n, width)`` projected coordinates."""
        turns = (coordinates @ self.frequencies) * 2.0**-_FREQUENCY_BITS + self.phases
        # Distance to the nearest whole turn, as a share of half a turn: cos is even and has period one turn.
        half = np.abs(turns - np.rint(turns)) * 2.0
        mirrored = half > 0.5
        squared = np.where(mirrored, 1.0 - half, half) ** 2
        value = np.full_like(squared, _SERIES[-1])
        for coefficient in _SERIES[-2::-1]:
            value = value * squared + coefficient
        rounded: npt.NDArray[np.float64] = np.rint(np.where(mirrored, -value, value) * FEATURE_SCALE)
        return rounded


def draw_features(coordinates: npt.NDArray[np.float64], rng: np.random.Generator) -> FourierFeatures:
    """Draw features whose kernel is as wide as the median distance between rows of ``coordinates`` ``(n, width)``."""
    few = coordinates[:256]
    squared = ((few[:, None, :] - few[None, :, :]) ** 2).sum(axis=2)
    apart = squared[squared > 0]
    bandwidth = float(np.sqrt(np.median(apart))) if apart.size else 1.0
    drawn = rng.standard_normal((coordinates.shape[1], FEATURES)) / (2.0 * np.pi * bandwidth)
    frequencies = np.clip(np.rint(drawn * 2.0**_FREQUENCY_BITS), -_FREQUENCY_LIMIT, _FREQUENCY_LIMIT)
    return FourierFeatures(frequencies, np.rint(rng.random(FEATURES) * 2.0**16) * 2.0**-16)
