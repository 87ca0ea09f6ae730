"""The SQL of incidents, their timelines and clocks, and of silences. Functions never commit; rows never leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Row, and_, insert, or_, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import incident, incident_clock, incident_event, silence
from custodes.kernel.errors import ConflictError, NotFoundError
from policies.groups import Group, key_to_group
from policies.incidents import Incident
from policies.silences import Silence

_PLAIN_FIELDS = tuple(one.name for one in fields(Incident) if one.name != "group")
_FIXED = frozenset({"id", "project_id", "policy_id", "opened_ns", "origin", "title"})


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """One entry of an incident's timeline."""

    incident_id: str
    at_ns: int
    kind: str
    actor: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RegulatorClock:
    """A duty to report: since when people know, when it is due, and when it was done."""

    incident_id: str
    name: str
    aware_ns: int
    due_ns: int
    actor: str
    reported_ns: int | None = None
    reported_by: str | None = None


# Incidents


def insert_incident(tx: WriteTx, opened: Incident) -> None:
    """Store a new incident; the unit of work raises ``ConflictError`` if one is open for its version and group."""
    plain = {name: getattr(opened, name) for name in _PLAIN_FIELDS}
    tx.execute(insert(incident).values(**plain, group_key=opened.group.key))


def update_incident(tx: WriteTx, changed: Incident) -> None:
    """Store an incident that is one revision on; raise ``ConflictError`` when somebody else was faster."""
    plain = {name: getattr(changed, name) for name in _PLAIN_FIELDS if name not in _FIXED}
    where = and_(incident.c.id == changed.id, incident.c.revision == changed.revision - 1)
    if tx.execute(update(incident).where(where).values(**plain)).rowcount != 1:
        raise ConflictError(f"incident {changed.id} changed meanwhile; read it again")


def find_incident(tx: ReadTx, project_id: str, incident_id: str, *, lock: bool = False) -> Incident | None:
    """Return one incident of the project, or ``None``."""
    statement = select(incident).where(incident.c.project_id == project_id, incident.c.id == incident_id)
    row = tx.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else _row_to_incident(row)


def require_incident(tx: ReadTx, project_id: str, incident_id: str, *, lock: bool = False) -> Incident:
    """Return one incident of the project; raise ``NotFoundError`` when there is none."""
    found = find_incident(tx, project_id, incident_id, lock=lock)
    if found is None:
        raise NotFoundError(f"no incident {incident_id[:64]!r} in project {project_id}")
    return found


def find_latest_incident(tx: WriteTx, project_id: str, policy_id: str, group: Group) -> Incident | None:
    """Return the newest incident of a policy's group that no person opened, locked, or ``None``."""
    columns = incident.c
    statement = (
        select(incident)
        .where(
            columns.project_id == project_id,
            columns.policy_id == policy_id,
            columns.group_key == group.key,
            columns.origin != "person",
        )
        .order_by(columns.opened_ns.desc(), columns.id.desc())
        .limit(1)
        .with_for_update()
    )
    row = tx.execute(statement).first()
    return None if row is None else _row_to_incident(row)


def find_lead(tx: ReadTx, project_id: str, policy_id: str, version: str, since_ns: int) -> Incident | None:
    """Return the earliest open incident of a version that began since ``since_ns``, if any leads."""
    columns = incident.c
    statement = (
        select(incident)
        .where(
            columns.project_id == project_id,
            columns.policy_id == policy_id,
            columns.version == version,
            columns.state != "resolved",
            columns.origin != "person",
            columns.episode_ns >= since_ns,
            columns.lead_id == columns.id,
        )
        .order_by(columns.episode_ns, columns.id)
        .limit(1)
    )
    row = tx.execute(statement).first()
    return None if row is None else _row_to_incident(row)


def list_incidents(
    tx: ReadTx,
    project_id: str,
    *,
    state: str | None = None,
    policy_id: str | None = None,
    before: tuple[int, str] | None = None,
    limit: int = 100,
) -> list[Incident]:
    """Return incidents, newest first; ``before`` is the ``(opened_ns, id)`` of the last one already seen."""
    columns = incident.c
    statement = select(incident).where(columns.project_id == project_id)
    if state is not None:
        statement = statement.where(columns.state == state)
    if policy_id is not None:
        statement = statement.where(columns.policy_id == policy_id)
    if before is not None:
        statement = statement.where(
            or_(columns.opened_ns < before[0], and_(columns.opened_ns == before[0], columns.id < before[1]))
        )
    statement = statement.order_by(columns.opened_ns.desc(), columns.id.desc()).limit(limit)
    return [_row_to_incident(row) for row in tx.execute(statement)]


def list_labelled(tx: ReadTx, project_id: str, policy_ids: Sequence[str], from_ns: int, to_ns: int) -> list[Incident]:
    """Return the labelled incidents of some policies that were open at some time in [from, to), oldest first."""
    columns = incident.c
    statement = (
        select(incident)
        .where(
            columns.project_id == project_id,
            columns.policy_id.in_(policy_ids),
            columns.label.is_not(None),
            columns.opened_ns < to_ns,
            or_(columns.resolved_ns.is_(None), columns.resolved_ns >= from_ns),
        )
        .order_by(columns.opened_ns, columns.id)
    )
    return [_row_to_incident(row) for row in tx.execute(statement)]


def list_open_incidents(tx: ReadTx, project_id: str | None, *, limit: int = 1000) -> list[Incident]:
    """Return open incidents, oldest first."""
    columns = incident.c
    statement = select(incident).where(columns.state != "resolved")
    if project_id is not None:
        statement = statement.where(columns.project_id == project_id)
    statement = statement.order_by(columns.opened_ns, columns.id).limit(limit)
    return [_row_to_incident(row) for row in tx.execute(statement)]


def list_due_incidents(tx: WriteTx, project_id: str | None, now_ns: int) -> list[Incident]:
    """Return, locked, the open incidents that time itself changes: mutes that end, escalations that are due."""
    columns = incident.c
    statement = select(incident).where(
        columns.state != "resolved",
        or_(
            and_(columns.state == "muted", columns.muted_until_ns <= now_ns),
            and_(columns.state.in_(("new", "regressed")), columns.escalate_ns <= now_ns),
        ),
    )
    if project_id is not None:
        statement = statement.where(columns.project_id == project_id)
    return [_row_to_incident(row) for row in tx.execute(statement.order_by(columns.id).with_for_update())]


def list_untold(
    tx: WriteTx, project_id: str | None, repeating: Mapping[tuple[str, str, str], int], now_ns: int
) -> list[Incident]:
    """Return, locked, the open incidents that receivers are due to hear of, unless somebody has taken them over.

    Those whose opening was kept back, and those of versions that repeat themselves: ``repeating`` maps a version's key
    to its interval in ns.
    """
    columns = incident.c
    conditions: list[ColumnElement[bool]] = [columns.notified_ns.is_(None)]
    conditions += [
        and_(
            columns.project_id == key[0],
            columns.policy_id == key[1],
            columns.version == key[2],
            columns.notified_ns <= now_ns - interval_ns,
        )
        for key, interval_ns in sorted(repeating.items())
    ]
    statement = select(incident).where(columns.state.in_(("new", "regressed", "escalating")), or_(*conditions))
    if project_id is not None:
        statement = statement.where(columns.project_id == project_id)
    return [_row_to_incident(row) for row in tx.execute(statement.order_by(columns.id).with_for_update())]


def mark_notified(tx: WriteTx, incident_ids: Sequence[str], now_ns: int) -> None:
    """Note that receivers were told, or would have been had there been any, that incidents are open."""
    if incident_ids:
        columns = incident.c
        changes = {"notified_ns": now_ns, "notices": columns.notices + 1}
        tx.execute(update(incident).where(columns.id.in_(incident_ids)).values(changes))


def insert_incident_event(tx: WriteTx, event: IncidentEvent) -> None:
    """Append one entry to an incident's timeline."""
    tx.execute(
        insert(incident_event).values(
            incident_id=event.incident_id,
            at_ns=event.at_ns,
            kind=event.kind,
            actor=event.actor,
            body=orjson.dumps(event.body),
        )
    )


def list_incident_events(tx: ReadTx, incident_id: str) -> list[IncidentEvent]:
    """Return an incident's timeline, oldest first."""
    columns = incident_event.c
    statement = select(incident_event).where(columns.incident_id == incident_id).order_by(columns.at_ns, columns.id)
    return [
        IncidentEvent(row.incident_id, row.at_ns, row.kind, row.actor, orjson.loads(row.body))
        for row in tx.execute(statement)
    ]


def _row_to_incident(row: Row[Any]) -> Incident:
    plain = {name: getattr(row, name) for name in _PLAIN_FIELDS}
    return Incident(**plain, group=key_to_group(row.group_key))


# Clocks


def put_clock(tx: WriteTx, clock: RegulatorClock) -> None:
    """Start a clock, or set its time of awareness anew; what was reported stays reported."""
    statement = tx.insert(incident_clock)
    statement = statement.on_conflict_do_update(
        index_elements=list(incident_clock.primary_key.columns),
        set_={name: statement.excluded[name] for name in ("aware_ns", "due_ns", "actor")},
    )
    plain = {one.name: getattr(clock, one.name) for one in fields(RegulatorClock)}
    tx.execute(statement.values(**plain))


def report_clock(tx: WriteTx, incident_id: str, name: str, actor: str, now_ns: int) -> None:
    """Note that a duty was done; raise ``NotFoundError`` without a clock, ``ConflictError`` when it was done before."""
    columns = incident_clock.c
    where = and_(columns.incident_id == incident_id, columns.name == name)
    row = tx.execute(select(incident_clock).where(where).with_for_update()).first()
    if row is None:
        raise NotFoundError(f"incident {incident_id} has no clock {name[:64]!r}; start it first")
    if row.reported_ns is not None:
        raise ConflictError(f"{name} was reported already, by {row.reported_by}")
    tx.execute(update(incident_clock).where(where).values(reported_ns=now_ns, reported_by=actor))


def list_clocks(tx: ReadTx, incident_ids: Sequence[str]) -> list[RegulatorClock]:
    """Return the clocks of some incidents, by what is due first."""
    columns = incident_clock.c
    statement = select(incident_clock).where(columns.incident_id.in_(incident_ids)).order_by(columns.due_ns)
    return [
        RegulatorClock(row.incident_id, row.name, row.aware_ns, row.due_ns, row.actor, row.reported_ns, row.reported_by)
        for row in tx.execute(statement)
    ]


# Silences


def insert_silence(tx: WriteTx, made: Silence) -> None:
    """Store a new silence."""
    plain = {one.name: getattr(made, one.name) for one in fields(Silence) if one.name != "matchers"}
    tx.execute(insert(silence).values(**plain, matchers=orjson.dumps(dict(made.matchers))))


def update_silence(tx: WriteTx, changed: Silence) -> None:
    """Store who approved or ended a silence; raise ``ConflictError`` when somebody else was faster."""
    names = ("approver", "waived", "ends_ns", "ended_ns", "ended_by", "revision")
    where = and_(silence.c.id == changed.id, silence.c.revision == changed.revision - 1)
    values = {name: getattr(changed, name) for name in names}
    if tx.execute(update(silence).where(where).values(**values)).rowcount != 1:
        raise ConflictError(f"silence {changed.id} changed meanwhile; read it again")


def require_silence(tx: ReadTx, project_id: str, silence_id: str, *, lock: bool = False) -> Silence:
    """Return one silence of the project; raise ``NotFoundError`` when there is none."""
    statement = select(silence).where(silence.c.project_id == project_id, silence.c.id == silence_id)
    row = tx.execute(statement.with_for_update() if lock else statement).first()
    if row is None:
        raise NotFoundError(f"no silence {silence_id[:64]!r} in project {project_id}")
    return _row_to_silence(row)


def list_silences(tx: ReadTx, project_id: str, *, ending_after_ns: int | None = None) -> list[Silence]:
    """Return silences, the latest ending first; with a time only those that end after it."""
    columns = silence.c
    statement = select(silence).where(columns.project_id == project_id)
    if ending_after_ns is not None:
        statement = statement.where(columns.ends_ns > ending_after_ns, columns.ended_ns.is_(None))
    rows = tx.execute(statement.order_by(columns.ends_ns.desc(), columns.id.desc()))
    return [_row_to_silence(row) for row in rows]


def _row_to_silence(row: Row[Any]) -> Silence:
    plain = {one.name: getattr(row, one.name) for one in fields(Silence) if one.name != "matchers"}
    return Silence(**plain, matchers=orjson.loads(row.matchers))
