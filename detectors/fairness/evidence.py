"""How strongly pairs speak against "the gap is at most so large", however often one looks.

A gambler who believes that a group fares worse stakes a fixed share b of the capital on every pair: wealth is the
product of 1 + b * D. If the gap of pair i given the past is m_i, the expectation of (1 + b * D) * exp(-b * m_i) is
(1 + b * m_i) * exp(-b * m_i), at most 1. So exp(sum log(1 + b * D) - b * sum m_i) is a supermartingale that starts at
1, whatever the outcomes' distribution and however it changes over time; and so is the average over several b.
By Ville's inequality it ever reaches 1/alpha with probability at most alpha.

- Evidence against "the average gap is at most m" puts m for every m_i.
- A confidence sequence keeps the m that the evidence has not refuted.

The average over bets is what a gambler earns who bets, each time, the mean of all bets weighted by what each has
earned so far: a predictable bet that needs no tuning. Unlike the usual online Newton step it depends on the histogram
of D alone, so states add up, and late or repeated evaluation changes nothing. ``bench fairness`` compares the two.

Sources: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (2024); Chugg, Cortes-Gomez,
Wilder and Ramdas, Auditing fairness by betting (2023). The bound for averages under drift is derived above.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.fairness.differences import POINTS, STEP, UNIT, Differences

Floats = NDArray[np.float64]

BETS: Final = (0.9, 0.55, 0.3, 0.16, 0.08, 0.04, 0.02, 0.01, 0.003)
"""Shares of the capital at stake on a pair. The best one is near gap / variance; the small ones narrow intervals."""
SHARES: Final = (0.18, 0.24, 0.23, 0.18, 0.09, 0.04, 0.02, 0.01, 0.01)
"""How the first capital is divided among the bets."""
LARGEST_GROWTH: Final = 1.9
"""By how much one pair can multiply the evidence at most."""
_STEPS: Final = 100
_CLOSE: Final = 1e-9


@cache
def _tables() -> tuple[Floats, Floats, Floats]:
    """Return bets, log shares, and the log growth of each bet for each point of the histogram, (bets, points)."""
    bets = np.array(BETS)
    points = (np.arange(POINTS) * STEP - UNIT) / UNIT
    return bets, np.log(np.array(SHARES)), np.log1p(bets[:, None] * points[None, :])


def to_counts(differences: Differences) -> Floats:
    """Return the histogram as numbers of pairs, ``(129,) float64``."""
    counts = np.zeros(POINTS)
    for point, weight in differences.weights.items():
        counts[point] = weight / STEP
    return counts


def log_growth(counts: Floats) -> tuple[Floats, Floats]:
    """Return the log wealth of every bet that the gap is positive, and that it is negative.

    ``counts`` is ``(..., 129)``; both answers are ``(..., bets)``.
    """
    _, _, table = _tables()
    return counts @ table.T, counts[..., ::-1] @ table.T


def log_evidence(growth: Floats, pairs: Floats | float, gap: Floats | float) -> Floats:
    """Return the log of the evidence that the average gap is above ``gap``.

    ``growth`` is ``(..., bets)`` from ``log_growth``; ``pairs`` and ``gap`` broadcast over its leading shape. For
    evidence that the gap is below ``-gap`` give the growth of the bets on the negative side.
    """
    bets, log_shares, _ = _tables()
    terms = log_shares + growth - (np.asarray(pairs) * np.asarray(gap))[..., None] * bets
    top = terms.max(axis=-1)
    return np.asarray(top + np.log(np.exp(terms - top[..., None]).sum(axis=-1)))


def interval(differences: Differences, alpha: float) -> tuple[float, float]:
    """Return the ends of the confidence sequence for the average gap, each in [-1, 1].

    With probability at least 1 - ``alpha`` it holds the running average of the gaps at every time at once. Without
    pairs it is [-1, 1].
    """
    if not differences.pairs:
        return -1.0, 1.0
    up, down = log_growth(to_counts(differences))
    limit = math.log(2 / alpha)
    return _lower_end(up, differences.pairs, limit), -_lower_end(down, differences.pairs, limit)


def _lower_end(growth: Floats, pairs: int, limit: float) -> float:
    """Return the largest gap that evidence of ``limit`` refutes from below.

    The log evidence is convex and falls as the gap grows, so Newton's steps from the left approach that gap from one
    side and stop beside it: never beyond, so the interval is never too narrow.
    """
    bets, log_shares, _ = _tables()
    terms = log_shares + growth
    slopes = pairs * bets
    gap = -1.0
    for _ in range(_STEPS):
        exponents = terms - slopes * gap
        top = float(exponents.max())
        weights = np.exp(exponents - top)
        total = float(weights.sum())
        excess = top + math.log(total) - limit
        if excess <= 0:
            break
        step = excess * total / float(weights @ slopes)
        gap += step
        if step < _CLOSE:
            break
    return min(gap, 1.0)
