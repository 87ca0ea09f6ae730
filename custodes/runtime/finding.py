"""One thing the doctor looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """How a thing is, and what to do if it is not right; ``advice`` has one line per remedy, most pressing first."""

    level: Level
    subject: str
    text: str
    advice: str = ""
