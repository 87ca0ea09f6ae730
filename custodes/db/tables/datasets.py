"""What people judged answers to be, and the data sets that were made of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from custodes.db.tables.base import METADATA, time_ns

review = Table(
    "review",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("trace_id", LargeBinary(16), nullable=False),
    Column("span_id", LargeBinary(8), nullable=False),
    Column("reviewer", String(128), nullable=False),
    # good | bad
    Column("verdict", String(8), nullable=False),
    time_ns("at_ns"),
    # The better answer, as in content_block: a JSON object {"corrected"}; all three are NULL without one.
    Column("codec", Integer),
    Column("key_id", LargeBinary(16)),
    Column("body", LargeBinary),
    Index("ix_review_project_id_trace_id_span_id", "project_id", "trace_id", "span_id"),
    Index("ix_review_project_id_at_ns", "project_id", "at_ns"),
)

dataset = Table(
    "dataset",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("author", String(128), nullable=False),
    Column("format", String(32), nullable=False),
    Column("rows", BigInteger, nullable=False),
    # SHA-256 of the file with the rows, in hex.
    Column("sha256", String(64), nullable=False),
    # The manifest as canonical JSON.
    Column("manifest", LargeBinary, nullable=False),
    time_ns("created_ns"),
    # When somebody whose text is in it was last erased: from then on nobody may train on it.
    time_ns("erased_ns", nullable=True),
    Index("ix_dataset_project_id_created_ns", "project_id", "created_ns"),
)

dataset_row = Table(
    "dataset_row",
    METADATA,
    # Which exchange went into which row, so that an erasure can say what was trained on it.
    Column("dataset_id", ForeignKey("dataset.id"), primary_key=True),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("trace_id", LargeBinary(16), nullable=False),
    Column("span_id", LargeBinary(8), nullable=False),
    Index("ix_dataset_row_trace_id_span_id", "trace_id", "span_id"),
)
