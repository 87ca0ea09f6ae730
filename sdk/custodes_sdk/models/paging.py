"""One page of a list that is read by keyset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """Rows in the server's order; ``next_cursor`` continues after the last one, None at the end."""

    rows: tuple[RowT, ...]
    next_cursor: str | None = None
