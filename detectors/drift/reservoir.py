"""A uniform sample of a stream of numbered exchanges that several workers can keep and merge.

Each number has a fixed random priority; the sample is the ``size`` numbers with the lowest. Which numbers those are
depends on the set seen and on the seed alone: merging is union, order does not matter, and an exchange that two
workers both report is sampled once (bottom-k sampling; Cohen and Kaplan, PODC 2007).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from detectors.drift.uniforms import uniforms


class Reservoir:
    """At most ``size`` of the numbers added, each equally likely. Numbers are at least 0."""

    def __init__(self, size: int, *, seed: int = 0) -> None:
        if size < 1:
            raise ValueError(f"a reservoir holds at least one number, got {size}")
        self.size = size
        self.seed = seed
        self._kept: dict[int, float] = {}

    def add(self, numbers: Iterable[int]) -> None:
        """Consider more numbers; one that was considered before changes nothing."""
        for number in numbers:
            self._kept[number] = float(uniforms(self.seed, number, 1, 1)[0, 0])
        self._cut()

    def merge(self, other: Reservoir) -> None:
        """Make this the sample of both. Raises ValueError if size or seed differ."""
        if (other.size, other.seed) != (self.size, self.seed):
            raise ValueError(f"cannot merge reservoirs {(self.size, self.seed)} and {(other.size, other.seed)}")
        self._kept.update(other._kept)
        self._cut()

    def numbers(self) -> tuple[int, ...]:
        """Return the sampled numbers, ascending."""
        return tuple(sorted(self._kept))

    def _cut(self) -> None:
        if len(self._kept) > self.size:
            lowest = sorted(self._kept.items(), key=lambda pair: (pair[1], pair[0]))[: self.size]
            self._kept = dict(lowest)


def sample_numbers(numbers: Iterable[int], size: int, *, seed: int = 0) -> tuple[int, ...]:
    """Return at most ``size`` of ``numbers``, uniformly, ascending; the same whatever their order."""
    given = np.unique(np.fromiter(numbers, dtype=np.int64))
    if len(given) <= size:
        return tuple(int(one) for one in given)
    priorities = np.array([float(uniforms(seed, int(one), 1, 1)[0, 0]) for one in given])
    return tuple(sorted(int(one) for one in given[np.argsort(priorities, kind="stable")[:size]]))
