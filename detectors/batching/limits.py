"""What running a model over texts may use of the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """What a reader may use.

    ``batch_tokens`` padded tokens a batch, ``windows`` an input, ``cache_bytes`` for readings of earlier inputs, and
    ``lanes`` batches at a time. ``prepare_lane`` runs first in each lane's thread.
    """

    batch_tokens: int
    windows: int
    cache_bytes: int
    lanes: int = 1
    prepare_lane: Callable[[], None] | None = None
