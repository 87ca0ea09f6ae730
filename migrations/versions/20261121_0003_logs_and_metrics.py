"""GenAI events that arrive as logs, and metric points.

Why: some clients send the messages of a call as log events rather than on its span, and these may arrive before it. An
event is kept by trace and span id and joined when exchanges are read, so the order never matters. Metric points are
kept as they came, per series and measuring process; differences of cumulative counters are taken when they are read.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261121_0003"
down_revision = "20261121_0002"
branch_labels = None
depends_on = None


def _row_number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "genai_event",
        sa.Column("id", _row_number(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("trace_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("span_id", sa.LargeBinary(length=8), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("service", sa.String(length=256), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.Column("sides", sa.Integer(), nullable=False),
        sa.Column("joined", sa.Boolean(), nullable=False),
        sa.Column("codec", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(length=16), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_genai_event")),
        sa.UniqueConstraint(
            "project_id",
            "trace_id",
            "span_id",
            "digest",
            name=op.f("uq_genai_event_project_id_trace_id_span_id_digest"),
        ),
    )
    op.create_table(
        "metric_series",
        sa.Column("id", _row_number(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("service", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("unit", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("temporality", sa.String(length=12), nullable=False),
        sa.Column("monotonic", sa.Boolean(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("last_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric_series")),
        sa.UniqueConstraint("project_id", "digest", name=op.f("uq_metric_series_project_id_digest")),
    )
    op.create_index("ix_metric_series_project_id_name", "metric_series", ["project_id", "name"], unique=False)
    op.create_table(
        "metric_point",
        sa.Column("series_id", _row_number(), autoincrement=False, nullable=False),
        sa.Column("time_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stream", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=True),
        sa.Column("total", sa.Float(), nullable=True),
        sa.Column("minimum", sa.Float(), nullable=True),
        sa.Column("maximum", sa.Float(), nullable=True),
        sa.Column("detail", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("series_id", "time_ns", "stream", name=op.f("pk_metric_point")),
    )


def downgrade() -> None:
    op.drop_table("metric_point")
    op.drop_index("ix_metric_series_project_id_name", table_name="metric_series")
    op.drop_table("metric_series")
    op.drop_table("genai_event")
