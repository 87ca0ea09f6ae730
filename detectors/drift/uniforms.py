"""Uniform random numbers that depend only on a seed and on which draw is wanted.

Ranks with ties need a coin. A generator with a hidden position would give other coins after a crash or on another
worker, so each coin is computed from (seed, number of the exchange, lane) alone: the same exchange always gets the
same coin, in whatever batches it arrives. The mixer is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_LANE: Final = np.uint64(0xD1342543DE82EF95)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def uniforms(seed: int, first: int, count: int, lanes: int) -> npt.NDArray[np.float64]:
    """Return ``(count, lanes)`` numbers in (0, 1) for the exchanges ``first`` … ``first + count - 1``.

    Lanes are independent streams. The same arguments always give the same bits.
    """
    numbers = np.arange(first + 1, first + 1 + count, dtype=np.uint64)[:, None]
    lane = np.arange(1, lanes + 1, dtype=np.uint64)[None, :]
    with np.errstate(over="ignore"):
        key = _mix(np.full((1, 1), seed & (2**64 - 1), dtype=np.uint64) + lane * _LANE)
        mixed = _mix(key + numbers * _GAMMA)
    # 53 bits, moved to the middle of their cell so that neither 0 nor 1 can occur.
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))
