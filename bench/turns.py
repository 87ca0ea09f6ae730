"""Times pieces of work that take turns, so that whatever else the machine does meets all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def take_turns(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median wall seconds of each piece of work over ``repeats`` rounds, after one that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if turn:
                taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}
