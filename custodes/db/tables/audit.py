"""The tamper-evident log: intake, leaves, tiles, head and signed checkpoints.

Leaves and checkpoints refuse UPDATE and DELETE by trigger (see the first migration). That is a speed
bump for mistakes, not the proof; the proof is the Merkle tree under a signed checkpoint.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from custodes.db.tables.base import METADATA, row_number, time_ns

audit_intake = Table(
    "audit_intake",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=True),
    time_ns("at_ns"),
    Column("body", LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # An id is never used twice, so "has intake 17 become a leaf" has one answer.
)

audit_leaf = Table(
    "audit_leaf",
    METADATA,
    Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("intake_id", BigInteger, nullable=False, unique=True),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    time_ns("at_ns"),
    Column("action", String(64), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("object", String(256), nullable=False),
    Column("project_id", String(64), nullable=False),
    Index("ix_audit_leaf_action_seq", "action", "seq"),
)

audit_tile = Table(
    "audit_tile",
    METADATA,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("width", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

audit_head = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)

audit_checkpoint = Table(
    "audit_checkpoint",
    METADATA,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False),
    time_ns("at_ns"),
)
