"""Content of several spans in one row.

Why: the spans of a trace repeat each other. Compressed, encrypted and written together they take two thirds of the
space and half of the time. Rows that exist become blocks of one span: they keep their number, which is that of their
span, and ``span.content_id`` stays NULL for them, so nothing has to be rewritten.

Going down deletes the rows that hold more than one span, since nothing but Custodes can open them: text that arrived
after the upgrade is lost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_0007"
down_revision = "20261121_0006"
branch_labels = None
depends_on = None

_BLOCK = 8


def upgrade() -> None:
    op.rename_table("span_content", "content_block")
    op.execute("ALTER TABLE content_block RENAME COLUMN span_id TO id")
    _rename_key("pk_span_content", "pk_content_block", "content_block")
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("span", sa.Column("content_id", number, nullable=True))


def downgrade() -> None:
    op.drop_column("span", "content_id")
    op.execute(sa.text("DELETE FROM content_block WHERE codec >= :block").bindparams(block=_BLOCK))
    _rename_key("pk_content_block", "pk_span_content", "content_block")
    op.execute("ALTER TABLE content_block RENAME COLUMN id TO span_id")
    op.rename_table("content_block", "span_content")


def _rename_key(old: str, new: str, table: str) -> None:
    """Rename a primary key; SQLite has no statement for it and does not look at the name."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}")
