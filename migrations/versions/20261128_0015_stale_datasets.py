"""When a data set came to hold text of somebody who was erased since.

Why: a data set is a copy. Erasing a person destroys the keys of their text here, and cannot reach a file that was
exported before. So the data set is marked in the same transaction, and nobody can be asked to train on it any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_0015"
down_revision = "20261128_0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dataset", sa.Column("erased_ns", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("dataset", "erased_ns")
