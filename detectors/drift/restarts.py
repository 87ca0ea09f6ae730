"""Wealth that restarts at every exchange, and where the largest of it began.

Shiryaev–Roberts: R becomes (R + 1) · return, the sum of what bets begun at each exchange have made; while returns are
one on average, R minus the number of exchanges is a martingale. Beside it runs Page's statistic, which keeps the best
single start: what it has made by an alarm, and since when, is the likeliest onset of the change.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class RestartedWealth:
    """Wealth of some bets, in an array of any shape. ``total`` is R; ``best`` and ``since`` are Page's."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.total = np.zeros(shape)
        self.best = np.zeros(shape)
        self.since = np.zeros(shape)

    def add(self, returns: FloatArray, number: int, live: FloatArray | float = 1.0) -> None:
        """Take the returns of exchange ``number``; bets whose ``live`` is 0 start nothing (and have nothing)."""
        self.total += live
        self.total *= returns
        begun = self.best <= 1.0
        self.since[begun] = number
        np.maximum(self.best, 1.0, out=self.best)
        self.best *= returns * live

    def clear(self, part: slice = slice(None)) -> None:
        """Forget the wealth of some bets."""
        self.total[part] = 0.0
        self.best[part] = 0.0

    def onset(self, part: slice = slice(None), weights: FloatArray | float = 1.0) -> int:
        """Return since when the bet that has made most, among those of ``part``, has made it."""
        best = (self.best[part] * weights).reshape(-1)
        return int(self.since[part].reshape(-1)[best.argmax()])

    def to_arrays(self) -> dict[str, FloatArray]:
        """Return the state by name."""
        return {"total": self.total, "best": self.best, "since": self.since}

    def restore(self, arrays: dict[str, FloatArray]) -> None:
        """Take back what ``to_arrays`` returned."""
        self.total, self.best, self.since = arrays["total"], arrays["best"], arrays["since"]
