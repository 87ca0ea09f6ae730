"""Webhook endpoints, the outbox and delivery attempts."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, LargeBinary, String, Table

from custodes.db.tables.base import METADATA, time_ns

endpoint = Table(
    "endpoint",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    # The name policies use.
    Column("id", String(64), primary_key=True),
    # One of policies.hooks.channels.
    Column("kind", String(16), nullable=False, server_default="webhook"),
    # As it may be shown: where the address itself is a secret, only its host.
    Column("url", String(2048), nullable=False),
    # A JSON object of strings.
    Column("options", LargeBinary),
    # A JSON object of strings, encrypted; NULL when there is none to keep.
    Column("sealed", LargeBinary),
    # The signing keys that a rotation replaced, encrypted, which sign beside the new ones until a time.
    Column("previous", LargeBinary),
    time_ns("previous_until_ns", nullable=True),
    # active | disabled
    Column("state", String(16), nullable=False),
    Column("disabled_reason", String(256)),
    Column("revision", Integer, nullable=False, server_default="1"),
    time_ns("created_ns"),
    # The circuit breaker: failed attempts in a row, and until when nothing is sent; NULL while it is closed.
    Column("failures", Integer, nullable=False, server_default="0"),
    time_ns("open_until_ns", nullable=True),
    time_ns("delivered_ns", nullable=True),
    time_ns("failed_ns", nullable=True),
    Column("last_error", String(256)),
)

outbox = Table(
    "outbox",
    METADATA,
    # The webhook-id: stable over retries.
    Column("id", String(64), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("endpoint_id", String(64), nullable=False),
    Column("event_type", String(64), nullable=False),
    # The incident whose line it stands in: the lead of those it tells about.
    Column("incident_id", String(36), index=True),
    # Every incident it tells about, as a JSON list; NULL when it is the one above.
    Column("members", LargeBinary),
    Column("body", LargeBinary, nullable=False),
    # pending | delivered | dead
    Column("state", String(16), nullable=False),
    # Those of its ten that are used up; a replay gives it ten new ones.
    Column("attempts", Integer, nullable=False, server_default="0"),
    # All there ever were: the number of the last row in delivery_attempt.
    Column("tries", Integer, nullable=False, server_default="0"),
    time_ns("created_ns"),
    time_ns("replayed_ns", nullable=True),
    time_ns("next_attempt_ns"),
    Column("lease_owner", String(64)),
    time_ns("lease_until_ns", nullable=True),
    time_ns("delivered_ns", nullable=True),
    Column("last_error", String(256)),
    Index("ix_outbox_state_next_attempt_ns", "state", "next_attempt_ns"),
)

delivery_attempt = Table(
    "delivery_attempt",
    METADATA,
    Column("outbox_id", ForeignKey("outbox.id"), primary_key=True),
    Column("n", Integer, primary_key=True),
    time_ns("at_ns"),
    Column("outcome", String(32), nullable=False),
    Column("status", Integer),
    Column("duration_ms", Float, nullable=False),
    Column("detail", String(256), nullable=False),
)
