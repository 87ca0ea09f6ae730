"""Exact, additive sums of paired differences: everything the fairness statistics need to remember.

An outcome in [0, 1] is read to 1/65,536, so a difference D = Y_group - Y_other is a whole number of these units. Its
weight of 1,024 is shared between the two nearest of 129 points, 1/64 apart, so that the mean is kept exactly. All
sums are integers: adding them up in another order, or in two workers, gives the same bits.

Intuition: wealth of a bet is the product of 1 + bet * D over all pairs, and a histogram of D is all that product needs,
for every bet at once. The logarithm is concave, so sharing a difference between its neighbours can only understate
the wealth, never overstate it: the guarantee stays, at a loss of less than 1/16,000 a pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

UNIT: Final = 65_536
"""Units in one whole outcome."""
STEP: Final = 1_024
"""Units between two points of the histogram, and the weight of one pair."""
POINTS: Final = 2 * UNIT // STEP + 1
"""Points of the histogram, from -1 to 1."""


def outcome_to_units(outcome: float) -> int:
    """Return an outcome in [0, 1] as whole units; raise ``ValueError`` for NaN and anything outside."""
    if not math.isfinite(outcome) or not 0.0 <= outcome <= 1.0:
        raise ValueError(f"an outcome must be a number in [0, 1], got {outcome!r}")
    return round(outcome * UNIT)


@dataclass(slots=True)
class Differences:
    """How often each difference was seen; ``weights`` maps points (0 is -1, 128 is 1) to 1,024ths of pairs."""

    pairs: int = 0
    weights: dict[int, int] = field(default_factory=dict)

    def add(self, difference: int) -> None:
        """Count one difference, in units from -65,536 to 65,536."""
        point, rest = divmod(difference + UNIT, STEP)
        self.weights[point] = self.weights.get(point, 0) + STEP - rest
        if rest:
            self.weights[point + 1] = self.weights.get(point + 1, 0) + rest
        self.pairs += 1

    def merge(self, other: Differences) -> None:
        """Add everything ``other`` has counted; exact, and the same in any order."""
        self.pairs += other.pairs
        for point, weight in other.weights.items():
            self.weights[point] = self.weights.get(point, 0) + weight

    def mean(self) -> float | None:
        """Return the mean difference in [-1, 1]; ``None`` before the first pair."""
        if not self.pairs:
            return None
        total = sum((point * STEP - UNIT) * weight for point, weight in self.weights.items())
        return total / (self.pairs * STEP * UNIT)

    def to_list(self) -> list[list[int]]:
        """Return ``[[point, weight], ...]`` by point, for JSON."""
        return [[point, weight] for point, weight in sorted(self.weights.items())]

    @classmethod
    def from_list(cls, pairs: int, written: list[list[int]]) -> Differences:
        """Return what ``to_list`` wrote; raise ``ValueError`` unless the weights are those of ``pairs`` pairs."""
        weights = {int(point): int(weight) for point, weight in written}
        _check(pairs, weights)
        return cls(pairs, weights)


def _check(pairs: int, weights: Mapping[int, int]) -> None:
    sound = all(0 <= point < POINTS and weight > 0 for point, weight in weights.items())
    if not sound or sum(weights.values()) != pairs * STEP:
        raise ValueError(f"these are not the differences of {pairs} pairs: the stored state is damaged")
