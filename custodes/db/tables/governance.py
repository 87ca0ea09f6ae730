"""Policies, their state and decisions, incidents, webhook endpoints and the outbox."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from custodes.db.tables.base import METADATA, row_number, time_ns

policy_version = Table(
    "policy_version",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    Column("policy_id", String(128), primary_key=True),
    # "sha256:…" of the RFC 8785 bytes of the document.
    Column("version", String(80), primary_key=True),
    Column("source", Text, nullable=False),
    # draft | active | retired
    Column("state", String(16), nullable=False),
    Column("author", String(128), nullable=False),
    time_ns("created_ns"),
    time_ns("activated_ns", nullable=True),
    time_ns("retired_ns", nullable=True),
)

policy_state = Table(
    "policy_state",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    Column("policy_id", String(128), primary_key=True),
    Column("version", String(80), primary_key=True),
    # Canonical JSON object of the group's labels, e.g. {"deployment":"bot-v7"}; "{}" without group_by.
    Column("group_key", String(512), primary_key=True),
    Column("state", String(16), nullable=False),
    time_ns("since_ns"),
    # Everything ``step`` needs to go on, as JSON.
    Column("body", LargeBinary, nullable=False),
    time_ns("evaluated_ns"),
    Column("incident_id", String(36)),
)

decision = Table(
    "decision",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("policy_id", String(128), nullable=False),
    Column("version", String(80), nullable=False),
    Column("group_key", String(512), nullable=False),
    time_ns("at_ns"),
    Column("from_state", String(16), nullable=False),
    Column("to_state", String(16), nullable=False),
    # {"values": {...}, "reason": …, "intents": [...]}
    Column("body", LargeBinary, nullable=False),
    Column("incident_id", String(36)),
    Index("ix_decision_project_id_at_ns", "project_id", "at_ns"),
)

incident = Table(
    "incident",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("policy_id", String(128), nullable=False),
    Column("version", String(80), nullable=False),
    Column("group_key", String(512), nullable=False),
    Column("severity", String(16), nullable=False),
    # new | resolved
    Column("state", String(16), nullable=False),
    Column("title", String(256), nullable=False),
    Column("summary", Text, nullable=False),
    time_ns("opened_ns"),
    time_ns("updated_ns"),
    time_ns("resolved_ns", nullable=True),
    Index("ix_incident_project_id_opened_ns", "project_id", "opened_ns"),
)

incident_event = Table(
    "incident_event",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=True),
    Column("incident_id", ForeignKey("incident.id"), nullable=False, index=True),
    time_ns("at_ns"),
    Column("kind", String(32), nullable=False),
    Column("actor", String(128), nullable=False),
    # JSON object.
    Column("body", LargeBinary, nullable=False),
)

endpoint = Table(
    "endpoint",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    # The name policies use.
    Column("id", String(64), primary_key=True),
    Column("url", String(2048), nullable=False),
    Column("secret", String(256), nullable=False),
    # active | disabled
    Column("state", String(16), nullable=False),
    Column("disabled_reason", String(256)),
    time_ns("created_ns"),
)

outbox = Table(
    "outbox",
    METADATA,
    # The webhook-id: stable over retries.
    Column("id", String(64), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("endpoint_id", String(64), nullable=False),
    Column("event_type", String(64), nullable=False),
    Column("incident_id", String(36), index=True),
    Column("body", LargeBinary, nullable=False),
    # pending | delivered | dead
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    time_ns("created_ns"),
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
