"""Guarded actions, reviews and data sets.

Why: policies ask for rollbacks, and nothing carried them out. An action has a life of its own from proposal to
verification, evidence that is taken before it acts, and switches that stop all of them. What must never happen is
refused here, in constraints and triggers, so that no mistake in code can make it happen: an approval by the author, two
actions on one target, an action without evidence, a step that was skipped, a step while the switch is off.

What people judge answers to be is kept too, and which exchange went into which data set for fine-tuning.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_0013"
down_revision = "20261128_0012"
branch_labels = None
depends_on = None

_IN_FLIGHT = sa.text("state IN ('approved', 'snapshot', 'sent', 'acknowledged', 'verifying')")
_NOT_BEGUN = "state IN ('proposed', 'shadowed', 'refused', 'cancelled', 'failed')"
_ENDED = "'shadowed', 'refused', 'cancelled', 'failed', 'helped', 'not_helped', 'inconclusive'"
# From, to: every other change of state is refused.
_STEPS = (
    ("proposed", ("approved", "refused", "cancelled", "failed")),
    ("approved", ("snapshot", "cancelled", "failed")),
    ("snapshot", ("sent", "cancelled", "failed")),
    ("sent", ("acknowledged", "failed")),
    ("acknowledged", ("verifying", "inconclusive", "failed")),
    ("verifying", ("helped", "not_helped", "inconclusive")),
)
_STOPPED = (
    "NEW.state IN ('approved', 'snapshot', 'sent') AND EXISTS "
    "(SELECT 1 FROM action_switch WHERE stopped AND project_id IN ('*', NEW.project_id))"
)
_KEPT = (
    "NEW.author <> OLD.author OR NEW.mode <> OLD.mode OR NEW.target_key <> OLD.target_key OR "
    "NEW.idempotency_key <> OLD.idempotency_key OR NEW.created_ns <> OLD.created_ns OR "
    "(OLD.approver IS NOT NULL AND NEW.approver <> OLD.approver) OR "
    "(OLD.evidence_digest IS NOT NULL AND NEW.evidence_digest <> OLD.evidence_digest) OR "
    "(OLD.approver IS NOT NULL AND NEW.to_version <> OLD.to_version)"
)


def upgrade() -> None:
    op.create_table(
        "action",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("adapter", sa.String(length=32), nullable=False),
        sa.Column("target_key", sa.String(length=256), nullable=False),
        sa.Column("target", sa.LargeBinary(), nullable=False),
        sa.Column("policy_id", sa.String(length=128), nullable=False),
        sa.Column("version", sa.String(length=80), nullable=False),
        sa.Column("decision_id", sa.String(length=36), nullable=False),
        sa.Column("incident_id", sa.String(length=36), nullable=False),
        sa.Column("group_key", sa.String(length=512), nullable=False),
        sa.Column("mode", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("approver", sa.String(length=128), nullable=True),
        sa.Column("waived", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=64), nullable=False),
        sa.Column("from_version", sa.String(length=128), nullable=True),
        sa.Column("to_version", sa.String(length=128), nullable=True),
        sa.Column("deployment", sa.String(length=256), nullable=True),
        sa.Column("traffic_share", sa.Float(), nullable=True),
        sa.Column("terms", sa.LargeBinary(), nullable=False),
        sa.Column("external_id", sa.String(length=256), nullable=True),
        sa.Column("evidence_digest", sa.String(length=64), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.String(length=1000), server_default="", nullable=False),
        sa.Column("finding", sa.LargeBinary(), nullable=True),
        *(sa.Column(f"{name}_ns", sa.BigInteger(), nullable=False) for name in ("created", "updated")),
        *(
            sa.Column(f"{name}_ns", sa.BigInteger(), nullable=True)
            for name in (
                "planned",
                "approved",
                "snapshot",
                "sent",
                "acknowledged",
                "verify_from",
                "verify_until",
                "next",
                "finished",
            )
        ),
        sa.CheckConstraint("waived OR approver IS NULL OR approver <> author", name=op.f("ck_action_four_eyes")),
        sa.CheckConstraint(
            f"{_NOT_BEGUN} OR (approver IS NOT NULL AND approved_ns IS NOT NULL)",
            name=op.f("ck_action_approved_first"),
        ),
        sa.CheckConstraint(
            f"{_NOT_BEGUN} OR state = 'approved' OR (snapshot_ns IS NOT NULL AND evidence_digest IS NOT NULL)",
            name=op.f("ck_action_evidence_first"),
        ),
        sa.CheckConstraint(
            "sent_ns IS NULL OR (approved_ns IS NOT NULL AND snapshot_ns IS NOT NULL)",
            name=op.f("ck_action_sent_in_order"),
        ),
        sa.CheckConstraint("mode <> 'shadow' OR state = 'shadowed'", name=op.f("ck_action_shadow_never_acts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_action_idempotency_key")),
    )
    op.create_index(op.f("ix_action_incident_id"), "action", ["incident_id"])
    op.create_index("ix_action_project_id_created_ns", "action", ["project_id", "created_ns"])
    op.create_index("ix_action_next_ns", "action", ["next_ns"])
    op.create_index("ix_action_target_key_sent_ns", "action", ["target_key", "sent_ns"])
    op.create_index(
        "uq_action_in_flight",
        "action",
        ["target_key"],
        unique=True,
        sqlite_where=_IN_FLIGHT,
        postgresql_where=_IN_FLIGHT,
    )
    op.create_table(
        "action_event",
        sa.Column("id", _row_number(), autoincrement=True, nullable=False),
        sa.Column("action_id", sa.String(length=36), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["action_id"], ["action.id"], name=op.f("fk_action_event_action_id_action")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action_event")),
    )
    op.create_index(op.f("ix_action_event_action_id"), "action_event", ["action_id"])
    op.create_table(
        "action_evidence",
        sa.Column("action_id", sa.String(length=36), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["action_id"], ["action.id"], name=op.f("fk_action_evidence_action_id_action")),
        sa.PrimaryKeyConstraint("action_id", name=op.f("pk_action_evidence")),
    )
    op.create_table(
        "action_switch",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_action_switch")),
    )
    _guard()
    _create_datasets()


def _create_datasets() -> None:
    op.create_table(
        "review",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("trace_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("span_id", sa.LargeBinary(length=8), nullable=False),
        sa.Column("reviewer", sa.String(length=128), nullable=False),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("codec", sa.Integer(), nullable=True),
        sa.Column("key_id", sa.LargeBinary(length=16), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    op.create_index("ix_review_project_id_trace_id_span_id", "review", ["project_id", "trace_id", "span_id"])
    op.create_index("ix_review_project_id_at_ns", "review", ["project_id", "at_ns"])
    op.create_table(
        "dataset",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("format", sa.String(length=32), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
    )
    op.create_index("ix_dataset_project_id_created_ns", "dataset", ["project_id", "created_ns"])
    op.create_table(
        "dataset_row",
        sa.Column("dataset_id", sa.String(length=36), nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("trace_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("span_id", sa.LargeBinary(length=8), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_dataset_row_dataset_id_dataset")),
        sa.PrimaryKeyConstraint("dataset_id", "n", name=op.f("pk_dataset_row")),
    )
    op.create_index("ix_dataset_row_trace_id_span_id", "dataset_row", ["trace_id", "span_id"])


def _guard() -> None:
    """Let the database refuse wrong steps, changed evidence, and steps while actions are stopped."""
    allowed = " OR ".join(
        f"(OLD.state = '{before}' AND NEW.state IN ({', '.join(repr(one) for one in after)}))"
        for before, after in _STEPS
    )
    rules = (
        (f"OLD.state IN ({_ENDED})", "this action has ended and does not change"),
        (f"NEW.state <> OLD.state AND NOT ({allowed})", "an action does not take this step"),
        (_KEPT, "what was agreed to does not change"),
        (f"NEW.state <> OLD.state AND {_STOPPED}", "actions are stopped"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for number, (condition, message) in enumerate(rules):
            op.execute(
                f"CREATE TRIGGER action_guard_{number} BEFORE UPDATE ON action WHEN {condition} "
                f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
        op.execute(
            "CREATE TRIGGER action_begin BEFORE INSERT ON action WHEN NEW.state NOT IN ('proposed', 'shadowed') "
            "BEGIN SELECT RAISE(ABORT, 'an action begins as proposed or shadowed'); END"
        )
        for table in ("action_event", "action_evidence"):
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
        return
    raises = " ".join(
        f"IF {condition} THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation'; END IF;"
        for condition, message in rules
    )
    op.execute(
        f"CREATE FUNCTION action_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {raises} RETURN NEW; END $$"
    )
    op.execute("CREATE TRIGGER action_guard BEFORE UPDATE ON action FOR EACH ROW EXECUTE FUNCTION action_guard()")
    op.execute(
        "CREATE FUNCTION action_begin() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.state NOT IN ('proposed', 'shadowed') THEN RAISE EXCEPTION 'an action begins as proposed or shadowed' "
        "USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$"
    )
    op.execute("CREATE TRIGGER action_begin BEFORE INSERT ON action FOR EACH ROW EXECUTE FUNCTION action_begin()")
    op.execute(
        "CREATE FUNCTION action_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'what actions did is append-only' USING ERRCODE = 'check_violation'; END $$"
    )
    for table in ("action_event", "action_evidence"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION action_append_only()"
        )


def _row_number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def downgrade() -> None:
    for table in ("dataset_row", "dataset", "review"):
        op.drop_table(table)
    for table in ("action_switch", "action_evidence", "action_event", "action"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        for function in ("action_guard", "action_begin", "action_append_only"):
            op.execute(f"DROP FUNCTION {function}()")
    op.execute("DELETE FROM approval WHERE kind = 'action'")
