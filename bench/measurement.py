"""What a benchmark returns, and how it times.

A benchmark is a module of this package with a function ``measure() -> list[Measurement]``. Absolute
figures depend on the machine; conclusions are drawn from ratios of figures taken in the same run, so
every module adds the ratios it stands for.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure: what was measured, the value and its unit (``leaves/s``, ``ms``, ``×`` for a ratio)."""

    name: str
    value: float
    unit: str


def median_seconds(work: Callable[[], object], *, repeats: int = 5) -> float:
    """Return the median wall time of ``work`` over ``repeats`` runs, after one run that is not counted."""
    work()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
