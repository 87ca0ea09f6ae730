"""When a delivery is tried again: the Standard Webhooks schedule, with jitter, 75 hours in all."""

from __future__ import annotations

import random
from dataclasses import dataclass

from custodes.kernel.clock import HOUR_NS, MINUTE_NS, SECOND_NS

WAITS_NS = (
    0,
    5 * SECOND_NS,
    5 * MINUTE_NS,
    30 * MINUTE_NS,
    2 * HOUR_NS,
    5 * HOUR_NS,
    10 * HOUR_NS,
    14 * HOUR_NS,
    20 * HOUR_NS,
    24 * HOUR_NS,
)
"""The wait before attempt 1, 2, …; ten attempts in all."""

LONGEST_RETRY_AFTER_S = 24 * 3600
SHORTEST_PAUSE_NS = 30 * SECOND_NS
"""How long a receiver that failed is left alone, unless the schedule itself says sooner."""

_JITTER = 0.1

LIFETIME_NS = int(sum(WAITS_NS) * (1 + _JITTER))
"""The longest that ten attempts take by themselves."""


@dataclass(frozen=True, slots=True)
class Retry:
    """When to try again: at ``at_ns``, or sooner if something waits for it, but not before ``not_before_ns``."""

    at_ns: int
    not_before_ns: int


def plan_retry(attempts: int, now_ns: int, rng: random.Random, *, retry_after_s: float | None = None) -> Retry | None:
    """Return when to try again after ``attempts`` failed attempts (≥ 1), or ``None`` to give up.

    The scheduled wait varies by up to 10 % either way, so that receivers don't meet every sender at
    once. A receiver's ``retry_after_s`` is honoured when it is longer, up to 24 hours, and is never
    undercut.
    """
    if attempts >= len(WAITS_NS):
        return None
    wait_ns = int(WAITS_NS[attempts] * rng.uniform(1 - _JITTER, 1 + _JITTER))
    asked_ns = int(min(retry_after_s or 0.0, LONGEST_RETRY_AFTER_S) * SECOND_NS)
    at_ns = now_ns + max(wait_ns, asked_ns)
    return Retry(at_ns, min(at_ns, now_ns + max(SHORTEST_PAUSE_NS, asked_ns)))
