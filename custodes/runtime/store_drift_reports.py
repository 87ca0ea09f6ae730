"""The SQL of Evidently's reports: what waits, what is due, and what came of it. Functions never commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import drift_episode, drift_fit, drift_monitor, drift_place, drift_report
from custodes.runtime.drift_streams import EMBEDDED
from custodes.runtime.store_drift import StoredMonitor, row_to_monitor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SCHEDULE = "schedule"
"""Who asks for reports that are made on schedule."""


@dataclass(frozen=True, slots=True)
class WantedReport:
    """A report to make of a reference and the exchanges ``first_number`` up to but without ``until``.

    ``makers`` says by whom the numbers that are watched at the same place are made.
    """

    id: str
    monitor: StoredMonitor
    episode_id: str | None
    incident_id: str | None
    reference_id: str
    first_number: int
    until: int
    makers: Mapping[str, str]


def list_wanted(tx: ReadTx, *, limit: int = 10) -> list[WantedReport]:
    """Return reports that wait, oldest first."""
    columns = drift_report.c
    statement = (
        select(
            drift_monitor,
            columns.id.label("report_id"),
            drift_place.c.seen.label("total"),
            drift_episode.c.onset_number,
            drift_episode.c.last_number,
            drift_episode.c.id.label("episode_id"),
            drift_episode.c.incident_id,
            func.coalesce(drift_episode.c.reference_id, drift_monitor.c.reference_id).label("compared_with"),
        )
        .join(drift_monitor, drift_monitor.c.id == columns.monitor_id)
        .join(drift_place, drift_place.c.id == drift_monitor.c.place_id)
        .outerjoin(drift_episode, drift_episode.c.id == columns.episode_id)
        .where(columns.state == "requested")
        .order_by(columns.created_ns, columns.id)
        .limit(limit)
    )
    found = []
    for row in tx.execute(statement):
        monitor = row_to_monitor(row)
        first = monitor.first_number if row.onset_number is None else row.onset_number
        until = row.total if row.last_number is None else row.last_number + 1
        makers = _makers(tx, monitor.place_id)
        found.append(
            WantedReport(
                id=row.report_id,
                monitor=monitor,
                episode_id=row.episode_id,
                incident_id=row.incident_id,
                reference_id=row.compared_with,
                first_number=first,
                until=until,
                makers=makers,
            )
        )
    return found


def list_due(tx: ReadTx, before_ns: int) -> list[tuple[int, str]]:
    """Return monitors of embeddings, each with its project, whose last scheduled report is older than that.

    One whose values have not come since then has nothing to report.
    """
    columns, report = drift_monitor.c, drift_report.c
    last = (
        select(report.monitor_id, func.max(report.created_ns).label("made_ns"))
        .where(report.requested_by == SCHEDULE)
        .group_by(report.monitor_id)
        .subquery()
    )
    statement = (
        select(columns.id, columns.project_id)
        .outerjoin(last, last.c.monitor_id == columns.id)
        .where(
            columns.name.in_(EMBEDDED),
            columns.state == "watching",
            columns.updated_ns > before_ns,
            func.coalesce(last.c.made_ns, 0) <= before_ns,
        )
        .order_by(columns.id)
    )
    return [(row.id, row.project_id) for row in tx.execute(statement)]


def insert_scheduled(tx: WriteTx, report_id: str, project: str, monitor_id: int, now_ns: int) -> None:
    """Ask for a report on schedule."""
    tx.execute(
        drift_report.insert().values(
            id=report_id,
            project_id=project,
            monitor_id=monitor_id,
            state="requested",
            requested_by=SCHEDULE,
            created_ns=now_ns,
        )
    )


def find_fit_rows(tx: ReadTx, reference_id: str, monitor: StoredMonitor) -> npt.NDArray[np.int64]:
    """Return the span rows of the exchanges a reference of a monitor was made of; none before it was fitted."""
    import numpy as np  # noqa: PLC0415  # Serving does without it.

    columns = drift_fit.c
    where = and_(columns.reference_id == reference_id, columns.name == monitor.name, columns.maker == monitor.maker)
    spans = tx.execute(select(columns.spans).where(where)).scalar_one_or_none()
    return np.frombuffer(spans or b"", dtype="<i8").astype(np.int64)


def finish_report(tx: WriteTx, report_id: str, html: bytes, body: bytes, rows: tuple[int, int], now_ns: int) -> None:
    """Store what was made."""
    changes = {
        "state": "ready",
        "html": html,
        "body": body,
        "rows_before": rows[0],
        "rows_since": rows[1],
        "ready_ns": now_ns,
    }
    tx.execute(update(drift_report).where(drift_report.c.id == report_id).values(changes))


def fail_report(tx: WriteTx, report_id: str, error: str) -> None:
    """Store why there is no report."""
    tx.execute(update(drift_report).where(drift_report.c.id == report_id).values(state="failed", error=error))


def _makers(tx: ReadTx, place_id: int) -> dict[str, str]:
    """Return the maker of each number watched at a place; of several the one whose values came last."""
    columns = drift_monitor.c
    statement = select(columns.name, columns.maker).where(columns.place_id == place_id).order_by(columns.updated_ns)
    return {row.name: row.maker for row in tx.execute(statement)}
