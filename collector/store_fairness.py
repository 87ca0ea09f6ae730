"""Beginning a comparison anew: what stands is ended and kept, the sums are forgotten. Functions never commit."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, delete, select, update

from custodes.db import WriteTx
from custodes.db.tables import fairness_alarm, fairness_panel, fairness_reading
from custodes.kernel.errors import NotFoundError
from policies.incident_store import IncidentEvent, find_incident, insert_incident_event, update_incident
from policies.incidents import resolve_incident
from policies.notices import tell_end


@dataclass(frozen=True, slots=True)
class Restarted:
    """What beginning anew ended: alarms, and the incidents they had opened."""

    alarms: int
    incidents: tuple[str, ...]


def restart_panel(
    tx: WriteTx, project: str, segment_id: int, family: str, *, actor: str, reason: str, now_ns: int, console_url: str
) -> Restarted:
    """Forget a panel's sums and readings, end its alarms and resolve their incidents with ``reason``.

    The next exchange begins a new comparison with a new promise about false alarms. The course of its gaps
    stays, and who was told of an incident is told of its end. Raises ``NotFoundError`` when there is no such
    comparison.
    """
    columns = fairness_panel.c
    where = and_(columns.project_id == project, columns.segment_id == segment_id, columns.family == family)
    if tx.execute(select(columns.family).where(where).with_for_update()).first() is None:
        raise NotFoundError(f"nothing is compared for segment {segment_id} and {family[:64]!r}; see GET /fairness")
    alarm = fairness_alarm.c
    standing = and_(
        alarm.project_id == project, alarm.segment_id == segment_id, alarm.family == family, alarm.ended_ns.is_(None)
    )
    alarms = list(tx.execute(select(alarm.id, alarm.incident_id).where(standing)))
    tx.execute(update(fairness_alarm).where(standing).values(ended_ns=now_ns))
    resolved = []
    for incident_id in sorted({row.incident_id for row in alarms if row.incident_id is not None}):
        found = find_incident(tx, project, incident_id)
        if found is not None and found.state != "resolved":
            over = resolve_incident(found, reason, now_ns)
            update_incident(tx, over)
            insert_incident_event(tx, IncidentEvent(incident_id, now_ns, "resolved", actor, {"reason": reason}))
            tell_end(tx, over, console_url=console_url, now_ns=now_ns)
            resolved.append(incident_id)
    reading = fairness_reading.c
    tx.execute(
        delete(fairness_reading).where(
            reading.project_id == project, reading.segment_id == segment_id, reading.family == family
        )
    )
    tx.execute(delete(fairness_panel).where(where))
    return Restarted(len(alarms), tuple(resolved))
