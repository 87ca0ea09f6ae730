"""Bets against fresh reference rows, by learners that never stop learning.

**Guarantee.** Exchanges come in groups of eight. For each group, some held-out reference rows are drawn that have not
been used since the last restart; until then nothing depends on them. A bet is a positive function g, fixed before the
group from past exchanges alone. If nothing has changed, the group's exchanges and its fresh rows are exchangeable, so
given all that was seen before,

    return_i = g(x_i) / mean of g over the fresh rows and x_1 … x_i

multiplies to one on average over the group, from whichever of its exchanges one starts. Wealth in all bets is
therefore a martingale from group to group, *in one filtration*, so bets and learners are simply averaged.

The held-out rows are used up after some hundreds of exchanges. Then the statistic starts again from zero and the rows
are used again: within one cycle each row is used once, and the chances of a false alarm of all cycles are added
(docs/decisions/0010). Going on *without* starting again is the classic trap: the process then tests whether the
stream equals the finite reference, which it never does exactly. Two statistics start again half a cycle apart, so
that a change always meets one that has at least half a cycle before it.

A pool that grows (``detectors.drift.ranks``) needs no fresh rows but a score frozen beforehand; here the score follows
the stream, which finds changes nobody thought of.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.drift.directions import LEARNERS, Directions, Rows, Teacher
from detectors.drift.restarts import RestartedWealth

FloatArray = npt.NDArray[np.float64]

GROUP: Final = 8
MEMORIES: Final = (32, 128, 512)
STAGGERS: Final = 2
# How strongly a bet leans, in nats a standard score; and one that bets on a small share far out.
_TILTS: Final = (0.3, 0.7, 1.5)
_SHARE, _SHARE_TILT, _SHARE_SHIFT = 0.25, 2.0, 2.0
_LIMIT: Final = 4.0
_CYCLE: Final = 400
_FEWEST_ROWS: Final = 8
_MOST_ROWS: Final = 32
_KEPT: Final = 1.0 - GROUP / np.array(MEMORIES)
_SLOPES: Final = np.array([*_TILTS, _SHARE_TILT])
_SHIFTS: Final = np.array([0.0] * len(_TILTS) + [_SHARE_SHIFT])
_SAFE: Final = np.array([0.0] * len(_TILTS) + [1.0])
_AT_STAKE: Final = np.array([1.0] * len(_TILTS) + [_SHARE])
BETS: Final = len(LEARNERS) * len(MEMORIES) * (len(_TILTS) + 1)


class FreshBets:
    """State and arithmetic of the bets above for one stream. ``statistics`` is right at the end of each group."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        held = len(teacher.held["classifier"])
        rows = min(_MOST_ROWS, max(_FEWEST_ROWS, GROUP * held // _CYCLE))
        self._rows = min(rows, held)
        self._groups_in_cycle = max(STAGGERS, held // self._rows)
        self.count = 0
        self._wealth = RestartedWealth((STAGGERS, BETS))
        self._group = [np.zeros_like(teacher.means[name]) for name in LEARNERS]
        self._forget()
        self._paid = np.zeros(BETS)

    @property
    def statistics(self) -> FloatArray:
        """The mean wealth of each of the two staggered restarts (2,)."""
        found: FloatArray = self._wealth.total.mean(axis=1)
        return found

    def onset(self, stagger: int) -> int:
        """Return where, by the evidence, the change began, as a number of the stream."""
        return self._wealth.onset(slice(stagger, stagger + 1))

    def usual_mean(self, learner: int) -> FloatArray:
        """Return the mean of the teaching half and of the stream up to the last complete group, for
        ``LEARNERS[learner]``.
        """
        return self.usual_mean_before(learner, 0.0, 0.0)

    def usual_mean_before(self, learner: int, sums: FloatArray | float, count: float) -> FloatArray:
        """Return the same without ``count`` exchanges, which add up to ``sums``."""
        found: FloatArray = (self._usual[learner] - sums) / (self.usual_count - count)
        return found

    @property
    def at_rest(self) -> bool:
        """Whether the last group is complete."""
        return self.count % GROUP == 0

    def room(self) -> int:
        """How many more exchanges complete the group."""
        return GROUP - self.count % GROUP

    def advance(self, inputs: tuple[Rows, ...], numbers: npt.NDArray[np.int64]) -> None:
        """Take in at most ``room()`` exchanges: rows for each learner, and their numbers in the stream."""
        if self._recent_counts[0] > 0.0:
            directions = self._directions or self._learn()
            values = self._functions(directions, inputs)
            for row, value in enumerate(values):
                place = self._rows + self.count % GROUP + row + 1
                self._paid += value
                self._wealth.add(value * place / self._paid, int(numbers[row]))
        for learner, rows in enumerate(inputs):
            self._group[learner] += rows.sum(axis=0)
        self.count += len(numbers)
        if self.count % GROUP == 0:
            self._close_group()

    def restart(self) -> None:
        """Forget all wealth and all that was learned, as after an alarm; bets begin again with the next group."""
        self._wealth.clear()
        self._forget()

    def _forget(self) -> None:
        means = [self._teacher.means[name] for name in LEARNERS]
        self._recent = [np.zeros((len(MEMORIES), len(mean))) for mean in means]
        self._recent_counts = np.zeros(len(MEMORIES))
        self._usual = [mean * self._teacher.rows for mean in means]
        # How many exchanges ``usual_mean`` is the mean of.
        self.usual_count = float(self._teacher.rows)
        self._directions: list[Directions] | None = None

    def _learn(self) -> list[Directions]:
        """Fix the group's directions, and count its fresh rows into what the bets have been paid out of."""
        counts = self._recent_counts
        # Weights that fall off geometrically make a mean as sure as that of nearly twice as many exchanges.
        sure = counts * (1.0 + _KEPT) / (2.0 - counts / MEMORIES)
        self._directions = [
            self._teacher.learn_each(
                name, self._recent[learner] / counts[:, None], sure, self.usual_mean(learner), self.usual_count
            )
            for learner, name in enumerate(LEARNERS)
        ]
        if self.count % GROUP == 0:
            first = (self.count // GROUP) % self._groups_in_cycle * self._rows
            fresh = tuple(self._teacher.held[name][first : first + self._rows] for name in LEARNERS)
            self._paid = self._functions(self._directions, fresh).sum(axis=0)
        return self._directions

    def _functions(self, directions: list[Directions], inputs: tuple[Rows, ...]) -> FloatArray:
        """Return ``(n, bets)`` positive values of every bet's function."""
        scores = np.concatenate(
            [one.standard_scores(rows) for one, rows in zip(directions, inputs, strict=True)], axis=1
        )
        np.clip(scores, -_LIMIT, _LIMIT, out=scores)
        exponents = scores[:, :, None] * _SLOPES - _SHIFTS
        # The last bets on a share only.
        return (_SAFE + _AT_STAKE * _grow(exponents)).reshape(len(scores), BETS)

    def _close_group(self) -> None:
        self._recent_counts = self._recent_counts * _KEPT + GROUP
        for learner, sums in enumerate(self._group):
            # In float32, as it is stored: half the bytes, and more digits than a mean of some dozens has.
            fading = (self._recent[learner] * _KEPT[:, None] + sums).astype(np.float32)
            self._recent[learner] = fading.astype(np.float64)
        self.usual_count += GROUP
        for learner, sums in enumerate(self._group):
            self._usual[learner] = self._usual[learner] + sums
            self._group[learner] = np.zeros_like(sums)
        self._directions = None
        groups = self.count // GROUP
        for stagger in range(STAGGERS):
            if (groups + stagger * self._groups_in_cycle // STAGGERS) % self._groups_in_cycle == 0:
                self._wealth.clear(slice(stagger, stagger + 1))

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state by name; ``restore`` takes it back. ``count`` is kept by the caller."""
        named: dict[str, npt.NDArray[Any]] = {
            **self._wealth.to_arrays(),
            "counts": self._recent_counts,
            "usual_count": np.array([self.usual_count]),
            "paid": self._paid,
        }
        for learner, name in enumerate(LEARNERS):
            named[f"recent_{name}"] = self._recent[learner].astype(np.float32)
            named[f"usual_{name}"] = self._usual[learner]
            named[f"group_{name}"] = self._group[learner]
        return named

    def restore(self, count: int, named: dict[str, npt.NDArray[Any]]) -> None:
        """Take back what ``to_arrays`` returned after ``count`` exchanges."""
        self.count = count
        self._wealth.restore(named)
        self._recent_counts, self._paid = named["counts"], named["paid"]
        self.usual_count = float(named["usual_count"][0])
        self._recent = [named[f"recent_{name}"].astype(np.float64) for name in LEARNERS]
        self._usual = [named[f"usual_{name}"] for name in LEARNERS]
        self._group = [named[f"group_{name}"] for name in LEARNERS]


def _grow(exponents: FloatArray) -> FloatArray:
    """Return (1 + x/32)**32, which is near e**x and positive for x > -32, from multiplications alone."""
    value = 1.0 + exponents * (1.0 / 32.0)
    for _ in range(5):
        value = value * value
    return value
