"""How texts are laid out for the model: windows over long texts, and batches of windows of similar length.

Padding is wasted work, and attention grows with the square of the length, so windows are sorted by length and grouped
until the padded batch would exceed a token budget. The budget bounds memory whatever the traffic looks like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Padded lengths are multiples of this: fewer distinct shapes, so the CPU kernels prepared for a shape are reused.
LENGTH_STEP = 16


@dataclass(frozen=True, slots=True)
class WindowSize:
    """At most ``tokens`` content tokens a window. Neighbours share ``overlap``, so no phrase is seen only in halves."""

    tokens: int
    overlap: int

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.tokens:
            raise ValueError(f"a window needs 0 <= overlap < tokens, got {self.overlap} and {self.tokens}")


def split_windows(length: int, size: WindowSize) -> list[tuple[int, int]]:
    """Return ``(start, end)`` token ranges that together cover ``range(length)``, in order.

    A text that fits is one window. Otherwise every window but the last is full, and the last one is moved back to be
    full as well: a window of three left-over words would be judged without its sentence.
    """
    if length <= size.tokens:
        return [(0, length)] if length else []
    step = size.tokens - size.overlap
    starts = list(range(0, length - size.tokens, step))
    starts.append(length - size.tokens)
    return [(start, start + size.tokens) for start in starts]


def padded_length(length: int) -> int:
    """Return ``length`` rounded up to the next multiple of ``LENGTH_STEP``."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def plan_batches(lengths: Sequence[int], max_batch_tokens: int) -> list[list[int]]:
    """Group indices of ``lengths`` so that each batch's padded size stays within ``max_batch_tokens``.

    Every index appears exactly once, longest first. A single window longer than the budget is a batch of its own.
    """
    if max_batch_tokens < 1:
        raise ValueError(f"a batch needs room for at least one token, got {max_batch_tokens}")
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    current: list[int] = []
    widest = 0
    for index in order:
        if current and widest * (len(current) + 1) > max_batch_tokens:
            batches.append(current)
            current = []
        if not current:
            widest = padded_length(lengths[index])
        current.append(index)
    if current:
        batches.append(current)
    return batches
