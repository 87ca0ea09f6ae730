"""What reviewed, replayed and shared policies need.

Why: a policy version goes through review, so it has states between draft and active, approvals that the database
itself keeps apart from the author, and a back-test attached. A back-test must equal what live evaluation recorded, so
a roll-up that changes after it was evaluated keeps what it said before. An incident is acknowledged, muted, assigned,
labelled and escalated; silences keep receivers quiet for a reason and a time. Hourly tallies prove that a control ran.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_0010"
down_revision = "20261128_0009"
branch_labels = None
depends_on = None

_IS_OPEN_POLICY_INCIDENT = sa.text("state <> 'resolved' AND origin <> 'person'")


def upgrade() -> None:
    _change_policies()
    _create_policy_tables()
    _change_incidents()
    _create_incident_tables()
    # Policies and charts read one metric over many minutes.
    op.create_index("ix_rollup_minute_project_id_metric_minute", "rollup_minute", ["project_id", "metric", "minute"])
    op.create_table(
        "rollup_version",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("segment_id", _row_number(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("until_minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("not_assessed", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Float(), nullable=False),
        sa.Column("maximum", sa.Float(), nullable=True),
        sa.Column("hist", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "project_id", "minute", "segment_id", "metric", "until_minute", name=op.f("pk_rollup_version")
        ),
    )
    op.create_index(
        "ix_rollup_version_project_id_metric_until_minute",
        "rollup_version",
        ["project_id", "metric", "until_minute"],
    )
    op.create_table(
        "idempotency",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("etag", sa.String(length=80), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "actor", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_created_ns"), "idempotency", ["created_ns"])


def _change_policies() -> None:
    for column in (
        sa.Column("kind", sa.String(length=16), server_default="Policy", nullable=False),
        sa.Column("origin", sa.LargeBinary(), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("shadow_ns", sa.BigInteger(), nullable=True),
        sa.Column("evaluated_ns", sa.BigInteger(), nullable=True),
        sa.Column("expires_ns", sa.BigInteger(), nullable=True),
        sa.Column("replaces", sa.String(length=80), nullable=True),
        sa.Column("backtest_id", sa.String(length=36), nullable=True),
    ):
        op.add_column("policy_version", column)
    op.create_index("ix_policy_version_state", "policy_version", ["state"])
    # A minute is evaluated for a whole version at a time.
    op.execute(
        """
        UPDATE policy_version SET evaluated_ns = (
          SELECT max(evaluated_ns) FROM policy_state WHERE policy_state.project_id = policy_version.project_id
            AND policy_state.policy_id = policy_version.policy_id AND policy_state.version = policy_version.version)
        """
    )
    op.drop_column("policy_state", "evaluated_ns")
    op.add_column("decision", sa.Column("mode", sa.String(length=8), server_default="live", nullable=False))
    op.create_index(
        "ix_decision_project_id_policy_id_version_at_ns", "decision", ["project_id", "policy_id", "version", "at_ns"]
    )
    op.create_index("ix_decision_incident_id", "decision", ["incident_id"])


def _create_policy_tables() -> None:
    op.create_table(
        "policy_backtest",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("policy_id", sa.String(length=128), nullable=False),
        sa.Column("version", sa.String(length=80), nullable=False),
        sa.Column("from_ns", sa.BigInteger(), nullable=False),
        sa.Column("to_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_backtest")),
    )
    op.create_index(
        "ix_policy_backtest_project_id_policy_id_version", "policy_backtest", ["project_id", "policy_id", "version"]
    )
    op.create_table(
        "policy_tally",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("policy_id", sa.String(length=128), nullable=False),
        sa.Column("version", sa.String(length=80), nullable=False),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("evaluations", sa.BigInteger(), nullable=False),
        sa.Column("no_data", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("firings", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "policy_id", "version", "hour", name=op.f("pk_policy_tally")),
    )
    op.create_table(
        "policy_clock",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_minute", sa.BigInteger(), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("reach", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_clock")),
    )
    op.create_table(
        "exchange_match",
        sa.Column("span_id", _row_number(), autoincrement=False, nullable=False),
        sa.Column("policy_id", sa.String(length=128), nullable=False),
        sa.Column("version", sa.String(length=80), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("group_key", sa.String(length=512), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("span_id", "policy_id", "version", name=op.f("pk_exchange_match")),
    )
    op.create_index(
        "ix_exchange_match_project_id_policy_id_at_ns", "exchange_match", ["project_id", "policy_id", "at_ns"]
    )
    op.create_index(op.f("ix_exchange_match_incident_id"), "exchange_match", ["incident_id"])
    op.create_table(
        "approval",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=256), nullable=False),
        sa.Column("requested_by", sa.String(length=128), nullable=False),
        sa.Column("approver", sa.String(length=128), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("comment", sa.String(length=1000), nullable=False),
        sa.Column("waived", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("waived OR approver <> requested_by", name=op.f("ck_approval_four_eyes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval")),
        sa.UniqueConstraint(
            "project_id", "kind", "subject", "approver", name=op.f("uq_approval_project_id_kind_subject_approver")
        ),
    )


def _change_incidents() -> None:
    for column in (
        sa.Column("origin", sa.String(length=16), server_default="policy", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("lead_id", sa.String(length=36), nullable=True),
        sa.Column("assignee", sa.String(length=128), nullable=True),
        sa.Column("label", sa.String(length=16), nullable=True),
        sa.Column("labelled_by", sa.String(length=128), nullable=True),
        sa.Column("episode_ns", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_ns", sa.BigInteger(), nullable=True),
        sa.Column("escalate_ns", sa.BigInteger(), nullable=True),
        sa.Column("muted_until_ns", sa.BigInteger(), nullable=True),
        sa.Column("muted_state", sa.String(length=16), nullable=True),
        sa.Column("was_muted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("notified_ns", sa.BigInteger(), nullable=True),
        sa.Column("notices", sa.Integer(), server_default="0", nullable=False),
    ):
        op.add_column("incident", column)
    op.execute("UPDATE incident SET episode_ns = opened_ns, notified_ns = opened_ns, notices = 1")
    op.create_index("ix_incident_project_id_policy_id_group_key", "incident", ["project_id", "policy_id", "group_key"])
    op.create_index(
        "uq_incident_open",
        "incident",
        ["project_id", "policy_id", "version", "group_key"],
        unique=True,
        sqlite_where=_IS_OPEN_POLICY_INCIDENT,
        postgresql_where=_IS_OPEN_POLICY_INCIDENT,
    )


def _create_incident_tables() -> None:
    op.add_column("outbox", sa.Column("members", sa.LargeBinary(), nullable=True))
    op.create_table(
        "incident_clock",
        sa.Column("incident_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("aware_ns", sa.BigInteger(), nullable=False),
        sa.Column("due_ns", sa.BigInteger(), nullable=False),
        sa.Column("reported_ns", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("reported_by", sa.String(length=128), nullable=True),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_incident_clock_incident_id_incident")),
        sa.PrimaryKeyConstraint("incident_id", "name", name=op.f("pk_incident_clock")),
    )
    op.create_index("ix_incident_clock_due_ns", "incident_clock", ["due_ns"])
    op.create_table(
        "silence",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("matchers", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.String(length=1000), nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("approver", sa.String(length=128), nullable=True),
        sa.Column("waived", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("starts_ns", sa.BigInteger(), nullable=False),
        sa.Column("ends_ns", sa.BigInteger(), nullable=False),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(length=128), nullable=True),
        sa.CheckConstraint("waived OR approver IS NULL OR approver <> author", name=op.f("ck_silence_four_eyes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silence")),
    )
    op.create_index("ix_silence_project_id_ends_ns", "silence", ["project_id", "ends_ns"])


def _row_number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def downgrade() -> None:
    op.drop_column("outbox", "members")
    for table in ("silence", "incident_clock", "idempotency", "rollup_version"):
        op.drop_table(table)
    op.drop_index("ix_rollup_minute_project_id_metric_minute", table_name="rollup_minute")
    op.drop_index("uq_incident_open", table_name="incident")
    op.drop_index("ix_incident_project_id_policy_id_group_key", table_name="incident")
    # The states of then were new and resolved.
    op.execute("UPDATE incident SET state = 'new' WHERE state <> 'resolved'")
    for name in (
        "notices",
        "notified_ns",
        "was_muted",
        "muted_state",
        "muted_until_ns",
        "escalate_ns",
        "acknowledged_ns",
        "episode_ns",
        "labelled_by",
        "label",
        "assignee",
        "lead_id",
        "revision",
        "origin",
    ):
        op.drop_column("incident", name)
    for table in ("approval", "exchange_match", "policy_clock", "policy_tally", "policy_backtest"):
        op.drop_table(table)
    op.drop_index("ix_decision_incident_id", table_name="decision")
    op.drop_index("ix_decision_project_id_policy_id_version_at_ns", table_name="decision")
    op.execute("DELETE FROM decision WHERE mode <> 'live'")
    op.drop_column("decision", "mode")
    op.add_column("policy_state", sa.Column("evaluated_ns", sa.BigInteger(), server_default="0", nullable=False))
    op.execute("DELETE FROM policy_version WHERE kind <> 'Policy'")
    op.execute("UPDATE policy_version SET state = 'draft' WHERE state IN ('shadow', 'approved', 'rejected')")
    op.drop_index("ix_policy_version_state", table_name="policy_version")
    for name in (
        "backtest_id",
        "replaces",
        "expires_ns",
        "evaluated_ns",
        "shadow_ns",
        "revision",
        "origin",
        "kind",
    ):
        op.drop_column("policy_version", name)
