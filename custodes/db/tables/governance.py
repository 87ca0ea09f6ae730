"""Policies and their versions, state, decisions, back-tests, tallies and the clock they are evaluated by."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from custodes.db.tables.base import METADATA, row_number, time_ns

policy_version = Table(
    "policy_version",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    Column("policy_id", String(128), primary_key=True),
    # "sha256:…" of the RFC 8785 bytes of the document.
    Column("version", String(80), primary_key=True),
    Column("source", Text, nullable=False),
    # Policy | ExchangePolicy
    Column("kind", String(16), nullable=False, server_default="Policy"),
    # draft | shadow | approved | active | retired | rejected
    Column("state", String(16), nullable=False),
    Column("author", String(128), nullable=False),
    # Where it came from, as JSON: repository, commit and path. NULL for one that was typed in.
    Column("origin", LargeBinary),
    # Rises with every change; what If-Match compares.
    Column("revision", Integer, nullable=False, server_default="1"),
    time_ns("created_ns"),
    time_ns("shadow_ns", nullable=True),
    time_ns("activated_ns", nullable=True),
    time_ns("retired_ns", nullable=True),
    # The last whole minute it was evaluated at.
    time_ns("evaluated_ns", nullable=True),
    # Activated by break-glass: it ends then unless somebody ratifies it, and ``replaces`` comes back.
    time_ns("expires_ns", nullable=True),
    Column("replaces", String(80)),
    # The back-test that reviewers see.
    Column("backtest_id", String(36)),
    Index("ix_policy_version_state", "state"),
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
    # live | shadow
    Column("mode", String(8), nullable=False, server_default="live"),
    # {"values": {...}, "reason": …, "intents": [...], "state": {...}}
    Column("body", LargeBinary, nullable=False),
    Column("incident_id", String(36)),
    Index("ix_decision_project_id_at_ns", "project_id", "at_ns"),
    Index("ix_decision_project_id_policy_id_version_at_ns", "project_id", "policy_id", "version", "at_ns"),
    Index("ix_decision_incident_id", "incident_id"),
)

policy_backtest = Table(
    "policy_backtest",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("policy_id", String(128), nullable=False),
    Column("version", String(80), nullable=False),
    time_ns("from_ns"),
    time_ns("to_ns"),
    time_ns("created_ns"),
    Column("actor", String(128), nullable=False),
    # The report as JSON.
    Column("body", LargeBinary, nullable=False),
    Index("ix_policy_backtest_project_id_policy_id_version", "project_id", "policy_id", "version"),
)

policy_tally = Table(
    "policy_tally",
    METADATA,
    Column("project_id", String(64), primary_key=True),
    Column("policy_id", String(128), primary_key=True),
    Column("version", String(80), primary_key=True),
    # Hours since 1970.
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    # Bit m is set when minute m of the hour was evaluated.
    Column("minutes", BigInteger, nullable=False),
    # Groups evaluated, and how many of them had no data, an error, or began to fire.
    Column("evaluations", BigInteger, nullable=False),
    Column("no_data", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("firings", BigInteger, nullable=False),
)

policy_clock = Table(
    "policy_clock",
    METADATA,
    # One row, 1.
    Column("id", Integer, primary_key=True, autoincrement=False),
    # The first and the last whole minute (since 1970) that policies were evaluated at.
    Column("first_minute", BigInteger, nullable=False),
    Column("minute", BigInteger, nullable=False),
    # The longest window of any policy evaluated so far, in minutes.
    Column("reach", BigInteger, nullable=False),
)

exchange_match = Table(
    "exchange_match",
    METADATA,
    Column("span_id", row_number(), primary_key=True, autoincrement=False),
    Column("policy_id", String(128), primary_key=True),
    Column("version", String(80), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("group_key", String(512), nullable=False),
    time_ns("at_ns"),
    Column("incident_id", String(36), index=True),
    Index("ix_exchange_match_project_id_policy_id_at_ns", "project_id", "policy_id", "at_ns"),
)

approval = Table(
    "approval",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    # policy | silence | drift | action
    Column("kind", String(16), nullable=False),
    # What is approved, e.g. "toxicity-spike@sha256:…".
    Column("subject", String(256), nullable=False),
    Column("requested_by", String(128), nullable=False),
    Column("approver", String(128), nullable=False),
    # One of: approved, rejected, break_glass.
    Column("verdict", String(16), nullable=False),
    Column("comment", String(1000), nullable=False),
    # The four-eyes rule was switched off for this one, by a setting or by --dev.
    Column("waived", Boolean, nullable=False, server_default=false()),
    time_ns("at_ns"),
    UniqueConstraint("project_id", "kind", "subject", "approver"),
    CheckConstraint("waived OR approver <> requested_by", name="four_eyes"),
)
