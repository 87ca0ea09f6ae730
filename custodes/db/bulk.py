"""Writes many rows with few statements: the fast road into both databases.

SQLite gets one statement for up to 256 rows. Row by row, the driver would let go of the interpreter's lock and wait for
it again at every row, which beside threads that decode costs more than the insert itself. PostgreSQL gets binary
COPY, into the table itself, or into a temporary table when conflicts must be resolved. Both go past SQLAlchemy, which
would take a microsecond a row to hand the values on. Measured in ``bench ingest``.
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
_CHUNKS = (1_024, 256, 32, 4, 1)
_COPY_FROM = 24
_IN_VALUES = 256
_IN_LENGTHS = (1, 4, 16, 64, 128, _IN_VALUES)
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
    if connection.dialect.name == "sqlite" or len(rows) < _COPY_FROM:
        return _insert_chunks(connection, table.name, tuple(columns), rows, on_conflict)
    return _copy_rows(connection, table, columns, rows, on_conflict)


def select_in(connection: Connection, sql: str, values: Sequence[Any], before: Sequence[Any] = ()) -> list[Row]:
    """Return the rows of a query that ends in ``IN``, for any number of values; their order is the database's.

    ``sql`` has a ``?`` for each of the values ``before`` that list, and no other question mark. Raises what
    :func:`insert_rows` raises.
    """
    found: list[Row] = []
    mark = _mark(connection)
    sql = sql.replace("?", mark)
    with _driver_cursor(connection) as cursor:
        for start in range(0, len(values), _IN_VALUES):
            some = list(values[start : start + _IN_VALUES])
            # Filled up with the last one to a few lengths, so that each statement is prepared once.
            length = next(one for one in _IN_LENGTHS if one >= len(some))
            some += [some[-1]] * (length - len(some))
            cursor.execute(f"{sql} ({', '.join([mark] * length)})", [*before, *some])
            found += cursor.fetchall()
    return found


def _insert_chunks(
    connection: Connection, table: str, columns: tuple[str, ...], rows: Sequence[Row], on_conflict: str
) -> int:
    written = at = 0
    mark = _mark(connection)
    with _driver_cursor(connection) as cursor:
        for size in _CHUNKS:
            while len(rows) - at >= size:
                sql = _insert_sql(table, columns, size, on_conflict, mark)
                cursor.execute(sql, tuple(chain.from_iterable(rows[at : at + size])))
                written += cursor.rowcount
                at += size
    return written


def _mark(connection: Connection) -> str:
    return "?" if connection.dialect.name == "sqlite" else "%s"


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
    with _driver_cursor(connection) as cursor:
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
def _driver_cursor(connection: Connection) -> Iterator[Any]:
    """Give a cursor of the driver. Its errors become ours; their text may quote rows, so it is left out."""
    driver: Any = connection.dialect.dbapi
    cursor: Any = connection.connection.cursor()
    try:
        yield cursor
    except driver.IntegrityError as error:
        raise ConflictError(f"the database refused the change: {_rule_broken(error)}") from None
    except (driver.DataError, OverflowError) as error:
        raise InvalidInputError(f"the database cannot store a value: {type(error).__name__}") from None
    except driver.Error as error:
        raise DatabaseError(f"the database could not be used: {_driver_message(error)}") from error
    finally:
        cursor.close()


def _rule_broken(error: Any) -> str:
    """Return which rule a row broke: SQLite names columns only, PostgreSQL's primary message names the constraint."""
    return str(error.diag.message_primary) if hasattr(error, "diag") else str(error)


def _driver_message(error: Exception) -> str:
    """Return SQLite's words, which quote no values, and of PostgreSQL's errors the kind alone."""
    return type(error).__name__ if hasattr(error, "diag") else str(error)
