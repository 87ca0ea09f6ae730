"""Where a gap may have begun: sums since the first pair and since a thinning row of later pairs.

A gap that appears after a long quiet time would have to undo all evidence of that time. So the capital is divided among
starting points: most of it bets from the first pair, the rest from later ones, at weights fixed in advance that sum
to 1. The sum is again a supermartingale from 1, so nothing is lost but logarithms of the weights.

A start may be given up at any time, because leaving out capital can only lower the evidence. Starts lie ``SPACING``
pairs apart, and the one at ``k * SPACING`` is kept until it is ``KEPT * SPACING`` times the largest power of two in k
old: near the present every start is there, further back every second, fourth and so on, at most about
``KEPT * (1 + log2(pairs) / 2)`` of them. Which are kept depends on the number of pairs alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.fairness.differences import Differences
from detectors.fairness.evidence import log_evidence, log_growth, to_counts

SPACING: Final = 64
KEPT: Final = 8
FIRST_SHARE: Final = 0.95
"""The share of the capital that bets from the first pair on."""
NOTEWORTHY: Final = 10.0
"""The evidence from which on it is asked when a gap began; before, there is nothing that could have begun."""


@dataclass(slots=True)
class Epoch:
    """The pairs from number ``start`` up to the next epoch; ``mark`` says where or when the first of them came."""

    start: int
    mark: int
    differences: Differences


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the whole history says against a tolerance.

    ``log_evidence`` is the log of the e-value of both directions together, ``higher`` whether the stronger direction is
    that the group has more of the outcome. ``epoch`` is the place, among the epochs, of the most likely beginning of
    the gap, within ``SPACING`` pairs or an eighth of the time since: the start whose bets earned most, where a later
    start has to beat the first pair by as many times as there are starts. It is 0, the first pair, until the evidence
    is at least ``NOTEWORTHY``.
    """

    log_evidence: float
    higher: bool
    epoch: int


class History:
    """Differences by the time since when; the state of one monitor apart from its queues."""

    __slots__ = ("epochs", "pairs")

    def __init__(self) -> None:
        self.pairs = 0
        self.epochs: list[Epoch] = []

    def add(self, difference: int, mark: int) -> None:
        """Count one pair, in units of ``differences``. ``mark`` orders pairs for people and decides nothing."""
        if self.pairs % SPACING == 0:
            self.epochs.append(Epoch(self.pairs, mark, Differences()))
            self._thin()
        self.epochs[-1].differences.add(difference)
        self.pairs += 1

    def since(self, place: int) -> Differences:
        """Return the differences from the epoch at ``place`` to the present."""
        total = Differences()
        for epoch in self.epochs[place:]:
            total.merge(epoch.differences)
        return total

    def judge(self, tolerance: float) -> Verdict:
        """Return the evidence that the gap has, since some start, been outside [-tolerance, tolerance]."""
        if not self.epochs:
            return Verdict(0.0, higher=True, epoch=0)
        counts = np.stack([to_counts(epoch.differences) for epoch in self.epochs])[::-1].cumsum(axis=0)[::-1]
        lengths = np.array([self.pairs - epoch.start for epoch in self.epochs], dtype=np.float64)
        sides = np.stack([log_evidence(growth, lengths, tolerance) for growth in log_growth(counts)])
        weighted = sides + np.log(self._shares())
        unstarted = (1 - FIRST_SHARE) / -(-self.pairs // SPACING)
        # Each direction has half of the capital; what no start has claimed yet is kept in cash.
        whole = np.logaddexp(_log_sum(weighted) - np.log(2.0), np.log(unstarted))
        higher = bool(weighted[0].max() >= weighted[1].max())
        likely = sides[0 if higher else 1].copy()
        likely[1:] -= np.log(len(likely))
        epoch = int(likely.argmax()) if whole >= np.log(NOTEWORTHY) else 0
        return Verdict(float(whole), higher=higher, epoch=epoch)

    def share(self, place: int) -> float:
        """Return the share of the capital, in (0, 1), that bets from the epoch at ``place`` on."""
        return float(self._shares()[place])

    def _shares(self) -> NDArray[np.float64]:
        numbers = np.array([epoch.start // SPACING for epoch in self.epochs], dtype=np.float64)
        later = (1 - FIRST_SHARE) / np.maximum(numbers * (numbers + 1), 1.0)
        return np.where(numbers == 0, FIRST_SHARE, later)

    def _thin(self) -> None:
        kept = self.epochs[:1]
        for epoch in self.epochs[1:]:
            number = epoch.start // SPACING
            if self.pairs - epoch.start <= KEPT * SPACING * (number & -number):
                kept.append(epoch)
            else:
                kept[-1].differences.merge(epoch.differences)
        self.epochs = kept

    def to_json(self) -> list[list[Any]]:
        """Return ``[[start, mark, pairs, differences], ...]``: integers only, so nothing is rounded."""
        return [
            [epoch.start, epoch.mark, epoch.differences.pairs, epoch.differences.to_list()] for epoch in self.epochs
        ]

    @classmethod
    def from_json(cls, written: list[list[Any]]) -> History:
        """Return what ``to_json`` wrote; raise ``ValueError`` when epochs do not follow one another."""
        history = cls()
        for start, mark, pairs, differences in written:
            if start != history.pairs or start % SPACING:
                raise ValueError(f"an epoch starts at pair {start}, {history.pairs} was expected: the state is damaged")
            history.epochs.append(Epoch(start, mark, Differences.from_list(pairs, differences)))
            history.pairs += pairs
        return history


def _log_sum(values: NDArray[np.float64]) -> float:
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum()))
