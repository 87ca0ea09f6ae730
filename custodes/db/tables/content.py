"""The keys that captured text is encrypted with."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, Table

from custodes.db.tables.base import METADATA, time_ns

content_key = Table(
    "content_key",
    METADATA,
    Column("id", LargeBinary(16), primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    # Whose text it encrypts: a keyed hash of the user id; NULL for text of nobody known, whose key changes daily.
    Column("subject_digest", LargeBinary(16)),
    # The key under the master key; NULL once destroyed, and what it encrypted is gone then.
    Column("wrapped_key", LargeBinary(64)),
    time_ns("created_ns"),
    time_ns("destroyed_ns", nullable=True),
    Index("ix_content_key_project_id_subject_digest_created_ns", "project_id", "subject_digest", "created_ns"),
)

content_master = Table(
    "content_master",
    METADATA,
    # One row: which master key wraps the keys above.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("fingerprint", LargeBinary(16), nullable=False),
    time_ns("created_ns"),
    CheckConstraint("id = 1", name="one_row"),
)
