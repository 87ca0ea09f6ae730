"""Histograms as one whole number: added and taken away in one operation, for windows that slide.

A stored histogram is 128 little-endian uint32 counts. Read as one number its counts are lanes of 32 bits, so that
adding numbers adds histograms. What comes out is, to the bit, what :class:`~custodes.kernel.histogram.Histogram` gives
for the merged counts, as long as no more than :data:`MOST_VALUES` were counted: above, a lane could spill over.
"""

from __future__ import annotations

import struct

from custodes.kernel.histogram import BINS, Scale, bin_bounds, value_to_bin

MOST_VALUES = 2**32 - 1
_BYTES = BINS * 4
_COUNTS = struct.Struct(f"<{BINS}I")
_LINEAR = tuple(bin_bounds(index, Scale.LINEAR) for index in range(BINS))
_LOG = tuple(bin_bounds(index, Scale.LOG) for index in range(BINS))

Counts = tuple[int, ...]
"""How many values lie in each bin."""


def pack_histogram(stored: bytes) -> int:
    """Return the histogram stored in 512 bytes as one number."""
    return int.from_bytes(stored, "little")


def unpack_counts(packed: int) -> Counts:
    """Return the counts of a sum of packed histograms of at most :data:`MOST_VALUES` values."""
    return _COUNTS.unpack(packed.to_bytes(_BYTES, "little"))


def counts_quantile(counts: Counts, total: int, q: float, scale: Scale, guess: int) -> tuple[float, int]:
    """Return the ``q``-quantile (0 < q ≤ 1) of ``total`` > 0 values, interpolated in its bin, and that bin.

    ``guess`` is the bin to look at first. It only saves time: where windows slide, the bin moves little.
    """
    rank = q * total
    seen = sum(counts[:guess]) if guess < BINS // 2 else total - sum(counts[guess:])
    while seen >= rank:
        guess -= 1
        seen -= counts[guess]
    while seen + counts[guess] < rank:
        seen += counts[guess]
        guess += 1
    low, high = (_LINEAR if scale is Scale.LINEAR else _LOG)[guess]
    return low + (high - low) * max(0.0, (rank - seen) / counts[guess]), guess


def counts_rate_above(counts: Counts, total: int, threshold: float, scale: Scale) -> float:
    """Return the share of ``total`` > 0 values that lie above ``threshold``, exact at bin edges."""
    index, share = split_bin(threshold, scale)
    return counts_share_above(counts, total, index, share)


def split_bin(threshold: float, scale: Scale) -> tuple[int, float]:
    """Return the bin that ``threshold`` lies in, and the share of that bin above it."""
    index = value_to_bin(threshold, scale)
    low, high = (_LINEAR if scale is Scale.LINEAR else _LOG)[index]
    return index, min(1.0, max(0.0, (high - threshold) / (high - low)))


def counts_share_above(counts: Counts, total: int, index: int, share: float) -> float:
    """Return the share of ``total`` > 0 values in the bins above ``index`` and in ``share`` of that one."""
    return (sum(counts[index + 1 :]) + counts[index] * share) / total
