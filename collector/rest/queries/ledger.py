"""The loss ledger, summed: what became of everything that arrived."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select

from custodes.db import ReadTx
from custodes.db.tables import ledger_minute
from custodes.kernel.clock import MINUTE_NS


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """Counts by kind, and by reason where the kind has one."""

    counts: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    not_assessed: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return the public form; ``received = stored + duplicates + rejected``."""
        plain = ("received", "stored", "duplicates", "exchanges", "assessed")
        return {
            **{kind: self.counts[kind] for kind in plain},
            "rejected": {reason: n for reason, n in sorted(self.rejected.items()) if n},
            "not_assessed": {reason: n for reason, n in sorted(self.not_assessed.items()) if n},
        }


def load_ledger(
    tx: ReadTx, project: str, *, from_ns: int | None = None, to_ns: int | None = None, service: str | None = None
) -> LedgerTotals:
    """Return the sums over the minutes that start in the range; ``None`` does not restrict."""
    columns = ledger_minute.c
    statement = select(columns.kind, columns.reason, func.sum(columns.n).label("number")).where(
        columns.project_id == project
    )
    if from_ns is not None:
        statement = statement.where(columns.minute >= -(-from_ns // MINUTE_NS))
    if to_ns is not None:
        statement = statement.where(columns.minute < -(-to_ns // MINUTE_NS))
    if service is not None:
        statement = statement.where(columns.service == service)
    totals = LedgerTotals()
    for row in tx.execute(statement.group_by(columns.kind, columns.reason)):
        totals.counts[row.kind] += int(row.number)
        if row.kind == "rejected":
            totals.rejected[row.reason] += int(row.number)
        elif row.kind == "not_assessed":
            totals.not_assessed[row.reason] += int(row.number)
    return totals
