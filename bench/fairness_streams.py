"""Many streams of paired binary outcomes at once, watched by the arithmetic of ``detectors.fairness``.

A stream is given by the probabilities that a pair differs in one direction and in the other. All streams go in step,
in blocks as long as the spacing of starts, so they have the same starts at the same time. A block is looked at pair by
pair only in streams whose evidence could reach the limit inside it; in the others no look could have alarmed.
``tests/unit/bench`` compares this with the monitor itself, stream by stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.fairness.evidence import BETS, LARGEST_GROWTH, log_evidence
from detectors.fairness.history import FIRST_SHARE, KEPT, SPACING

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NEVER: Final = -1


@dataclass(frozen=True, slots=True)
class Rates:
    """The share of pairs in which only the group, and only the other, has the outcome."""

    up: float
    down: float

    @classmethod
    def of(cls, group: float, other: float) -> Rates:
        """Return the rates of independent outcomes with these probabilities."""
        return cls(group * (1 - other), other * (1 - group))

    @property
    def gap(self) -> float:
        """The mean difference."""
        return self.up - self.down

    @property
    def variance(self) -> float:
        """The variance of the difference."""
        return self.up + self.down - self.gap**2


def draw_block(rng: np.random.Generator, streams: int, length: int, rates: Rates) -> NDArray[np.int8]:
    """Return differences, ``(streams, length)``, each -1, 0 or 1."""
    drawn = rng.random((streams, length))
    return (drawn < rates.up).astype(np.int8) - (drawn >= 1 - rates.down).astype(np.int8)


def first_alarms(
    rng: np.random.Generator,
    streams: int,
    pairs: int,
    rates_at: Callable[[int], Rates],
    epsilon: float,
    alpha: float,
    progress: Callable[[int, int], None] | None = None,
) -> Ints:
    """Return after how many pairs each stream first alarmed, looking at every pair; -1 for those that never did.

    ``rates_at`` gives the rates by the number of the pair that a block begins with. Streams that alarmed are dropped.
    """
    alarms = np.full(streams, NEVER, dtype=np.int64)
    alive = np.arange(streams)
    starts: list[int] = []
    up = np.zeros((streams, 0), dtype=np.int64)
    down = np.zeros((streams, 0), dtype=np.int64)
    limit = -np.log(alpha)
    for begin in range(0, pairs, SPACING):
        starts, kept = _next_starts(starts, begin)
        up, down = (np.pad(one[:, kept], ((0, 0), (0, 1))) for one in (up, down))
        block = draw_block(rng, len(alive), min(SPACING, pairs - begin), rates_at(begin))
        before = _evidence(up, down, begin, starts, epsilon)
        most = np.maximum((block > 0).sum(axis=1), (block < 0).sum(axis=1))
        close = np.flatnonzero(before + most * np.log(LARGEST_GROWTH) >= limit)
        hit = _look_inside(block[close], up[close], down[close], begin, starts, epsilon, limit)
        alarmed = close[hit != NEVER]
        alarms[alive[alarmed]] = hit[hit != NEVER]
        up += (block > 0).sum(axis=1, keepdims=True)
        down += (block < 0).sum(axis=1, keepdims=True)
        if alarmed.size:
            alive = np.delete(alive, alarmed)
            up, down = np.delete(up, alarmed, axis=0), np.delete(down, alarmed, axis=0)
        if progress is not None and begin // SPACING % 500 == 0:
            progress(begin, len(alive))
        if not alive.size:
            break
    return alarms


def _look_inside(
    block: NDArray[np.int8], up: Ints, down: Ints, begin: int, starts: list[int], epsilon: float, limit: float
) -> Ints:
    hit = np.full(len(block), NEVER, dtype=np.int64)
    for place in range(block.shape[1] if len(block) else 0):
        up = up + (block[:, place : place + 1] > 0)
        down = down + (block[:, place : place + 1] < 0)
        # Without a difference no bet gains, so these looks cannot alarm.
        rows = np.flatnonzero((block[:, place] != 0) & (hit == NEVER))
        if rows.size:
            above = _evidence(up[rows], down[rows], begin + place + 1, starts, epsilon) >= limit
            hit[rows[above]] = begin + place + 1
    return hit


def _evidence(up: Ints, down: Ints, pairs: int, starts: list[int], epsilon: float) -> Floats:
    """Return the log evidence of every stream, as ``History.judge`` does of one."""
    bets = np.array(BETS)
    lengths = np.array([pairs - start for start in starts], dtype=np.float64)
    numbers = np.array(starts, dtype=np.float64) / SPACING
    shares = np.where(numbers == 0, FIRST_SHARE, (1 - FIRST_SHARE) / np.maximum(numbers * (numbers + 1), 1.0))
    gain, loss = np.log1p(bets), np.log1p(-bets)
    sides = [
        log_evidence(more[..., None] * gain + less[..., None] * loss, lengths, epsilon)
        for more, less in ((up, down), (down, up))
    ]
    started = np.exp(np.stack(sides) + np.log(shares)).sum(axis=(0, 2)) / 2
    return np.asarray(np.log(started + (1 - FIRST_SHARE) / max(1, -(-pairs // SPACING))))


def _next_starts(starts: list[int], pairs: int) -> tuple[list[int], list[int]]:
    """Return the starts kept when a new one begins after ``pairs`` pairs, and the places of the old ones among them."""
    kept = [
        place
        for place, start in enumerate(starts)
        if start == 0 or pairs - start <= KEPT * SPACING * (start // SPACING & -(start // SPACING))
    ]
    return [*(starts[place] for place in kept), pairs], kept
