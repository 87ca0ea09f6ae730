"""What people say about answers."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, String, Table

from custodes.db.tables.base import METADATA, time_ns

feedback = Table(
    "feedback",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    # Given by the sender, so that what is sent twice is stored once.
    Column("id", String(36), primary_key=True),
    # No reference to a trace: feedback may arrive before its spans, and outlive them.
    Column("trace_id", LargeBinary(16), nullable=False),
    Column("span_id", LargeBinary(8)),
    Column("label", String(64)),
    Column("value", Float),
    Column("user_id", String(256)),
    Column("source", String(64), nullable=False),
    time_ns("at_ns"),
    time_ns("received_ns"),
    # The comment, as in content_block: a JSON object {"comment"}; all three are NULL without one.
    Column("codec", Integer),
    Column("key_id", LargeBinary(16)),
    Column("body", LargeBinary),
    Index("ix_feedback_project_id_at_ns", "project_id", "at_ns"),
    Index("ix_feedback_project_id_trace_id", "project_id", "trace_id"),
)
