"""What became of one attempt to hand a batch to the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server has it. ``refused`` units of the batch it did not want, for the reason it gave."""

    refused: int = 0


@dataclass(frozen=True, slots=True)
class TryLater:
    """Nothing was stored and the same batch may succeed later; ``wait_s`` is what the server asked for."""

    why: str
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was stored and sending it again cannot help. ``why`` is for people and holds no captured text."""

    why: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The batch is larger than the server takes; halves of it may pass."""


Outcome = Delivered | TryLater | Refused | TooLarge
