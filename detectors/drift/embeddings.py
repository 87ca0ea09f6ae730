"""Watches a stream of sentence embeddings for drift away from a reference.

**Guarantee.** While the stream is exchangeable with the reference (nothing has changed), the chance of an alarm among
the first n exchanges is at most n·alpha/2, for every n, every size of the reference and every way of looking; so the
average run length to a false alarm is at least 1/alpha. docs/decisions/0010 has the proof. In short: each *view* bets
on what is exactly fair under no change, and restarts in the manner of Shiryaev and Roberts, R becoming (R + 1) ·
return, so that R - n is a martingale and P(max R >= c) <= n/c by Doob. Views know different things, so their average
need not be a valid process; each has a share of alpha instead, and their chances add.

Views: the *cell* an exchange falls into, its *distance* off the directions in which the reference varies, and where it
lies along the *main* one, frozen with the reference and ranked in a pool that grows (``ranks``); a classifier and a
kernel witness that learn all the time and bet against *fresh* reference rows, in two statistics that restart half a
cycle apart (``fresh``); and what the classifier learned from a whole *block* of 32, 256 or 1,024 exchanges, frozen and
ranked over the next block (``blocks``): the longer, the weaker the change that it finds.

State is sums and counters, about 20 kB stored, whatever the length of the stream. Reading an exchange costs O(dim ·
64), taking it in some thousand multiplications.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.drift.bets import IntervalBets, MovedBets, TailBets
from detectors.drift.blocks import BLOCKS, LearnedBlocks
from detectors.drift.cells import tree_intervals
from detectors.drift.directions import Teacher
from detectors.drift.fresh import FreshBets
from detectors.drift.packing import pack, unpack
from detectors.drift.ranks import rank_and_extend
from detectors.drift.reference import Reference, usable_rows
from detectors.drift.restarts import RestartedWealth
from detectors.drift.uniforms import uniforms
from detectors.errors import DriftInputError, DriftStateError, OtherEncoderError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

VIEWS: Final = ("cells", "distance", "main", *(f"block_{length}" for length in BLOCKS), "fresh", "fresh_later")
SHARES: Final = np.array([0.06, 0.1, 0.12, 0.14, 0.14, 0.14, 0.15, 0.15])
_FROZEN: Final = 3
_RANKED: Final = _FROZEN + len(BLOCKS)
# The number counts formats: what an earlier release stored has another kind, and is refused as such.
_KIND: Final = "embedding-monitor-2"


@dataclass(frozen=True, slots=True)
class Readings:
    """What a monitor needs to know of a batch of exchanges: whole numbers, computed without the monitor's state.

    ``usable`` (n,) says which exchanges had an embedding that means something; the other arrays have a row for each
    of those only. Computing readings is most of the work and can be done by any worker at any time; only
    ``EmbeddingMonitor.advance`` must be in order.
    """

    reference: str
    usable: npt.NDArray[np.bool_]
    whole: npt.NDArray[np.float32]
    features: FloatArray
    bins: IntArray


@dataclass(frozen=True, slots=True)
class Alarm:
    """Drift was found at exchange ``at``; by the evidence it began about ``onset`` (both counted from 0).

    ``statistic`` is at least 1/alpha. ``view`` is the view whose bets won.
    """

    at: int
    onset: int
    statistic: float
    view: str


@dataclass(frozen=True, slots=True)
class Advance:
    """What a batch did: the statistic after each exchange (n,), unchanged by unusable ones, and the alarms raised."""

    statistic: FloatArray
    alarms: tuple[Alarm, ...]


class EmbeddingMonitor:
    """The streaming monitor of one reference. Not for use from two threads at once.

    ``alpha`` in (0, 1) is one over the wanted run length. The same readings in one batch or in many leave bit-identical
    states, and ``from_bytes(to_bytes())`` continues as if nothing had happened.
    """

    def __init__(self, reference: Reference, *, alpha: float, seed: int = 0, teacher: Teacher | None = None) -> None:
        if not 0.0 < alpha < 1.0:
            raise DriftInputError(f"alpha must lie between 0 and 1, got {alpha!r}")
        self.reference = reference
        self.alpha = alpha
        self.seed = seed
        self.seen = 0
        self.unusable = 0
        self.alarms = 0
        self._teacher = teacher or Teacher(reference)
        intervals = tree_intervals(reference.cell_masses)
        # A reference of a single cell has no interval to bet on; its one bet then always pays one.
        self._bets = (
            IntervalBets(intervals) if len(intervals) else None,
            TailBets(two_sided=True),
            MovedBets(),
            *(TailBets(two_sided=False) for _ in BLOCKS),
        )
        weights = [np.ones(1) if one is None else one.weights for one in self._bets]
        self._starts = np.concatenate([[0], np.cumsum([len(one) for one in weights])])
        self._weights = np.concatenate(weights)
        self._wealth = RestartedWealth(self._weights.shape)
        self._live = np.zeros(len(self._weights))
        self._fresh = FreshBets(self._teacher)
        self._blocks = LearnedBlocks(self._teacher)
        self._views = np.zeros(len(VIEWS))
        self._restart()

    @property
    def statistic(self) -> float:
        """The statistic now; an alarm is raised when it reaches 1/alpha."""
        # Half of alpha: from P(alarm within n) <= n·alpha/2 follows a run length of at least 1/alpha.
        return float((self._views * SHARES).max()) / 2.0

    def read(self, vectors: npt.ArrayLike, *, encoder: str) -> Readings:
        """Return the readings of ``(n, dim)`` embeddings made by ``encoder``.

        Raises OtherEncoderError when encoder or dimension differ from the reference's; embeddings are never mixed.
        """
        given = np.asarray(vectors, dtype=np.float64)
        reference = self.reference
        if encoder != reference.encoder:
            raise OtherEncoderError(f"the reference holds embeddings of {reference.encoder}, these are of {encoder}")
        if given.ndim != 2 or given.shape[1] != reference.dim:
            raise OtherEncoderError(f"the reference holds embeddings of length {reference.dim}, got {given.shape}")
        usable = usable_rows(given)
        coordinates = reference.projection.apply(given[usable])
        return Readings(
            reference=reference.digest,
            usable=usable,
            whole=reference.whole.apply(given[usable], coordinates).astype(np.float32),
            features=reference.features.apply(coordinates),
            bins=reference.frozen_bins(coordinates),
        )

    def advance(self, readings: Readings) -> Advance:
        """Take in a batch, in the order of the exchanges, and return what came of it."""
        if readings.reference != self.reference.digest:
            raise DriftStateError("the readings were made with another reference")
        positions = np.flatnonzero(readings.usable)
        numbers = self.seen + self.unusable + positions
        # The last value stands for unusable exchanges at the beginning.
        values = np.empty(len(positions) + 1)
        values[0] = self.statistic
        alarms: list[Alarm] = []
        taken = 0
        while taken < len(positions):
            part = slice(taken, min(len(positions), taken + self._fresh.room()))
            taken += self._advance_group(readings, part, numbers[part], values[taken + 1 :], alarms)
        self.unusable += len(readings.usable) - len(positions)
        self.alarms += len(alarms)
        return Advance(values[np.cumsum(readings.usable)], tuple(alarms))

    def _advance_group(
        self, readings: Readings, part: slice, numbers: IntArray, values: FloatArray, alarms: list[Alarm]
    ) -> int:
        """Take in exchanges of one group, up to the first alarm; return how many were taken."""
        bins = np.concatenate([readings.bins[part], self._blocks.bins(readings.whole[part])], axis=1)
        told_apart = self._tell_apart(bins)
        returns = self._ranked_returns(bins)
        last = len(numbers) - 1
        starts = self._starts[:-1]
        row = 0
        for row, number in enumerate(numbers):
            self._wealth.add(returns[row], int(number), self._live)
            self._views[:_RANKED] = told_apart[row] * np.add.reduceat(self._wealth.total * self._weights, starts)
            if row == last:
                self._fresh.advance((readings.whole[part], readings.features[part]), numbers)
                # Wealth against fresh rows is a fair game from group to group only.
                if self._fresh.at_rest:
                    self._views[_RANKED:] = self._fresh.statistics
            values[row] = self.statistic
            if values[row] >= 1.0 / self.alpha:
                alarms.append(self._alarm(int(number), float(values[row])))
                # What was worked out for the exchanges after an alarm is void.
                part = slice(part.start, part.start + row + 1)
                if row < last:
                    self._fresh.advance((readings.whole[part], readings.features[part]), numbers[: row + 1])
                self._restart()
                break
        else:
            self._blocks.gather(readings.whole[part])
        self.seen += row + 1
        for block in self._blocks.complete(self.seen):
            self._pools[_FROZEN + block] = self._blocks.learn(block, self._fresh)
            self._begin_view(_FROZEN + block, live=True)
        return row + 1

    def _tell_apart(self, bins: IntArray) -> npt.NDArray[np.bool_]:
        """Return for each exchange and ranked view (n, 6) whether its pool holds more than one bin by then.

        Ranks in a pool of a single bin are coins alone, which must not alarm anybody.
        """
        occupied = self._pools > 0
        others = np.cumsum(bins != occupied.argmax(axis=1), axis=0) > 0
        several: npt.NDArray[np.bool_] = others | (occupied.sum(axis=1) > 1)
        return several

    def _ranked_returns(self, bins: IntArray) -> FloatArray:
        """Return what each bet of the ranked views pays (n, bets), and take the exchanges into the pools."""
        ranks = rank_and_extend(self._pools, bins, uniforms(self.seed, self.seen, len(bins), _RANKED))
        returns = np.ones((len(bins), len(self._weights)))
        for view, bets in enumerate(self._bets):
            part = slice(self._starts[view], self._starts[view + 1])
            if bets is not None and self._live[part.start] > 0.0:
                returns[:, part] = bets.returns(ranks[:, view])
        return returns

    def _begin_view(self, view: int, *, live: bool) -> None:
        part = slice(self._starts[view], self._starts[view + 1])
        self._wealth.clear(part)
        self._live[part] = float(live)
        self._views[view] = 0.0

    def _alarm(self, at: int, statistic: float) -> Alarm:
        view = int((self._views * SHARES).argmax())
        if view >= _RANKED:
            onset = self._fresh.onset(view - _RANKED)
        else:
            part = slice(self._starts[view], self._starts[view + 1])
            onset = self._wealth.onset(part, self._weights[part])
        return Alarm(at, onset, statistic, VIEWS[view])

    def _restart(self) -> None:
        """Begin anew with the same reference, as after an alarm: what drifted must not become the new usual unasked.

        A learned block begins with the next one.
        """
        self._pools = np.zeros((_RANKED, self.reference.pools.shape[1]), dtype=np.int64)
        self._pools[:_FROZEN] = self.reference.pools
        for view in range(_RANKED):
            self._begin_view(view, live=view < _FROZEN)
        self._blocks.restart()
        self._fresh.restart()
        self._views[:] = 0.0

    def to_bytes(self) -> bytes:
        """Return the state: bytes from which ``from_bytes`` continues bit for bit."""
        values: dict[str, Any] = {
            "alpha": self.alpha,
            "seed": self.seed,
            "seen": self.seen,
            "unusable": self.unusable,
            "alarms": self.alarms,
            "reference": self.reference.digest,
        }
        arrays = {
            **self._wealth.to_arrays(),
            "live": self._live > 0.0,
            "views": self._views,
            "pools": self._pools,
        }
        arrays |= {f"block_{name}": array for name, array in self._blocks.to_arrays().items()}
        arrays |= {f"fresh_{name}": array for name, array in self._fresh.to_arrays().items()}
        return pack(_KIND, values, arrays)

    @classmethod
    def from_bytes(cls, data: bytes, reference: Reference, *, teacher: Teacher | None = None) -> EmbeddingMonitor:
        """Restore a monitor. Raises DriftStateError if the bytes are damaged or belong to another reference."""
        values, arrays = unpack(_KIND, data)
        if values["reference"] != reference.digest:
            raise DriftStateError("the stored monitor belongs to another reference")
        monitor = cls(reference, alpha=values["alpha"], seed=values["seed"], teacher=teacher)
        monitor.seen, monitor.unusable, monitor.alarms = values["seen"], values["unusable"], values["alarms"]
        monitor._wealth.restore(arrays)
        monitor._live, monitor._views = arrays["live"].astype(np.float64), arrays["views"]
        monitor._pools = arrays["pools"]
        monitor._blocks.restore(_named(arrays, "block_"))
        monitor._fresh.restore(monitor.seen, _named(arrays, "fresh_"))
        return monitor


def _named(arrays: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
