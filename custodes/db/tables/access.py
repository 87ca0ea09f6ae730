"""Projects, API keys, leases, and the answers that repeated writes get again."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Integer, LargeBinary, String, Table

from custodes.db.tables.base import METADATA, time_ns

project = Table(
    "project",
    METADATA,
    Column("id", String(64), primary_key=True),
    time_ns("created_ns"),
)

api_key = Table(
    "api_key",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("role", String(16), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("note", String(200), nullable=False, server_default=""),
    time_ns("created_ns"),
    time_ns("expires_ns", nullable=True),
    time_ns("revoked_ns", nullable=True),
    time_ns("last_used_ns", nullable=True),
    # The key's own limits at the door; NULL leaves the server's.
    Column("max_spans_per_s", Float),
    Column("max_concurrent", Integer),
    # The key that took over when this one was rotated.
    Column("replaced_by", String(16)),
)

lease = Table(
    "lease",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("token", BigInteger, nullable=False),
    time_ns("until_ns"),
)

idempotency = Table(
    "idempotency",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    Column("actor", String(128), primary_key=True),
    # What the client sent as Idempotency-Key.
    Column("key", String(128), primary_key=True),
    # SHA-256 of method, path and body: the same key on another request is a mistake.
    Column("fingerprint", LargeBinary(32), nullable=False),
    # NULL while the first request is under way.
    Column("status", Integer),
    Column("body", LargeBinary),
    Column("etag", String(80)),
    Column("created_ns", BigInteger, nullable=False, index=True),
)
