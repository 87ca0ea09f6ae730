"""Writes many rows with few statements: the fast road into both databases.

SQLite gets one statement for up to 256 rows. Row by row, the driver would let go of the interpreter's lock and wait for
it again at every row, which beside threads that decode costs more than the insert itself. PostgreSQL gets binary
COPY, into the table itself, or into a temporary table when conflicts must be resolved. Measured in ``bench ingest``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, Float, Integer, LargeBinary, Table

from custodes.kernel.errors import ConflictError, DatabaseError, InvalidInputError

Row = tuple[Any, ...]

# Few sizes, so that each statement is prepared once and kept by the driver.
_CHUNKS = (256, 32, 4, 1)
_COPY_FROM = 24
_COPY_TYPES = ((BigInteger, "int8"), (Integer, "int4"), (Float, "float8"), (Boolean, "bool"), (LargeBinary, "bytea"))


def insert_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row], on_conflict: str
) -> int:
    """Insert ``rows`` (values of ``columns``) and return how many were inserted or updated.

    ``on_conflict`` is empty, or the ``ON CONFLICT`` clause as both databases spell it. With it no two rows may have
    the same key, and rows are written in the order given. Raises what the driver raises through SQLAlchemy, and
    ``ConflictError``, ``InvalidInputError`` or ``DatabaseError`` from COPY.
    """
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        return _insert_chunks(connection, table.name, tuple(columns), rows, on_conflict, "?")
    if len(rows) < _COPY_FROM:
        return _insert_chunks(connection, table.name, tuple(columns), rows, on_conflict, "%s")
    return _copy_rows(connection, table, columns, rows, on_conflict)


def _insert_chunks(
    connection: Connection, table: str, columns: tuple[str, ...], rows: Sequence[Row], on_conflict: str, mark: str
) -> int:
    written = at = 0
    for size in _CHUNKS:
        while len(rows) - at >= size:
            sql = _insert_sql(table, columns, size, on_conflict, mark)
            values = tuple(chain.from_iterable(rows[at : at + size]))
            written += connection.exec_driver_sql(sql, values).rowcount
            at += size
    return written


@cache
def _insert_sql(table: str, columns: tuple[str, ...], size: int, on_conflict: str, mark: str) -> str:
    one = "(" + ", ".join([mark] * len(columns)) + ")"
    return f'INSERT INTO "{table}" ({_names(columns)}) VALUES {", ".join([one] * size)} {on_conflict}'


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _copy_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row], on_conflict: str
) -> int:
    names = _names(columns)
    target = f'"staging_{table.name}"' if on_conflict else f'"{table.name}"'
    with _translate_driver_errors(connection.dialect.dbapi):
        cursor: Any = connection.connection.cursor()
        if on_conflict:
            cursor.execute("SET LOCAL client_min_messages = warning")
            cursor.execute(f'CREATE TEMP TABLE IF NOT EXISTS {target} (LIKE "{table.name}") ON COMMIT DELETE ROWS')
            cursor.execute(f"TRUNCATE {target}")
        with cursor.copy(f"COPY {target} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types([_copy_type(table, name) for name in columns])
            for row in rows:
                copy.write_row(row)
        if not on_conflict:
            return len(rows)
        cursor.execute(f'INSERT INTO "{table.name}" ({names}) SELECT {names} FROM {target} {on_conflict}')
        return int(cursor.rowcount)


def _copy_type(table: Table, column: str) -> str:
    kind = table.c[column].type
    return next((name for one, name in _COPY_TYPES if isinstance(kind, one)), "text")


@contextmanager
def _translate_driver_errors(driver: Any) -> Iterator[None]:
    """COPY goes past SQLAlchemy, so its errors are the driver's own; their text may quote rows, so it is left out."""
    try:
        yield
    except driver.IntegrityError as error:
        raise ConflictError(f"the database refused the change: {error.diag.message_primary}") from None
    except driver.DataError as error:
        raise InvalidInputError(f"the database cannot store a value: {type(error).__name__}") from None
    except driver.Error as error:
        raise DatabaseError(f"the database could not be used: {type(error).__name__}") from error
