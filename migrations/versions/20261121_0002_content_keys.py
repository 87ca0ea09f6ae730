"""Keys that encrypt captured text.

Erasing what a person wrote must not mean to find and rewrite every row: each person's text gets keys of its own, and
destroying them makes it unreadable. ``span_content.key_id`` is NULL in the rows that exist, which stay readable as
they are. ``content_master`` remembers which master key the installation uses, so that a process with another one
stops at start-up rather than store what its neighbours cannot read.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261121_0002"
down_revision = "20261121_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "content_key",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("subject_digest", sa.LargeBinary(16), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(64), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("destroyed_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_content_key_project_id_project"),
        sa.PrimaryKeyConstraint("id", name="pk_content_key"),
    )
    op.create_index(
        "ix_content_key_project_id_subject_digest_created_ns",
        "content_key",
        ["project_id", "subject_digest", "created_ns"],
    )
    op.create_table(
        "content_master",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(16), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_content_master_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_content_master"),
    )
    op.add_column("span_content", sa.Column("key_id", sa.LargeBinary(16), nullable=True))


def downgrade() -> None:
    op.drop_column("span_content", "key_id")
    op.drop_table("content_master")
    op.drop_index("ix_content_key_project_id_subject_digest_created_ns", table_name="content_key")
    op.drop_table("content_key")
