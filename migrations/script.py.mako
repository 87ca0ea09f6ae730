"""${message}

Why: say it here. Expand, back-fill in batches, contract; import nothing of the application.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "raise SystemExit('write the upgrade')"}


def downgrade() -> None:
    ${downgrades if downgrades else "raise SystemExit('write the downgrade')"}
