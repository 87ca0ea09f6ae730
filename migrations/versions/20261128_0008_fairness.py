"""Fairness monitors: their state, what was read from them, and their alarms.

Why: gaps between groups are watched for every deployment of every service. The state is sums, written in the scoring
transaction; readings are what policies, the API and the console see. Probes set their budget aside before they ask.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_0008"
down_revision = "20261128_0007"
branch_labels = None
depends_on = None


def _row_number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _monitor() -> list[sa.Column]:
    return [
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("segment_id", _row_number(), autoincrement=False, nullable=False),
        sa.Column("family", sa.String(160), nullable=False),
    ]


def _hypothesis() -> list[sa.Column]:
    return [
        *_monitor(),
        sa.Column("group_name", sa.String(160), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "fairness_panel",
        *_monitor(),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("began_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.Column("looked_ns", sa.BigInteger()),
        sa.PrimaryKeyConstraint("project_id", "segment_id", "family", name=op.f("pk_fairness_panel")),
    )
    op.create_index(op.f("ix_fairness_panel_updated_ns"), "fairness_panel", ["updated_ns"])
    op.create_table(
        "fairness_topics",
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("segment_id", _row_number(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "segment_id", name=op.f("pk_fairness_topics")),
    )
    op.create_table(
        "fairness_reading",
        *_hypothesis(),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "project_id", "segment_id", "family", "group_name", "outcome", name=op.f("pk_fairness_reading")
        ),
    )
    op.create_table(
        "fairness_gap",
        *_hypothesis(),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pairs", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("gap", "low", "high", "family_low", "family_high")),
        sa.Column("withheld", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(
            "project_id", "segment_id", "family", "group_name", "outcome", "minute", name=op.f("pk_fairness_gap")
        ),
    )
    op.create_index(
        op.f("ix_fairness_gap_project_id_outcome_minute"), "fairness_gap", ["project_id", "outcome", "minute"]
    )
    op.create_table(
        "fairness_alarm",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("segment_id", _row_number(), nullable=False),
        sa.Column("family", sa.String(160), nullable=False),
        sa.Column("group_name", sa.String(160), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("onset_ns", sa.BigInteger()),
        sa.Column("incident_id", sa.String(36)),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("ended_ns", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fairness_alarm")),
    )
    op.create_index(op.f("ix_fairness_alarm_project_id_at_ns"), "fairness_alarm", ["project_id", "at_ns"])
    op.create_table(
        "fairness_probe_day",
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "day", name=op.f("pk_fairness_probe_day")),
    )


def downgrade() -> None:
    for name in (
        "fairness_probe_day",
        "fairness_alarm",
        "fairness_gap",
        "fairness_reading",
        "fairness_topics",
        "fairness_panel",
    ):
        op.drop_table(name)
