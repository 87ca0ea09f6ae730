"""What the fairness monitor is compared with: other bets of the same kind, and the test people repeat in practice.

All watch streams of differences, ``(streams, pairs)`` of -1, 0 and 1, and look at every pair.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

NEVER: Final = -1
FIRST_LOOK: Final = 30
"""The pairs before which nobody would run a z-test."""


def first_alarms_by_newton(differences: NDArray[np.int8], epsilon: float, alpha: float) -> NDArray[np.int64]:
    """Return after how many pairs betting by the online Newton step first alarms, as in Auditing fairness by betting.

    Two gamblers, one in each direction, with half of the capital each; bets in [0, 1/2].
    """
    alarms, wealth = _start(differences)
    bets = np.zeros_like(wealth)
    curvature = np.ones_like(wealth)
    for place, payoffs in enumerate(_payoffs(differences, epsilon)):
        growth = 1 + bets * payoffs
        wealth += np.log(growth)
        _note(alarms, wealth, place, alpha)
        slope = payoffs / growth
        curvature += slope**2
        bets = np.clip(bets + 2 / (2 - np.log(3)) * slope / curvature, 0.0, 0.5)
    return alarms


def first_alarms_by_agrapa(differences: NDArray[np.int8], epsilon: float, alpha: float) -> NDArray[np.int64]:
    """Return after how many pairs aGRAPA first alarms: each bet is the mean over the mean square of what was seen.

    Both are started with one made-up pair of payoff 0 and square 1/4; bets in [0, 1/2].
    """
    alarms, wealth = _start(differences)
    total = np.zeros_like(wealth)
    squares = np.full_like(wealth, 0.25)
    for place, payoffs in enumerate(_payoffs(differences, epsilon)):
        bets = np.clip(total / squares, 0.0, 0.5)
        wealth += np.log1p(bets * payoffs)
        _note(alarms, wealth, place, alpha)
        total += payoffs
        squares += payoffs**2
    return alarms


def first_alarms_by_z_test(
    differences: NDArray[np.int8], epsilon: float, alpha: float, *, every: int
) -> NDArray[np.int64]:
    """Return after how many pairs a two-sided z-test at level ``alpha``, repeated every so many pairs, first alarms.

    The null is the nearer end of the tolerance, as for the monitor.
    """
    quantile = NormalDist().inv_cdf(1 - alpha / 2)
    alarms = np.full(len(differences), NEVER, dtype=np.int64)
    total = np.cumsum(differences, axis=1, dtype=np.int64)
    square = np.cumsum(differences.astype(np.int64) ** 2, axis=1)
    for pairs in range(max(FIRST_LOOK, every), differences.shape[1] + 1, every):
        mean = total[:, pairs - 1] / pairs
        spread = np.sqrt(np.maximum(square[:, pairs - 1] / pairs - mean**2, 1e-12) / pairs)
        hit = (np.abs(mean) - epsilon) / spread >= quantile
        alarms[hit & (alarms == NEVER)] = pairs
    return alarms


def _start(differences: NDArray[np.int8]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    streams = len(differences)
    return np.full(streams, NEVER, dtype=np.int64), np.full((streams, 2), np.log(0.5))


def _payoffs(differences: NDArray[np.int8], epsilon: float) -> NDArray[np.float64]:
    """Return what each direction wins on each pair, ``(pairs, streams, 2)``."""
    turned = differences.T.astype(np.float64)
    return np.stack([turned - epsilon, -turned - epsilon], axis=-1)


def _note(alarms: NDArray[np.int64], wealth: NDArray[np.float64], place: int, alpha: float) -> None:
    hit = np.logaddexp(wealth[:, 0], wealth[:, 1]) >= -np.log(alpha)
    alarms[hit & (alarms == NEVER)] = place + 1
