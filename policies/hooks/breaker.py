"""The circuit breaker of an endpoint, without a database: a receiver that keeps failing is left alone for a while.

::

    closed ── failures in a row ──► open ── its time is over ──► half_open ── success ──► closed
                                     ▲                               │
                                     └────────── failure ────────────┘

While it is open, what waits for the endpoint is not tried and loses none of its attempts. Half open, the message that
is due first is tried alone; every failure doubles the pause, up to a longest one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from custodes.kernel.clock import SECOND_NS
from custodes.kernel.settings_webhook import WebhookSettings
from policies.hooks.schedule import LONGEST_RETRY_AFTER_S

BreakerState = Literal["closed", "open", "half_open"]
_JITTER = 0.1
_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a breaker opens, and for how long: first ``pause_s``, at last ``longest_s``."""

    threshold: int = 5
    pause_s: float = 30.0
    longest_s: float = 900.0


def breaker_rules(settings: WebhookSettings) -> BreakerRules:
    """Return when the settings have a breaker open, and for how long."""
    return BreakerRules(settings.breaker_failures, settings.breaker_pause_s, settings.breaker_longest_s)


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failed attempts in a row, and until when nothing is sent; ``None`` while the breaker is closed."""

    failures: int = 0
    open_until_ns: int | None = None

    def state(self, now_ns: int) -> BreakerState:
        """Return the state at a time."""
        if self.open_until_ns is None:
            return "closed"
        return "open" if now_ns < self.open_until_ns else "half_open"


def count_failure(
    breaker: Breaker, now_ns: int, rng: random.Random, rules: BreakerRules, *, retry_after_s: float | None = None
) -> Breaker:
    """Return the breaker after a failed attempt.

    Pauses are up to 10 % shorter, so that not all endpoints end theirs at once. One the receiver asked for is kept.
    """
    failures = breaker.failures + 1
    if failures < rules.threshold and breaker.open_until_ns is None:
        return Breaker(failures)
    doublings = min(max(0, failures - rules.threshold), _MOST_DOUBLINGS)
    pause_s = min(rules.pause_s * 2**doublings, rules.longest_s) * rng.uniform(1 - _JITTER, 1.0)
    asked_s = min(retry_after_s or 0.0, LONGEST_RETRY_AFTER_S)
    return Breaker(failures, now_ns + int(max(pause_s, asked_s) * SECOND_NS))
