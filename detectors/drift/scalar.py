"""Watches one number of every exchange (a score, latency, length, tokens, refused or not) for a change either way.

**Guarantee.** While the values are exchangeable, the average run length to a false alarm is at least 1/alpha, for
streams of any length. A value becomes its rank among all values so far, which is exactly uniform
(``detectors.drift.ranks``), and the monitor bets that the mean of that bounded rank is not one half, or that a part
of the traffic moved to one end. The statistic is of Shiryaev–Roberts kind: R becomes (R + 1) · return, so R - n is a
martingale, and the alarm at R >= 1/alpha is optional stopping. Ranks make outliers harmless and units irrelevant: a
latency of an hour is one more rank.

The first ``settle`` values are the reference: they fill the pool and are not bet on. After an alarm the pool is theirs
alone again, so that what drifted does not become the new usual unasked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from detectors.drift.bets import TailBets
from detectors.drift.packing import pack, unpack
from detectors.drift.ranks import rank_and_extend
from detectors.drift.restarts import RestartedWealth
from detectors.drift.uniforms import uniforms
from detectors.errors import DriftInputError

FloatArray = npt.NDArray[np.float64]
Scale = Literal["unit", "positive"]

SETTLE: Final = 500
_WIDTH: Final = 256
# Positive quantities, from a tenth of a thousandth to a hundred million: 24 octaves of ratio, about 11 % a bin.
_LOWEST: Final = 1e-4
_HIGHEST: Final = 1e8
_EDGES: Final = np.geomspace(_LOWEST, _HIGHEST, _WIDTH - 1)
_CHUNK: Final = 64
_KIND: Final = "scalar-monitor"
_BETS: Final = TailBets(two_sided=True)


@dataclass(frozen=True, slots=True)
class ScalarAlarm:
    """The number changed at about ``onset``, as was found at ``at`` (exchanges of this monitor, from 0).

    ``statistic`` is at least 1/alpha; ``direction`` says where values went.
    """

    at: int
    onset: int
    statistic: float
    direction: Literal["up", "down"]


class ScalarMonitor:
    """The streaming monitor of one number. Values in batches or one by one leave bit-identical states.

    ``scale`` "unit" is for scores and rates in [0, 1], "positive" for quantities. State is 512 counters and 144 sums.
    """

    def __init__(self, *, alpha: float, scale: Scale = "unit", settle: int = SETTLE, seed: int = 0) -> None:
        if not 0.0 < alpha < 1.0:
            raise DriftInputError(f"alpha must lie between 0 and 1, got {alpha!r}")
        if settle < 1:
            raise DriftInputError(f"a reference has at least one value, got {settle}")
        self.alpha = alpha
        self.scale: Scale = scale
        self.settle = settle
        self.seed = seed
        self.seen = 0
        self.unusable = 0
        self.alarms = 0
        self._pool = np.zeros((1, _WIDTH), dtype=np.int64)
        self._base = self._pool.copy()
        self._weights = _BETS.weights
        self._wealth = RestartedWealth(self._weights.shape)

    @property
    def statistic(self) -> float:
        """The statistic now; an alarm is raised when it reaches 1/alpha."""
        # Ranks in a pool of a single value are coins alone, which must not alarm anybody.
        told_apart = int((self._pool > 0).sum()) > 1
        return float((self._wealth.total * self._weights).sum()) if told_apart else 0.0

    def advance(self, values: Sequence[float] | FloatArray) -> tuple[FloatArray, tuple[ScalarAlarm, ...]]:
        """Take in values in the order of their exchanges; return the statistic after each, and the alarms raised.

        NaN stands for a value that is missing or not assessed: it changes nothing but the number of exchanges.
        """
        given = np.asarray(values, dtype=np.float64).reshape(-1)
        trace = np.empty(len(given))
        alarms: list[ScalarAlarm] = []
        for start in range(0, len(given), _CHUNK):
            self._advance_chunk(given[start : start + _CHUNK], trace[start : start + _CHUNK], alarms)
        self.alarms += len(alarms)
        return trace, tuple(alarms)

    def _advance_chunk(self, given: FloatArray, trace: FloatArray, alarms: list[ScalarAlarm]) -> None:
        usable = np.isfinite(given)
        bins = _to_bins(np.where(usable, given, 0.0), self.scale)
        coins = uniforms(self.seed, self.seen, int(usable.sum()), 1)
        ranks = returns = np.zeros((0, 0))
        row = ready = 0
        current = self.statistic
        for position, counts in enumerate(usable):
            trace[position] = current
            if not counts:
                self.unusable += 1
                continue
            if row == ready:
                # Ranks are worked out ahead, up to where an alarm makes them void.
                ahead = bins[position:][usable[position:]]
                ranks = rank_and_extend(self._pool.copy(), ahead[:, None], coins[row:])[:, 0]
                returns = _BETS.returns(ranks)
                begun, ready = row, len(coins)
            self._pool[0, bins[position]] += 1
            if self.seen == self.settle - 1:
                self._base = self._pool.copy()
            elif self.seen >= self.settle:
                self._wealth.add(returns[row - begun], self.seen + self.unusable)
                current = trace[position] = self.statistic
                if current >= 1.0 / self.alpha:
                    alarms.append(self._alarm(self.seen + self.unusable, current))
                    self._wealth.clear()
                    self._pool = self._base.copy()
                    ready = row + 1
            self.seen += 1
            row += 1

    def _alarm(self, at: int, statistic: float) -> ScalarAlarm:
        half = len(self._weights) // 2
        upward = self._wealth.total[:half].sum() >= self._wealth.total[half:].sum()
        return ScalarAlarm(at, self._wealth.onset(), statistic, "up" if upward else "down")

    def to_bytes(self) -> bytes:
        """Return the state: bytes from which ``from_bytes`` continues bit for bit."""
        names = ("alpha", "scale", "settle", "seed", "seen", "unusable", "alarms")
        arrays = {"pool": self._pool, "base": self._base, **self._wealth.to_arrays()}
        return pack(_KIND, {name: getattr(self, name) for name in names}, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> ScalarMonitor:
        """Restore a monitor. Raises DriftStateError if the bytes are damaged."""
        values, arrays = unpack(_KIND, data)
        monitor = cls(alpha=values["alpha"], scale=values["scale"], settle=values["settle"], seed=values["seed"])
        monitor.seen, monitor.unusable, monitor.alarms = values["seen"], values["unusable"], values["alarms"]
        monitor._pool, monitor._base = arrays["pool"], arrays["base"]
        monitor._wealth.restore(arrays)
        return monitor


def _to_bins(values: FloatArray, scale: Scale) -> npt.NDArray[np.int64]:
    """Return the bin of each value; what lies outside the scale goes to its first or last bin."""
    if scale == "unit":
        return np.clip(np.floor(values * _WIDTH), 0, _WIDTH - 1).astype(np.int64)
    return np.searchsorted(_EDGES, values, side="right").astype(np.int64)
