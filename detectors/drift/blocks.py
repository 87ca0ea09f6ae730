"""Learned directions that are frozen for a while: what a block of exchanges taught is bet on during the next one.

**Guarantee.** A direction is fixed by exchanges before its block. Held-out rows had no part in it, so they and the
block's exchanges are exchangeable if nothing has changed, and ranks in a pool of them are exactly uniform until the
block ends (``ranks``). The next block begins with the same held-out rows and no wealth: what it may alarm by chance is
added, not multiplied, so rows are used again without being worn out.

Three lengths, because a direction learned from few exchanges finds strong changes at once and weak ones never. Beside
``fresh``, which learns from exchange to exchange against few rows, a block ranks among all of them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.drift.directions import RankedDirection, Teacher
from detectors.drift.fresh import FreshBets

FloatArray = npt.NDArray[np.float64]

BLOCKS: Final = (32, 256, 1024)
"""Lengths in exchanges; each a multiple of ``fresh.GROUP``."""


class LearnedBlocks:
    """What each length gathers for its next block, and the direction of its present one."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        width = len(teacher.means["whole"])
        self._sums = np.zeros((len(BLOCKS), width))
        self._counts = np.zeros(len(BLOCKS))
        self.restart()

    def restart(self) -> None:
        """Forget what was gathered and learned, as after an alarm; bets begin again with each length's next block."""
        self._sums[:] = 0.0
        self._counts[:] = 0.0
        self._learned: list[RankedDirection | None] = [None] * len(BLOCKS)

    def bins(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return ``(n, 3)``: the bin of each row (n, width) along each present direction; 0 where there is none."""
        found = np.zeros((len(rows), len(BLOCKS)), dtype=np.int64)
        for block, direction in enumerate(self._learned):
            if direction is not None:
                found[:, block] = direction.bins(rows)
        return found

    def gather(self, rows: npt.NDArray[np.float32]) -> None:
        """Count rows in; they teach the next blocks."""
        self._sums += rows.sum(axis=0)
        self._counts += len(rows)

    def complete(self, seen: int) -> list[int]:
        """Return which lengths have completed a block with exchange ``seen``, and have something to learn from."""
        return [block for block, length in enumerate(BLOCKS) if seen % length == 0 and self._counts[block] > 0.0]

    def learn(self, block: int, usual: FreshBets) -> npt.NDArray[np.int64]:
        """Begin a block with what the last one taught; return its first pool (128,): the held-out rows, counted."""
        sums, count = self._sums[block], float(self._counts[block])
        direction, pool = self._teacher.learn_block(
            sums / count, count, usual.usual_mean_before(0, sums, count), usual.usual_count - count
        )
        self._learned[block] = direction
        self._sums[block] = 0.0
        self._counts[block] = 0.0
        return pool

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state by name."""
        weights = np.zeros(self._sums.shape, dtype=np.int8)
        scales = np.zeros((len(BLOCKS), 2))
        for block, direction in enumerate(self._learned):
            if direction is not None:
                weights[block] = direction.weights
                scales[block] = direction.centre, direction.deviation
        return {"sums": self._sums, "counts": self._counts, "weights": weights, "scales": scales}

    def restore(self, named: dict[str, npt.NDArray[Any]]) -> None:
        """Take back what ``to_arrays`` returned."""
        self._sums, self._counts = named["sums"], named["counts"]
        for block, (centre, deviation) in enumerate(named["scales"]):
            # A direction that was learned has a deviation.
            if deviation > 0.0:
                weights = named["weights"][block].astype(np.float32)
                self._learned[block] = RankedDirection(weights, float(centre), float(deviation))
