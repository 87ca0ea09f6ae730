"""Drift monitors: places, monitors, references, alarms, and the Evidently reports made about them.

Why: embeddings and numbers of every deployment are watched as they are scored. A monitor's state is sums, written in
the scoring transaction; references are versioned, and a change that is expected opens a new one by two people.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_0011"
down_revision = "20261128_0010"
branch_labels = None
depends_on = None


def _row_number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "drift_place",
        sa.Column("id", _row_number(), autoincrement=True, nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("service", sa.String(256), nullable=False),
        sa.Column("environment", sa.String(128), nullable=False),
        sa.Column("deployment", sa.String(256), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_place")),
        sa.UniqueConstraint(
            "project_id",
            "service",
            "environment",
            "deployment",
            name=op.f("uq_drift_place_project_id_service_environment_deployment"),
        ),
    )
    op.create_table(
        "drift_chunk",
        sa.Column("place_id", _row_number(), autoincrement=False, nullable=False),
        sa.Column("first_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("spans", sa.LargeBinary(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("place_id", "first_number", name=op.f("pk_drift_chunk")),
    )
    _create_references()
    _create_monitors()
    _create_episodes()


def _create_references() -> None:
    op.create_table(
        "drift_reference",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("place_id", _row_number(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("source", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String(128)),
        sa.Column("decided_ns", sa.BigInteger()),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_reference")),
        sa.UniqueConstraint("place_id", "version", name=op.f("uq_drift_reference_place_id_version")),
    )
    op.create_index("ix_drift_reference_project_id_state", "drift_reference", ["project_id", "state"])
    op.create_table(
        "drift_fit",
        sa.Column("reference_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("maker", sa.String(320), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("spans", sa.LargeBinary(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reference_id", "name", "maker", name=op.f("pk_drift_fit")),
    )


def _create_monitors() -> None:
    op.create_table(
        "drift_monitor",
        sa.Column("id", _row_number(), autoincrement=True, nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("place_id", _row_number(), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("maker", sa.String(320), nullable=False),
        sa.Column("reference_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("first_number", sa.BigInteger(), nullable=False),
        sa.Column("learned", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("statistic", sa.Float(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("mark", sa.LargeBinary(16), nullable=False),
        sa.Column("began_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_monitor")),
        sa.UniqueConstraint("place_id", "name", "maker", name=op.f("uq_drift_monitor_place_id_name_maker")),
    )
    op.create_index("ix_drift_monitor_project_id", "drift_monitor", ["project_id"])
    op.create_table(
        "drift_point",
        sa.Column("monitor_id", _row_number(), autoincrement=False, nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("statistic", sa.Float(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("alarms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("monitor_id", "minute", name=op.f("pk_drift_point")),
    )
    op.create_index("ix_drift_point_project_id_minute", "drift_point", ["project_id", "minute"])


def _create_episodes() -> None:
    op.create_table(
        "drift_episode",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("place_id", _row_number(), nullable=False),
        sa.Column("monitor_id", _row_number(), nullable=False),
        sa.Column("reference_id", sa.String(36), nullable=False),
        sa.Column("at_number", sa.BigInteger(), nullable=False),
        sa.Column("onset_number", sa.BigInteger(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_ns", sa.BigInteger(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("statistic", sa.Float(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("view", sa.String(16), nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("onset_ns", sa.BigInteger()),
        sa.Column("told_ns", sa.BigInteger()),
        sa.Column("incident_id", sa.String(36)),
        sa.Column("ended_ns", sa.BigInteger()),
        sa.Column("ended_as", sa.String(12)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_episode")),
    )
    op.create_index("ix_drift_episode_project_id_at_ns", "drift_episode", ["project_id", "at_ns"])
    op.create_index("ix_drift_episode_monitor_id_ended_ns", "drift_episode", ["monitor_id", "ended_ns"])
    op.create_table(
        "drift_report",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("monitor_id", _row_number(), nullable=False),
        sa.Column("episode_id", sa.String(36)),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("ready_ns", sa.BigInteger()),
        sa.Column("rows_before", sa.Integer()),
        sa.Column("rows_since", sa.Integer()),
        sa.Column("html", sa.LargeBinary()),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("error", sa.String(500)),
        sa.CheckConstraint("state <> 'ready' OR html IS NOT NULL", name=op.f("ck_drift_report_ready")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_report")),
    )
    op.create_index("ix_drift_report_project_id_created_ns", "drift_report", ["project_id", "created_ns"])
    op.create_index("ix_drift_report_state", "drift_report", ["state"])


def downgrade() -> None:
    # Approvals of references have nothing left to be about.
    op.execute("DELETE FROM approval WHERE kind = 'drift'")
    for name in (
        "drift_report",
        "drift_episode",
        "drift_point",
        "drift_monitor",
        "drift_fit",
        "drift_reference",
        "drift_chunk",
        "drift_place",
    ):
        op.drop_table(name)
