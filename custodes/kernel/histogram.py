"""Fixed 128-bin histograms that merge by addition: the mathematics under every roll-up.

Two scales exist. ``LINEAR`` divides [0, 1] evenly and serves scores. ``LOG`` serves positive
quantities (milliseconds, tokens, currency): bin 0 holds zero and everything below ``LOG_LOW``, the
other 127 bins divide [LOG_LOW, LOG_HIGH] evenly in the logarithm, about 25 % a bin. A quantile is
interpolated inside its bin, so its error is at most one bin: 1/128 on the linear scale, 25 % of
the value on the logarithmic one.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

BINS = 128
LOG_LOW = 1e-4
LOG_HIGH = 1e8
_LOG_STEP = (math.log(LOG_HIGH) - math.log(LOG_LOW)) / (BINS - 1)
_FORMAT = struct.Struct(f"<{BINS}I")
_LOG_METRICS = frozenset({"latency_ms", "ttft_ms", "cost_usd", "input_tokens", "output_tokens"})


class Scale(Enum):
    """How values map to bins."""

    LINEAR = "linear"
    LOG = "log"


def metric_scale(metric: str) -> Scale:
    """Return the scale of a roll-up metric: logarithmic for quantities, linear for scores in [0, 1]."""
    return Scale.LOG if metric in _LOG_METRICS else Scale.LINEAR


def value_to_bin(value: float, scale: Scale) -> int:
    """Return the bin of a finite ``value``; values outside the scale land in its first or last bin.

    Raises ``ValueError`` for NaN and infinities: a score that isn't a number must never be counted.
    """
    if not math.isfinite(value):
        raise ValueError(f"a histogram takes finite numbers only, not {value!r}")
    if scale is Scale.LINEAR:
        return min(BINS - 1, max(0, int(value * BINS)))
    if value < LOG_LOW:
        return 0
    return min(BINS - 1, 1 + int((math.log(value) - math.log(LOG_LOW)) / _LOG_STEP))


def bin_bounds(index: int, scale: Scale) -> tuple[float, float]:
    """Return the lower and upper edge of a bin."""
    if scale is Scale.LINEAR:
        return index / BINS, (index + 1) / BINS
    if index == 0:
        return 0.0, LOG_LOW
    low = math.log(LOG_LOW) + (index - 1) * _LOG_STEP
    return math.exp(low), math.exp(low + _LOG_STEP)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of 128 bins on one scale. Immutable; ``merge`` and ``subtract`` give new ones."""

    counts: tuple[int, ...]
    scale: Scale = Scale.LINEAR

    @classmethod
    def empty(cls, scale: Scale = Scale.LINEAR) -> Histogram:
        """Return a histogram that holds nothing."""
        return cls((0,) * BINS, scale)

    @classmethod
    def of(cls, values: Iterable[float], scale: Scale = Scale.LINEAR) -> Histogram:
        """Return the histogram of ``values``."""
        counts = [0] * BINS
        for value in values:
            counts[value_to_bin(value, scale)] += 1
        return cls(tuple(counts), scale)

    @classmethod
    def from_bytes(cls, data: bytes, scale: Scale = Scale.LINEAR) -> Histogram:
        """Return the histogram stored in 512 bytes (128 little-endian uint32)."""
        if len(data) != _FORMAT.size:
            raise ValueError(f"a stored histogram has {_FORMAT.size} bytes, not {len(data)}")
        return cls(_FORMAT.unpack(data), scale)

    def to_bytes(self) -> bytes:
        """Return 512 bytes (128 little-endian uint32)."""
        return _FORMAT.pack(*self.counts)

    @property
    def total(self) -> int:
        """How many values were counted."""
        return sum(self.counts)

    def merge(self, other: Histogram) -> Histogram:
        """Return the sum of both; the scales must agree."""
        self._check_scale(other)
        return Histogram(tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)), self.scale)

    def subtract(self, other: Histogram) -> Histogram:
        """Return this without ``other``; used when an exchange is scored again."""
        self._check_scale(other)
        return Histogram(tuple(max(0, a - b) for a, b in zip(self.counts, other.counts, strict=True)), self.scale)

    def quantile(self, q: float) -> float | None:
        """Return the ``q``-quantile (0 ≤ q ≤ 1), interpolated in its bin; ``None`` when nothing was counted."""
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile lies in [0, 1], not {q!r}")
        total = self.total
        if total == 0:
            return None
        rank = q * total
        seen = 0
        for index, count in enumerate(self.counts):
            if count and seen + count >= rank:
                low, high = bin_bounds(index, self.scale)
                return low + (high - low) * max(0.0, (rank - seen) / count)
            seen += count
        return bin_bounds(BINS - 1, self.scale)[1]

    def rate_above(self, threshold: float) -> float | None:
        """Return the share of values above ``threshold``, exact at bin edges; ``None`` when empty."""
        total = self.total
        if total == 0:
            return None
        index = value_to_bin(threshold, self.scale)
        low, high = bin_bounds(index, self.scale)
        inside = self.counts[index] * min(1.0, max(0.0, (high - threshold) / (high - low)))
        return (sum(self.counts[index + 1 :]) + inside) / total

    def _check_scale(self, other: Histogram) -> None:
        if self.scale is not other.scale:
            raise ValueError(f"cannot combine a {self.scale.value} with a {other.scale.value} histogram")
