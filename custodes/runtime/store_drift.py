"""The SQL of the drift monitors that scoring needs: places, monitors, points and episodes. Functions never commit."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import and_, bindparam, case, or_, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import (
    drift_chunk,
    drift_episode,
    drift_fit,
    drift_monitor,
    drift_place,
    drift_point,
    drift_reference,
    segment,
)
from custodes.kernel.ids import new_uuid7

MonitorState = Literal["learning", "watching", "damaged"]
_CHUNK = 200


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What is watched by itself: one deployment of one service in one environment."""

    project: str
    service: str
    environment: str
    deployment: str


@dataclass(frozen=True, slots=True)
class HeldPlace:
    """A place that this unit of work has locked; ``seen`` is the number of its next exchange."""

    id: int
    place: Place
    seen: int


@dataclass(frozen=True, slots=True)
class StoredReference:
    """One version of what is usual at a place."""

    id: str
    version: int
    source: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredMonitor:
    """One monitor as it stands. ``number`` is its row; ``first_number`` the place's exchange that is its first."""

    number: int
    project: str
    place_id: int
    name: str
    maker: str
    reference_id: str
    state: MonitorState
    first_number: int
    learned: int
    seen: int
    statistic: float
    threshold: float
    body: bytes | None
    mark: bytes
    began_ns: int
    updated_ns: int


@dataclass(frozen=True, slots=True)
class PointRow:
    """What one unit of work adds to a monitor's minute."""

    monitor_id: int
    minute: int
    project: str
    seen: int
    statistic: float
    threshold: float
    alarms: int


@dataclass(frozen=True, slots=True)
class FoundDrift:
    """An alarm of a monitor; numbers are the place's."""

    at: int
    onset: int
    statistic: float
    view: str


# Places


def find_places(tx: ReadTx, segment_ids: Iterable[int]) -> dict[int, Place]:
    """Return the place of every segment."""
    wanted = sorted(set(segment_ids))
    found: dict[int, Place] = {}
    for start in range(0, len(wanted), _CHUNK):
        for row in tx.execute(select(segment).where(segment.c.id.in_(wanted[start : start + _CHUNK]))):
            found[row.id] = Place(row.project_id, row.service, row.environment, row.deployment)
    return found


def hold_places(tx: WriteTx, places: Sequence[Place], now_ns: int) -> dict[Place, HeldPlace]:
    """Return places locked until the transaction ends, making those that are new; workers take turns at each."""
    ordered = sorted(places)
    tx.execute_many(
        tx.insert(drift_place).on_conflict_do_nothing(),
        [
            {
                "project_id": one.project,
                "service": one.service,
                "environment": one.environment,
                "deployment": one.deployment,
                "seen": 0,
                "updated_ns": now_ns,
            }
            for one in ordered
        ],
    )
    found: dict[Place, HeldPlace] = {}
    columns = drift_place.c
    for start in range(0, len(ordered), _CHUNK):
        wanted = or_(
            *(
                and_(
                    columns.project_id == one.project,
                    columns.service == one.service,
                    columns.environment == one.environment,
                    columns.deployment == one.deployment,
                )
                for one in ordered[start : start + _CHUNK]
            )
        )
        # In the order of their numbers, whoever asks, so that no two wait for each other.
        for row in tx.execute(select(drift_place).where(wanted).order_by(columns.id).with_for_update()):
            place = Place(row.project_id, row.service, row.environment, row.deployment)
            found[place] = HeldPlace(row.id, place, row.seen)
    return found


def hold_place(tx: WriteTx, place_id: int) -> HeldPlace | None:
    """Return one place locked until the transaction ends."""
    row = tx.execute(select(drift_place).where(drift_place.c.id == place_id).with_for_update()).first()
    if row is None:
        return None
    return HeldPlace(row.id, Place(row.project_id, row.service, row.environment, row.deployment), row.seen)


def take_in(tx: WriteTx, held: HeldPlace, span_row_ids: bytes, count: int, now_ns: int) -> None:
    """Give the next numbers of a place to ``count`` exchanges, named by their span rows as little-endian int64."""
    tx.execute(
        drift_chunk.insert().values(
            place_id=held.id, first_number=held.seen, count=count, spans=span_row_ids, at_ns=now_ns
        )
    )
    tx.execute(update(drift_place).where(drift_place.c.id == held.id).values(seen=held.seen + count, updated_ns=now_ns))


# References


def find_newest_reference(tx: ReadTx, place_id: int) -> StoredReference | None:
    """Return the version that holds at a place."""
    columns = drift_reference.c
    statement = select(drift_reference).where(columns.place_id == place_id, columns.state == "active")
    row = tx.execute(statement.order_by(columns.version.desc()).limit(1)).first()
    return None if row is None else StoredReference(row.id, row.version, orjson.loads(row.source))


def find_reference(tx: ReadTx, reference_id: str) -> StoredReference | None:
    """Return one version."""
    row = tx.execute(select(drift_reference).where(drift_reference.c.id == reference_id)).first()
    return None if row is None else StoredReference(row.id, row.version, orjson.loads(row.source))


def open_reference(
    tx: WriteTx, held: HeldPlace, source: Mapping[str, Any], reason: str, now_ns: int
) -> StoredReference:
    """Open a version that nobody has to approve: the first of a place, or one for values of a new maker."""
    columns = drift_reference.c
    versions = select(columns.version).where(columns.place_id == held.id)
    last = tx.execute(versions.order_by(columns.version.desc()).limit(1)).scalar_one_or_none()
    opened = StoredReference(new_uuid7(now_ns), (last or 0) + 1, source)
    tx.execute(
        drift_reference.insert().values(
            id=opened.id,
            project_id=held.place.project,
            place_id=held.id,
            version=opened.version,
            state="active",
            source=orjson.dumps(dict(source)),
            reason=reason,
            requested_by="drift-monitor",
            created_ns=now_ns,
            decided_by="drift-monitor",
            decided_ns=now_ns,
        )
    )
    return opened


def load_fit(tx: ReadTx, reference_id: str, name: str, maker: str) -> bytes | None:
    """Return what was fitted for a monitor under a reference."""
    columns = drift_fit.c
    where = and_(columns.reference_id == reference_id, columns.name == name, columns.maker == maker)
    return tx.execute(select(columns.body).where(where)).scalar_one_or_none()


# Monitors


def load_monitors(tx: ReadTx, place_id: int) -> dict[tuple[str, str], StoredMonitor]:
    """Return the monitors of a place by name and maker; its row must be held before they are changed."""
    rows = tx.execute(select(drift_monitor).where(drift_monitor.c.place_id == place_id))
    found = (row_to_monitor(row) for row in rows)
    return {(one.name, one.maker): one for one in found}


def insert_monitor(
    tx: WriteTx, held: HeldPlace, name: str, maker: str, reference_id: str, first_number: int, now_ns: int
) -> StoredMonitor:
    """Store a monitor that has seen nothing yet, and return it with its number."""
    values = {
        "project_id": held.place.project,
        "place_id": held.id,
        "name": name,
        "maker": maker,
        "reference_id": reference_id,
        "state": "learning",
        "first_number": first_number,
        "learned": 0,
        "seen": 0,
        "statistic": 0.0,
        "threshold": 0.0,
        "mark": secrets.token_bytes(16),
        "began_ns": now_ns,
        "updated_ns": now_ns,
    }
    row = tx.execute(tx.insert(drift_monitor).values(**values).returning(drift_monitor)).one()
    return row_to_monitor(row)


def save_monitors(tx: WriteTx, changed: Sequence[StoredMonitor]) -> None:
    """Store monitors in place of what was there."""
    names = ("reference_id", "state", "first_number", "learned", "seen", "statistic", "threshold", "body", "mark")
    columns = drift_monitor.c
    statement = (
        update(drift_monitor)
        .where(columns.id == bindparam("row"))
        .values({name: bindparam(f"new_{name}") for name in (*names, "began_ns", "updated_ns")})
    )
    tx.execute_many(
        statement,
        [
            {"row": one.number, **{f"new_{name}": getattr(one, name) for name in (*names, "began_ns", "updated_ns")}}
            for one in changed
        ],
    )


def row_to_monitor(row: Any) -> StoredMonitor:
    """Return a monitor from its row."""
    return StoredMonitor(
        number=row.id,
        project=row.project_id,
        place_id=row.place_id,
        name=row.name,
        maker=row.maker,
        reference_id=row.reference_id,
        state=row.state,
        first_number=row.first_number,
        learned=row.learned,
        seen=row.seen,
        statistic=row.statistic,
        threshold=row.threshold,
        body=row.body,
        mark=row.mark,
        began_ns=row.began_ns,
        updated_ns=row.updated_ns,
    )


# Course and episodes


def add_points(tx: WriteTx, points: Sequence[PointRow]) -> None:
    """Add to the minutes of monitors: exchanges and alarms are summed, of statistics the largest is kept."""
    statement = tx.insert(drift_point).values(
        monitor_id=bindparam("monitor_id"),
        minute=bindparam("minute"),
        project_id=bindparam("project"),
        seen=bindparam("seen"),
        statistic=bindparam("statistic"),
        threshold=bindparam("threshold"),
        alarms=bindparam("alarms"),
    )
    larger = _larger(statement.excluded.statistic, drift_point.c.statistic)
    merged = statement.on_conflict_do_update(
        index_elements=["monitor_id", "minute"],
        set_={
            "seen": drift_point.c.seen + statement.excluded.seen,
            "statistic": larger,
            "threshold": statement.excluded.threshold,
            "alarms": drift_point.c.alarms + statement.excluded.alarms,
        },
    )
    tx.execute_many(
        merged,
        [
            {
                "monitor_id": one.monitor_id,
                "minute": one.minute,
                "project": one.project,
                "seen": one.seen,
                "statistic": one.statistic,
                "threshold": one.threshold,
                "alarms": one.alarms,
            }
            for one in points
        ],
    )


def _larger(one: Any, other: Any) -> Any:
    return case((one > other, one), else_=other)


def note_alarm(tx: WriteTx, monitor: StoredMonitor, found: FoundDrift, now_ns: int) -> bool:
    """Store an alarm: it prolongs the monitor's standing episode, or opens one; return whether it opened one."""
    columns = drift_episode.c
    standing = and_(columns.monitor_id == monitor.number, columns.ended_ns.is_(None))
    known = tx.execute(select(columns.id, columns.repeats).where(standing).with_for_update()).first()
    if known is not None:
        changes = {"last_number": found.at, "last_ns": now_ns, "repeats": known.repeats + 1}
        tx.execute(update(drift_episode).where(columns.id == known.id).values(changes))
        return False
    tx.execute(
        drift_episode.insert().values(
            id=new_uuid7(now_ns),
            project_id=monitor.project,
            place_id=monitor.place_id,
            monitor_id=monitor.number,
            reference_id=monitor.reference_id,
            at_number=found.at,
            onset_number=found.onset,
            last_number=found.at,
            at_ns=now_ns,
            last_ns=now_ns,
            repeats=0,
            statistic=found.statistic,
            threshold=monitor.threshold,
            view=found.view,
        )
    )
    return True
