"""The one MetaData object and the column types that tables share.

Times are unix nanoseconds in ``BigInteger`` columns named ``*_ns``. JSON lives in ``LargeBinary`` or
``Text`` columns as bytes we wrote; the database never interprets it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData
from sqlalchemy.types import TypeEngine

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def row_number() -> TypeEngine[int]:
    """Return the type of generated row numbers: 64 bits, and SQLite's rowid where that is the database."""
    return BigInteger().with_variant(Integer(), "sqlite")


def time_ns(name: str, *, nullable: bool = False, index: bool = False) -> Column[int]:
    """Return a column of unix nanoseconds."""
    return Column(name, BigInteger, nullable=nullable, index=index)
