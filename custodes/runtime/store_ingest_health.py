"""The SQL of how well traffic is taken in and scored. Functions never commit; rows never leave."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from sqlalchemy import func, select

from custodes.db import ReadTx
from custodes.db.tables import ingest_batch, ledger_minute


@dataclass(slots=True)
class Intake:
    """What became of the spans of a project in some minutes: how many arrived, and how many were refused for what."""

    received: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def rejected_share(self) -> float:
        """The share of spans that were refused, 0 without any."""
        return self.rejected.total() / self.received if self.received else 0.0


def sum_intake(tx: ReadTx, from_minute: int, to_minute: int) -> dict[str, Intake]:
    """Return the intake of each project from one minute to before another."""
    columns = ledger_minute.c
    rows = tx.execute(
        select(columns.project_id, columns.kind, columns.reason, func.sum(columns.n).label("n"))
        .where(columns.minute >= from_minute, columns.minute < to_minute, columns.kind.in_(("received", "rejected")))
        .group_by(columns.project_id, columns.kind, columns.reason)
    )
    found: defaultdict[str, Intake] = defaultdict(Intake)
    for row in rows:
        if row.kind == "received":
            found[row.project_id].received += int(row.n)
        else:
            found[row.project_id].rejected[row.reason] += int(row.n)
    return dict(found)


def find_oldest_waiting(tx: ReadTx) -> dict[str, int]:
    """Return, for each project with exchanges that wait to be scored, when the first of them arrived."""
    columns = ingest_batch.c
    rows = tx.execute(
        select(columns.project_id, func.min(columns.received_ns).label("oldest_ns"))
        .where(columns.state.in_(("ready", "leased")))
        .group_by(columns.project_id)
    )
    return {row.project_id: row.oldest_ns for row in rows}
