"""Limits and rotation of keys, and prices of models.

Why: one busy sender must not crowd out the others, so a key may carry a rate and a number of concurrent requests of
its own. A key that was rotated says which one took over, so that it is not rotated twice. And a call that arrives
without its cost gets one from the prices a project pays.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261121_0004"
down_revision = "20261121_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_key", sa.Column("max_spans_per_s", sa.Float(), nullable=True))
    op.add_column("api_key", sa.Column("max_concurrent", sa.Integer(), nullable=True))
    op.add_column("api_key", sa.Column("replaced_by", sa.String(length=16), nullable=True))
    op.create_table(
        "price",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=128), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("valid_from_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("input_usd_per_mtok", sa.Float(), nullable=False),
        sa.Column("output_usd_per_mtok", sa.Float(), nullable=False),
        sa.Column("cached_input_usd_per_mtok", sa.Float(), nullable=True),
        sa.Column("source", sa.String(length=200), server_default="", nullable=False),
        sa.Column("as_of", sa.String(length=10), server_default="", nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_price_project_id_project")),
        sa.PrimaryKeyConstraint("project_id", "provider", "model", "valid_from_ns", name=op.f("pk_price")),
    )


def downgrade() -> None:
    op.drop_table("price")
    op.drop_column("api_key", "replaced_by")
    op.drop_column("api_key", "max_concurrent")
    op.drop_column("api_key", "max_spans_per_s")
