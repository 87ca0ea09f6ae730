"""Finding many rows by keys of several columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, tuple_


def is_one_of(columns: Sequence[ColumnElement[Any]], keys: Sequence[tuple[Any, ...]], leading: int = 2) -> Any:
    """Return the condition that ``columns`` together are one of ``keys``, for which there is an index that begins so.

    SQLite reads a whole table for row values in a list (measured: each fifty policies read all ten thousand), but
    searches by the index for lists of its first columns. ``leading`` says how many get one: as many as tell rows apart
    well, and no more, because lists are combined with each other.
    """
    values = list(zip(*keys, strict=True))[:leading]
    lists = (column.in_(sorted(set(of_column))) for column, of_column in zip(columns, values, strict=False))
    return and_(*lists, tuple_(*columns).in_(keys))
