"""What a process that scores and the one that watches it say to each other."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectors.model import DetectorIdentity, Exchange, ExchangeScores


@dataclass(frozen=True, slots=True)
class Loader:
    """Which function makes the profile, as ``module:function``, and its keyword arguments, which must pickle."""

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        """Import the function and call it."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(module), name)(**self.arguments)


@dataclass(frozen=True, slots=True)
class Start:
    """The first message: what to load, after how long without progress the parent takes this process to hang, and
    whether it may open connections. ``log_level`` is from which level on records are worth sending.
    """

    loader: Loader
    limit_s: float
    offline: bool
    log_level: int = 0


@dataclass(frozen=True, slots=True)
class Ready:
    """The profile is loaded and warm."""

    name: str
    device: str
    metrics: tuple[str, ...]
    traits: tuple[str, ...]
    identities: tuple[DetectorIdentity, ...]
    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The profile cannot be loaded, or a call failed as a whole; ``expected`` if a DetectorError said why."""

    problem: str
    expected: bool


@dataclass(frozen=True, slots=True)
class Request:
    """Exchanges to be scored; see ``Profile.score``."""

    exchanges: Sequence[Exchange]
    leave_out: Mapping[int, Mapping[int, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer per exchange of the request."""

    scores: list[ExchangeScores]
