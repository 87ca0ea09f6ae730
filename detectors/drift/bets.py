"""Bets on where the next rank falls: functions on (0, 1) whose integral is one and that are never negative.

If ranks are uniform and independent, each bet returns one on average, whatever was seen before; wealth made by
multiplying them is a martingale, and no strategy of stopping turns it into a profit. Under drift, some bet grows
exponentially, at best at the Kullback–Leibler rate of the ranks. A family holds many bets, because nobody knows in
advance which kind of drift will come; their average costs the logarithm of their number.

Only additions, multiplications and divisions are used, so equal ranks give equal bits on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

TAIL_DOUBLINGS: Final = (1, 2, 3, 4, 5, 6)
TAIL_SHARES: Final = (0.03, 0.1, 0.3, 1.0)
GROWN_SHARES: Final = (0.1, 0.35)
SHRUNK_SHARE: Final = 0.5
MOVED_DOUBLINGS: Final = (1, 2, 3)
MOVED_SHARES: Final = (0.15, 0.4)


class Bets(Protocol):
    """A family of bets, with the weight that each has in the family's average; weights are positive and sum to one."""

    @property
    def weights(self) -> FloatArray: ...

    def returns(self, ranks: FloatArray) -> FloatArray:
        """Return ``(n, bets)``: what each bet pays at each of the ``(n,)`` ranks."""
        ...


@dataclass(frozen=True, slots=True)
class TailBets:
    """Values have become larger, or with ``two_sided`` larger or smaller.

    A bet mixes: a share of the traffic, 0.03 to all of it, now has ranks with density ``a · u**(a - 1)``, ``a`` from
    2 to 64, which puts it into about the upper half to the upper sixtieth.
    """

    two_sided: bool

    @property
    def weights(self) -> FloatArray:
        count = len(TAIL_DOUBLINGS) * len(TAIL_SHARES) * (2 if self.two_sided else 1)
        return np.full(count, 1.0 / count)

    def returns(self, ranks: FloatArray) -> FloatArray:
        upper = _tail_returns(ranks)
        return np.concatenate([upper, _tail_returns(1.0 - ranks)], axis=1) if self.two_sided else upper


@dataclass(frozen=True, slots=True)
class MovedBets:
    """A large share of the traffic moved a little, either way: the few bets that a known, strong direction needs.

    A bet is one of ``TailBets``, for a share of 0.15 or 0.4 and ``a`` from 2 to 8.
    """

    @property
    def weights(self) -> FloatArray:
        count = 2 * len(MOVED_DOUBLINGS) * len(MOVED_SHARES)
        return np.full(count, 1.0 / count)

    def returns(self, ranks: FloatArray) -> FloatArray:
        both = (_tail_returns(side, MOVED_DOUBLINGS, MOVED_SHARES) for side in (ranks, 1.0 - ranks))
        return np.concatenate(list(both), axis=1)


def _tail_returns(
    ranks: FloatArray, doublings: tuple[int, ...] = TAIL_DOUBLINGS, shares: tuple[float, ...] = TAIL_SHARES
) -> FloatArray:
    """Return ``(n, doublings * shares)``; ``doublings`` count from one upwards."""
    densities = []
    power = ranks  # u ** (a - 1) for a = 2
    for doubling in doublings:
        densities.append(2.0**doubling * power)
        # u ** (2a - 1) is (u ** (a - 1)) squared, times u.
        power = power * power * ranks
    share = np.array(shares)
    returns: FloatArray = (1.0 - share) + np.stack(densities, axis=1)[:, :, None] * share
    return returns.reshape(len(ranks), -1)


@dataclass(frozen=True, slots=True)
class IntervalBets:
    """Some interval of ranks has gained traffic, by one of two shares, or lost half of its own.

    ``intervals`` is ``(n, 2)``, each a part of (0, 1] that is neither empty nor the whole.
    """

    intervals: FloatArray

    @property
    def weights(self) -> FloatArray:
        count = len(self.intervals) * (len(GROWN_SHARES) + 1)
        return np.full(count, 1.0 / count) if count else np.ones(0)

    def returns(self, ranks: FloatArray) -> FloatArray:
        inside = (ranks[:, None] > self.intervals[None, :, 0]) & (ranks[:, None] <= self.intervals[None, :, 1])
        lengths = self.intervals[:, 1] - self.intervals[:, 0]
        grown = [(1.0 - share) + share * (inside / lengths) for share in GROWN_SHARES]
        return np.concatenate([*grown, (1.0 - SHRUNK_SHARE * inside) / (1.0 - SHRUNK_SHARE * lengths)], axis=1)
