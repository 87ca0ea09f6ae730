"""What fast ingest and counting each call once need.

Why: traces are written many rows to a statement, so whether the root has named a trace must be a column and can no
longer be a parameter. An exchange that turns out to repeat another span's call is marked, and taken back when its
batch is scored again, together with what it added to roll-ups and ledger.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261121_0006"
down_revision = "20261121_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("trace", sa.Column("rooted", sa.Boolean(), server_default=sa.false(), nullable=False))
    # A trace that has a name got it from a span; whether that was the root is known from the spans.
    op.execute(
        """
        UPDATE trace SET rooted = (1 = 1) WHERE EXISTS (
          SELECT 1 FROM span WHERE span.project_id = trace.project_id AND span.trace_id = trace.trace_id
            AND span.parent_span_id IS NULL)
        """
    )
    op.add_column("exchange", sa.Column("repeated", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    op.drop_column("exchange", "repeated")
    op.drop_column("trace", "rooted")
