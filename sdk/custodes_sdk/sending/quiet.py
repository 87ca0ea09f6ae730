"""Warnings that cannot flood the host's log."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

INTERVAL_S = 60.0
LOGGER = "custodes_sdk"


class QuietLog:
    """Writes at most one warning a minute to the logger ``custodes_sdk``; what is left out is counted.

    Never raises, and never says anything of captured text: callers pass addresses, counts and reasons.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = float("-inf")
        self._left_out = 0

    def caution(self, message: str, *values: object) -> None:
        """Write the warning, or count it when one was written less than a minute ago."""
        with contextlib.suppress(Exception):  # A host with a broken log handler must not feel it.
            now = self._clock()
            if now < self._next:
                self._left_out += 1
                return
            self._next = now + INTERVAL_S
            left_out, self._left_out = self._left_out, 0
            logger = logging.getLogger(LOGGER)
            logger.warning(message, *values)
            if left_out:
                logger.warning("%d warnings were left out since the last one", left_out)
