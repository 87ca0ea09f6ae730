"""How much traffic an action may touch without a person, kept with it and enforced here.

Why: the cap was compared in code alone. What an action may touch is now a column of its own, written when the action is
planned; the engine's own approval is refused where the share of traffic is unknown or larger, for training, and for
any mode but ``auto``. Both figures stay as they were agreed to.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_0014"
down_revision = "20261128_0013"
branch_labels = None
depends_on = None

_TOO_MUCH = (
    "NEW.approver = 'policy-engine' AND OLD.approver IS NULL AND ("
    "NEW.mode <> 'auto' OR NEW.kind = 'finetune' OR NEW.traffic_share IS NULL OR NEW.share_cap IS NULL "
    "OR NEW.traffic_share > NEW.share_cap)"
)
_CHANGED = (
    "OLD.approver IS NOT NULL AND "
    "(NEW.traffic_share {differs} OLD.traffic_share OR NEW.share_cap {differs} OLD.share_cap)"
)
_RULES = (
    (_TOO_MUCH, "nobody agreed to so much: it touches more traffic than an action may by itself"),
    (_CHANGED, "what was agreed to does not change"),
)


def upgrade() -> None:
    op.add_column("action", sa.Column("share_cap", sa.Float(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        for number, (condition, message) in enumerate(_RULES):
            op.execute(
                f"CREATE TRIGGER action_radius_{number} BEFORE UPDATE ON action "
                f"WHEN {condition.format(differs='IS NOT')} BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
        return
    raises = " ".join(
        f"IF {condition.format(differs='IS DISTINCT FROM')} "
        f"THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation'; END IF;"
        for condition, message in _RULES
    )
    op.execute(
        f"CREATE FUNCTION action_radius() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {raises} RETURN NEW; END $$"
    )
    op.execute("CREATE TRIGGER action_radius BEFORE UPDATE ON action FOR EACH ROW EXECUTE FUNCTION action_radius()")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for number in range(len(_RULES)):
            op.execute(f"DROP TRIGGER action_radius_{number}")
    else:
        op.execute("DROP TRIGGER action_radius ON action")
        op.execute("DROP FUNCTION action_radius()")
    op.drop_column("action", "share_cap")
