"""What kind of exchange each is: languages, as the detectors told them.

Why: traits are no scores (no language is better or worse) and enter no roll-up, so they stand with the exchange. One
JSON object a row costs nothing where nobody asks, and needs no further migration for the next trait.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_0009"
down_revision = "20261128_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("exchange", sa.Column("traits", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("exchange", "traits")
