"""The loss ledger: what happened to every span, per project, service and minute of arrival."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from custodes.db.database import WriteTx
from custodes.db.tables import ledger_minute

LedgerKey = tuple[str, int, str, str, str]
"""Project, unix minute, service, kind, reason."""


@dataclass(slots=True)
class LedgerCounts:
    """What became of one request's spans: counts by service, and by (service, reason) for the refused."""

    stored: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    exchanges: Counter[str] = field(default_factory=Counter)

    def rows(self) -> Counter[tuple[str, str, str]]:
        """Return counts by (service, kind, reason); ``received`` is the sum of what follows it."""
        rows: Counter[tuple[str, str, str]] = Counter()
        for service, n in self.stored.items():
            rows[service, "stored", ""] += n
            rows[service, "received", ""] += n
        for service, n in self.duplicates.items():
            rows[service, "duplicates", ""] += n
            rows[service, "received", ""] += n
        for (service, reason), n in self.rejected.items():
            rows[service, "rejected", reason] += n
            rows[service, "received", ""] += n
        for service, n in self.exchanges.items():
            rows[service, "exchanges", ""] += n
        return rows


def write_ledger(tx: WriteTx, counts: Iterable[tuple[str, int, LedgerCounts]]) -> None:
    """Add counts to the ledger; each comes with its project and the unix minute of its arrival."""
    total: Counter[LedgerKey] = Counter()
    for project, minute, one in counts:
        for (service, kind, reason), n in one.rows().items():
            total[project, minute, service, kind, reason] += n
    add_to_ledger(tx, total)


def add_to_ledger(tx: WriteTx, total: Mapping[LedgerKey, int]) -> None:
    """Add counts that are keyed by (project, unix minute, service, kind, reason) to the ledger."""
    statement = tx.insert(ledger_minute)
    statement = statement.on_conflict_do_update(
        index_elements=["project_id", "minute", "service", "kind", "reason"],
        set_={"n": ledger_minute.c.n + statement.excluded.n},
    )
    # Written in key order: every writer takes the locks of these much-shared rows in the same order.
    tx.execute_many(
        statement,
        [
            {"project_id": project, "minute": minute, "service": service, "kind": kind, "reason": reason, "n": n}
            for (project, minute, service, kind, reason), n in sorted(total.items())
        ],
    )
