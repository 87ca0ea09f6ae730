"""Incidents with their timelines and clocks, and silences."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
    text,
)

from custodes.db.tables.base import METADATA, row_number, time_ns

_IS_OPEN_POLICY_INCIDENT = text("state <> 'resolved' AND origin <> 'person'")

incident = Table(
    "incident",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("policy_id", String(128), nullable=False),
    Column("version", String(80), nullable=False),
    Column("group_key", String(512), nullable=False),
    Column("severity", String(16), nullable=False),
    # new | acknowledged | escalating | muted | resolved | regressed
    Column("state", String(16), nullable=False),
    Column("title", String(256), nullable=False),
    Column("summary", Text, nullable=False),
    # policy | exchange | person
    Column("origin", String(16), nullable=False, server_default="policy"),
    # Rises with every change; what If-Match compares.
    Column("revision", Integer, nullable=False, server_default="1"),
    # The incident it was notified together with; its own id when it leads or stands alone.
    Column("lead_id", String(36)),
    Column("assignee", String(128)),
    # true_alarm | false_alarm, as a person judged it.
    Column("label", String(16)),
    Column("labelled_by", String(128)),
    time_ns("opened_ns"),
    # When it last began to fire: ``opened_ns``, or later if it regressed.
    time_ns("episode_ns", nullable=True),
    time_ns("updated_ns"),
    time_ns("resolved_ns", nullable=True),
    time_ns("acknowledged_ns", nullable=True),
    # When it becomes escalating unless somebody acknowledges it.
    time_ns("escalate_ns", nullable=True),
    time_ns("muted_until_ns", nullable=True),
    # The state to return to when the mute ends.
    Column("muted_state", String(16)),
    # Whether it was muted when it was resolved.
    Column("was_muted", Boolean, nullable=False, server_default=false()),
    # When the receivers were last told that it is open; NULL while a silence keeps that back.
    time_ns("notified_ns", nullable=True),
    Column("notices", Integer, nullable=False, server_default="0"),
    Index("ix_incident_project_id_opened_ns", "project_id", "opened_ns"),
    Index("ix_incident_project_id_policy_id_group_key", "project_id", "policy_id", "group_key"),
    # De-duplication by the database: one open incident for each group of a policy version.
    Index(
        "uq_incident_open",
        "project_id",
        "policy_id",
        "version",
        "group_key",
        unique=True,
        sqlite_where=_IS_OPEN_POLICY_INCIDENT,
        postgresql_where=_IS_OPEN_POLICY_INCIDENT,
    ),
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

incident_clock = Table(
    "incident_clock",
    METADATA,
    Column("incident_id", ForeignKey("incident.id"), primary_key=True),
    # One of the names in CUSTODES_POLICY__REGULATOR_CLOCKS.
    Column("name", String(64), primary_key=True),
    # When people became aware that the duty applies, when it is due, and when it was done.
    time_ns("aware_ns"),
    time_ns("due_ns"),
    time_ns("reported_ns", nullable=True),
    Column("actor", String(128), nullable=False),
    Column("reported_by", String(128)),
    Index("ix_incident_clock_due_ns", "due_ns"),
)

silence = Table(
    "silence",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    # A JSON object of names and the value each must have.
    Column("matchers", LargeBinary, nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("author", String(128), nullable=False),
    # Who else agreed that severe incidents stay quiet too.
    Column("approver", String(128)),
    Column("waived", Boolean, nullable=False, server_default=false()),
    Column("revision", Integer, nullable=False, server_default="1"),
    time_ns("created_ns"),
    time_ns("starts_ns"),
    # Mandatory: nothing stays silent for ever.
    time_ns("ends_ns"),
    time_ns("ended_ns", nullable=True),
    Column("ended_by", String(128)),
    Index("ix_silence_project_id_ends_ns", "project_id", "ends_ns"),
    CheckConstraint("waived OR approver IS NULL OR approver <> author", name="four_eyes"),
)
