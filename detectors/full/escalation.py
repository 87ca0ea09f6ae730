"""Which exchanges the expensive check is spent on: those the cheap one flags, and a few of the others by lot.

The lot makes it possible to say how often the cheap check is wrong where it sees nothing. It is drawn from the
exchange's id, so the same exchange is drawn again when it is scored again, on whatever machine.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Final

_DRAWS: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Escalation:
    """Escalate from ``threshold`` on, and a share ``rate`` of everything else; both in [0, 1]."""

    threshold: float = 0.5
    rate: float = 0.02

    def __post_init__(self) -> None:
        for name, value in (("threshold", self.threshold), ("rate", self.rate)):
            if not (math.isfinite(value) and 0.0 <= value <= 1.0):
                raise ValueError(f"an escalation's {name} must be in [0, 1], got {value!r}")

    def chooses(self, exchange_id: str, value: float) -> bool:
        """Return whether an exchange that the cheap check gave ``value`` is to be checked again."""
        return value >= self.threshold or draw(exchange_id) < self.rate


def draw(exchange_id: str) -> float:
    """Return the exchange's lot: a number in [0, 1) that its id alone decides, spread evenly over ids."""
    digest = hashlib.blake2b(exchange_id.encode("utf-8", "surrogatepass"), digest_size=8, person=b"escalation").digest()
    return int.from_bytes(digest, "big") / _DRAWS
