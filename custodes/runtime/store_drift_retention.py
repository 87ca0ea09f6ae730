"""The SQL that forgets old drift: courses, stretches that are over, reports, and what replaced references held.

Functions never commit.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import and_, delete, func, select

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import drift_episode, drift_fit, drift_monitor, drift_point, drift_reference, drift_report

MOST_MINUTES: Final = 43_200
"""Minutes of one monitor that are forgotten in one unit of work: thirty days."""


def list_monitor_numbers(tx: ReadTx) -> list[int]:
    """Return the numbers of all monitors."""
    return list(tx.execute(select(drift_monitor.c.id).order_by(drift_monitor.c.id)).scalars())


def delete_course(tx: WriteTx, monitor: int, until_minute: int) -> int:
    """Forget a monitor's minutes before ``until_minute``, at most ``MOST_MINUTES`` at a time; return how many rows."""
    columns = drift_point.c
    oldest = tx.execute(select(func.min(columns.minute)).where(columns.monitor_id == monitor)).scalar_one()
    if oldest is None or oldest >= until_minute:
        return 0
    until = min(until_minute, oldest + MOST_MINUTES)
    return tx.execute(delete(drift_point).where(columns.monitor_id == monitor, columns.minute < until)).rowcount


def delete_ended(tx: WriteTx, until_ns: int) -> int:
    """Forget stretches of drift that were over before ``until_ns``; return how many."""
    columns = drift_episode.c
    return tx.execute(delete(drift_episode).where(columns.ended_ns.is_not(None), columns.ended_ns < until_ns)).rowcount


def delete_reports(tx: WriteTx, until_ns: int) -> int:
    """Forget reports that were asked for before ``until_ns``; return how many."""
    return tx.execute(delete(drift_report).where(drift_report.c.created_ns < until_ns)).rowcount


def delete_replaced_fits(tx: WriteTx, until_ns: int) -> int:
    """Forget what was fitted before ``until_ns`` under references that no monitor and no standing drift uses."""
    standing = and_(drift_episode.c.reference_id == drift_fit.c.reference_id, drift_episode.c.ended_ns.is_(None))
    replaced = select(drift_reference.c.id).where(drift_reference.c.state == "superseded")
    return tx.execute(
        delete(drift_fit).where(
            drift_fit.c.at_ns < until_ns,
            drift_fit.c.reference_id.in_(replaced),
            ~select(drift_monitor.c.id).where(drift_monitor.c.reference_id == drift_fit.c.reference_id).exists(),
            ~select(drift_episode.c.id).where(standing).exists(),
        )
    ).rowcount
