"""How texts are laid out for the model: windows over long texts, and batches of windows of similar length.

Padding is wasted work, and attention grows with the square of the length, so windows are sorted by length and grouped
until the padded batch would exceed a token budget. The budget bounds memory whatever the traffic looks like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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


def padded_length(length: int, step: int) -> int:
    """Return ``length`` rounded up to the next multiple of ``step``."""
    return -(-length // step) * step


def plan_batches(lengths: Sequence[int], max_batch_tokens: int, step: int = 1) -> list[list[int]]:
    """Group indices of ``lengths`` so that each batch, padded to a multiple of ``step``, keeps to ``max_batch_tokens``.

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
            widest = padded_length(lengths[index], step)
        current.append(index)
    if current:
        batches.append(current)
    return batches


def plan_waves(sizes: Sequence[int], first: int, most: int) -> list[range]:
    """Cut a sequence into consecutive ranges, each up to a total size, the first small and the others ever larger.

    The model waits for the first wave to be tokenised, so that one is short; later ones are tokenised while it works,
    and the larger they are the more alike are the lengths within a batch. Each holds at least one entry.
    """
    waves: list[range] = []
    start = total = 0
    limit = first
    for index, size in enumerate(sizes):
        if index > start and total + size > limit:
            waves.append(range(start, index))
            start, total, limit = index, 0, min(most, limit * 4)
        total += size
    if start < len(sizes):
        waves.append(range(start, len(sizes)))
    return waves
