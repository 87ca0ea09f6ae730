"""What people say about answers.

Why: an application hears from its users which answers were wrong; kept beside the trace this says what the detectors
missed. The comment is captured text and is kept as such. There is no foreign key to the trace, because feedback and
spans travel separately and either may be first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261121_0005"
down_revision = "20261121_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("trace_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("span_id", sa.LargeBinary(length=8), nullable=True),
        sa.Column("label", sa.String(length=64), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("user_id", sa.String(length=256), nullable=True),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.Column("codec", sa.Integer(), nullable=True),
        sa.Column("key_id", sa.LargeBinary(length=16), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "id", name=op.f("pk_feedback")),
    )
    op.create_index("ix_feedback_project_id_at_ns", "feedback", ["project_id", "at_ns"], unique=False)
    op.create_index("ix_feedback_project_id_trace_id", "feedback", ["project_id", "trace_id"], unique=False)


def downgrade() -> None:
    op.drop_table("feedback")
