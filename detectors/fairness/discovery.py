"""Which of many gaps may be claimed together: e-BH, which needs no independence between groups or outcomes.

Of the claims made at any one look, however that look was chosen, the expected share of false ones is at most alpha.
When no gap exists anywhere, the probability that any claim is ever made is at most alpha. Beyond what e-BH asks, a
claim needs evidence of 1/alpha of its own, so each hypothesis by itself is ever claimed falsely with probability at
most alpha, whatever the others do.

Source: Wang and Ramdas, False discovery rate control with e-values (2022), with weights (Ramdas and Manole).
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def discover(log_evidence: Sequence[float], shares: Sequence[float], alpha: float) -> list[bool]:
    """Return for each hypothesis whether it is claimed.

    ``log_evidence`` are logs of e-values. ``shares`` were fixed without looking at outcomes, are positive and sum to at
    most 1: hypothesis i is among k claims when its evidence times its share is at least 1 / (alpha * k).
    """
    if len(log_evidence) != len(shares):
        raise ValueError(f"{len(log_evidence)} hypotheses but {len(shares)} shares")
    if any(share <= 0 for share in shares) or sum(shares) > 1 + 1e-9:
        raise ValueError("shares must be positive and sum to at most 1")
    weighted = [
        one + math.log(share) if one >= -math.log(alpha) else -math.inf
        for one, share in zip(log_evidence, shares, strict=True)
    ]
    ordered = sorted(weighted, reverse=True)
    claims = max((k for k, one in enumerate(ordered, start=1) if one >= -math.log(alpha * k)), default=0)
    return [claims > 0 and one >= -math.log(alpha * claims) for one in weighted]


def equal_shares(hypotheses: int) -> list[float]:
    """Return the shares of hypotheses that are all known beforehand."""
    return [1 / hypotheses] * hypotheses


def arrival_share(number: int, most: int) -> float:
    """Return the share of the ``number``-th of at most ``most`` groups, counted from 1 in the order they turn up.

    Shares fall like 1/number and sum to 1 over ``most``, so a group that turns up late takes nothing from the others.
    """
    return 1 / (number * sum(1 / k for k in range(1, most + 1)))
