"""What a project pays for models, where it differs from the list prices that travel with Custodes."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, String, Table

from custodes.db.tables.base import METADATA, time_ns

price = Table(
    "price",
    METADATA,
    Column("project_id", ForeignKey("project.id"), primary_key=True),
    # Lower case; empty means any provider.
    Column("provider", String(128), primary_key=True),
    # Lower case; a model's name, or the beginning of one with a trailing *.
    Column("model", String(256), primary_key=True),
    Column("valid_from_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("input_usd_per_mtok", Float, nullable=False),
    Column("output_usd_per_mtok", Float, nullable=False),
    Column("cached_input_usd_per_mtok", Float),
    Column("source", String(200), nullable=False, server_default=""),
    # The day on which the source said so, as YYYY-MM-DD; empty when nobody noted it.
    Column("as_of", String(10), nullable=False, server_default=""),
    time_ns("changed_ns"),
)
