"""What people judge answers to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One person's judgement of an answer, ``good`` or ``bad``. The text of a better answer is never here."""

    id: str
    exchange: str
    verdict: str
    at: datetime
    reviewer: str = ""
    corrected: bool = False
    erased: bool = False
