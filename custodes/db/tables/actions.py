"""Guarded actions, what they did, the evidence taken before them, and the switches that stop them.

What must never happen is refused by the tables themselves: constraints here, and the triggers of the migration that
made them, hold whatever the code above them does.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from custodes.db.tables.base import METADATA, row_number, time_ns

_IN_FLIGHT = text("state IN ('approved', 'snapshot', 'sent', 'acknowledged', 'verifying')")
_NOT_BEGUN = "state IN ('proposed', 'shadowed', 'refused', 'cancelled', 'failed')"

action = Table(
    "action",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    # rollback | finetune | pause | review | promotion
    Column("kind", String(16), nullable=False),
    Column("adapter", String(32), nullable=False),
    # What is acted on, across projects: connection and object, e.g. "mlflow/support-bot@champion".
    Column("target_key", String(256), nullable=False),
    # The target as the policy names it, as JSON.
    Column("target", LargeBinary, nullable=False),
    Column("policy_id", String(128), nullable=False),
    Column("version", String(80), nullable=False),
    Column("decision_id", String(36), nullable=False),
    Column("incident_id", String(36), nullable=False, index=True),
    Column("group_key", String(512), nullable=False),
    # shadow | propose | auto
    Column("mode", String(8), nullable=False),
    # shadowed, or proposed → approved → snapshot → sent → acknowledged → verifying → helped, not_helped or
    # inconclusive; refused, cancelled and failed end it on the way.
    Column("state", String(16), nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    # Who wrote the policy version that asks for it, and who agreed to the action.
    Column("author", String(128), nullable=False),
    Column("approver", String(128)),
    Column("waived", Boolean, nullable=False, server_default=false()),
    # SHA-256 over policy version, action, target and episode: one action for each, however often it is asked for.
    Column("idempotency_key", String(64), nullable=False),
    # Version that served when it was planned, and the one to go to.
    Column("from_version", String(128)),
    Column("to_version", String(128)),
    # Deployment whose traffic shows the effect.
    Column("deployment", String(256)),
    # Share of the project's traffic that the deployment had when it was planned, in [0, 1].
    Column("traffic_share", Float),
    # The largest such share that may be touched without a person, as it was then.
    Column("share_cap", Float),
    # Limits and verification as the policy writes them, as JSON.
    Column("terms", LargeBinary, nullable=False),
    # What the other side calls the thing it did: a run, a pipeline.
    Column("external_id", String(256)),
    # SHA-256 of the evidence that was taken before.
    Column("evidence_digest", String(64)),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # Why it stands where it stands, in words.
    Column("reason", String(1000), nullable=False, server_default=""),
    # What verification saw, as JSON.
    Column("finding", LargeBinary),
    time_ns("created_ns"),
    time_ns("updated_ns"),
    time_ns("planned_ns", nullable=True),
    time_ns("approved_ns", nullable=True),
    time_ns("snapshot_ns", nullable=True),
    time_ns("sent_ns", nullable=True),
    time_ns("acknowledged_ns", nullable=True),
    time_ns("verify_from_ns", nullable=True),
    time_ns("verify_until_ns", nullable=True),
    # When the worker looks at it next; NULL when only a person or the other side can move it.
    time_ns("next_ns", nullable=True),
    time_ns("finished_ns", nullable=True),
    UniqueConstraint("idempotency_key"),
    Index("ix_action_project_id_created_ns", "project_id", "created_ns"),
    Index("ix_action_next_ns", "next_ns"),
    Index("ix_action_target_key_sent_ns", "target_key", "sent_ns"),
    # One in flight for each target, whoever asks.
    Index("uq_action_in_flight", "target_key", unique=True, sqlite_where=_IN_FLIGHT, postgresql_where=_IN_FLIGHT),
    CheckConstraint("waived OR approver IS NULL OR approver <> author", name="four_eyes"),
    CheckConstraint(f"{_NOT_BEGUN} OR (approver IS NOT NULL AND approved_ns IS NOT NULL)", name="approved_first"),
    CheckConstraint(
        f"{_NOT_BEGUN} OR state = 'approved' OR (snapshot_ns IS NOT NULL AND evidence_digest IS NOT NULL)",
        name="evidence_first",
    ),
    CheckConstraint("sent_ns IS NULL OR (approved_ns IS NOT NULL AND snapshot_ns IS NOT NULL)", name="sent_in_order"),
    CheckConstraint("mode <> 'shadow' OR state = 'shadowed'", name="shadow_never_acts"),
)

action_event = Table(
    "action_event",
    METADATA,
    Column("id", row_number(), primary_key=True, autoincrement=True),
    Column("action_id", ForeignKey("action.id"), nullable=False, index=True),
    time_ns("at_ns"),
    Column("kind", String(32), nullable=False),
    Column("actor", String(128), nullable=False),
    # JSON object.
    Column("body", LargeBinary, nullable=False),
)

action_evidence = Table(
    "action_evidence",
    METADATA,
    Column("action_id", ForeignKey("action.id"), primary_key=True),
    time_ns("at_ns"),
    # The RFC 8785 bytes whose SHA-256 stands in the action and in the audit log.
    Column("body", LargeBinary, nullable=False),
)

action_switch = Table(
    "action_switch",
    METADATA,
    # A project, or "*" for all of them.
    Column("project_id", String(64), primary_key=True),
    Column("stopped", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String(128), nullable=False),
    time_ns("at_ns"),
    Column("revision", Integer, nullable=False, server_default="1"),
)
