"""The loss ledger, summed: what became of everything that arrived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select, tuple_

from custodes.db import ReadTx
from custodes.db.tables import ledger_minute, project
from custodes.kernel.clock import MINUTE_NS

ServiceKey = tuple[str, str]
"""Project and service."""

LedgerKey = tuple[str, str, str, str]
"""Project, service, kind, reason."""


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """Counts by kind, and by reason where the kind has one."""

    counts: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    not_assessed: Counter[str] = field(default_factory=Counter)

    @property
    def pending(self) -> int:
        """How many exchanges wait for their first score."""
        return self.counts["exchanges"] - self.counts["assessed"] - self.counts["not_assessed"]

    def to_json(self) -> dict[str, Any]:
        """Return the public form.

        ``received = stored + duplicates + rejected`` and ``exchanges = assessed + not_assessed + pending``.
        """
        plain = ("received", "stored", "duplicates", "exchanges", "assessed")
        return {
            **{kind: self.counts[kind] for kind in plain},
            "rejected": {reason: n for reason, n in sorted(self.rejected.items()) if n},
            "not_assessed": {reason: n for reason, n in sorted(self.not_assessed.items()) if n},
            "pending": self.pending,
        }

    def add(self, kind: str, reason: str, n: int) -> None:
        """Count ``n`` more of a kind."""
        self.counts[kind] += n
        if kind == "rejected":
            self.rejected[reason] += n
        elif kind == "not_assessed":
            self.not_assessed[reason] += n


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
        totals.add(row.kind, row.reason, int(row.number))
    return totals


@dataclass(frozen=True, slots=True)
class LedgerMinute:
    """What became of what one service sent in one minute."""

    minute: int
    service: str
    totals: LedgerTotals


def load_ledger_minutes(
    tx: ReadTx,
    project: str,
    *,
    from_ns: int,
    to_ns: int,
    service: str | None,
    after: tuple[int, str] | None,
    limit: int,
) -> list[LedgerMinute]:
    """Return at most ``limit`` minutes that start in the range, latest first and by service within a minute.

    ``after`` is the minute and service of the last row of the page before.
    """
    columns = ledger_minute.c
    wanted = [
        columns.project_id == project,
        columns.minute >= -(-from_ns // MINUTE_NS),
        columns.minute < -(-to_ns // MINUTE_NS),
    ]
    if service is not None:
        wanted.append(columns.service == service)
    if after is not None:
        wanted.append(or_(columns.minute < after[0], and_(columns.minute == after[0], columns.service > after[1])))
    page = (
        select(columns.minute, columns.service)
        .where(*wanted)
        .group_by(columns.minute, columns.service)
        .order_by(columns.minute.desc(), columns.service)
        .limit(limit)
        .subquery()
    )
    statement = (
        select(ledger_minute)
        .join(page, and_(columns.minute == page.c.minute, columns.service == page.c.service))
        .where(columns.project_id == project)
        .order_by(columns.minute.desc(), columns.service, columns.kind, columns.reason)
    )
    found: dict[tuple[int, str], LedgerMinute] = {}
    for row in tx.execute(statement):
        one = found.setdefault((row.minute, row.service), LedgerMinute(row.minute, row.service, LedgerTotals()))
        one.totals.add(row.kind, row.reason, int(row.n))
    return list(found.values())


def find_services(tx: ReadTx, *, from_minute: int | None, limit: int) -> list[ServiceKey]:
    """Return at most ``limit`` services of any project with entries since a minute, those with most spans first."""
    columns = ledger_minute.c
    received = func.sum(case((columns.kind == "received", columns.n), else_=0))
    statement = select(columns.project_id, columns.service).group_by(columns.project_id, columns.service)
    if from_minute is not None:
        statement = statement.where(_of_known_projects(), columns.minute >= from_minute)
    rows = tx.execute(statement.order_by(received.desc(), columns.project_id, columns.service).limit(limit))
    return [(row.project_id, row.service) for row in rows]


def sum_ledger(
    tx: ReadTx,
    named: Collection[ServiceKey],
    other: str,
    *,
    from_minute: int | None = None,
    to_minute: int | None = None,
) -> Counter[LedgerKey]:
    """Return the sums of every project over minutes from inclusive to exclusive.

    Services that are not among ``named`` are summed under the name ``other``, so the answer is bounded whatever
    clients call themselves.
    """
    columns = ledger_minute.c
    own = (columns.project_id, columns.service, columns.kind, columns.reason)
    summed = select(*own, func.sum(columns.n).label("n")).group_by(*own)
    if from_minute is not None:
        summed = summed.where(_of_known_projects(), columns.minute >= from_minute)
    if to_minute is not None:
        summed = summed.where(columns.minute < to_minute)
    # Summed first and renamed after: the comparison with every name then runs once a service, not once a minute.
    part = summed.subquery().c
    known = tuple_(part.project_id, part.service).in_(sorted(named))
    service = case((known, part.service), else_=other) if named else literal(other)
    renamed = select(part.project_id, service.label("service"), part.kind, part.reason, part.n).subquery().c
    key = (renamed.project_id, renamed.service, renamed.kind, renamed.reason)
    rows = tx.execute(select(*key, func.sum(renamed.n).label("number")).group_by(*key))
    return Counter({(row.project_id, row.service, row.kind, row.reason): int(row.number) for row in rows})


def _of_known_projects() -> ColumnElement[bool]:
    """Name the projects, which all rows have: the index begins with them, and minutes alone would scan everything."""
    return ledger_minute.c.project_id.in_(select(project.c.id))
