"""The SQL of the fairness monitors: state, readings, gaps by the minute and alarms. Functions never commit."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import and_, func, select, tuple_, update

from custodes.db import ReadTx, WriteTx
from custodes.db.segments import Segment
from custodes.db.tables import (
    exchange,
    fairness_alarm,
    fairness_gap,
    fairness_panel,
    fairness_probe_day,
    fairness_reading,
    fairness_topics,
    segment,
)

_COMPRESSION = 1


@dataclass(frozen=True, slots=True, order=True)
class PanelKey:
    """Whose panel: a project's segment, and what its groups are (``caller:<axis>``, ``prompt`` or ``probe``)."""

    project: str
    segment_id: int
    family: str


@dataclass(frozen=True, slots=True)
class StoredPanel:
    """The state of one panel as JSON, and when it began and last changed."""

    key: PanelKey
    body: Mapping[str, Any]
    began_ns: int
    updated_ns: int


@dataclass(frozen=True, slots=True)
class StoredReading:
    """What was last read of one gap; ``body`` is documented in ``custodes.runtime.fairness_readings``."""

    key: PanelKey
    group: str
    outcome: str
    state: str
    body: Mapping[str, Any]
    at_ns: int


@dataclass(frozen=True, slots=True)
class GapRow:
    """One gap in one minute; ends as in ``custodes.db.tables.fairness``."""

    key: PanelKey
    group: str
    outcome: str
    minute: int
    pairs: int
    gap: float
    low: float
    high: float
    family_low: float
    family_high: float
    withheld: bool


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    """One alarm; ``ended_ns`` is set once the comparison was begun anew."""

    id: str
    key: PanelKey
    group: str
    outcome: str
    at_ns: int
    onset_ns: int | None
    incident_id: str | None
    body: Mapping[str, Any]
    ended_ns: int | None = None


# Exchanges

_CHUNK = 500


def find_told_again(tx: ReadTx, trace_ids: Sequence[str]) -> set[str]:
    """Return those of ``trace_ids`` (hex) where a call that was compared before turns out to be told by two spans."""
    found: set[str] = set()
    wanted = sorted({bytes.fromhex(one) for one in trace_ids})
    for start in range(0, len(wanted), _CHUNK):
        statement = select(exchange.c.trace_id).where(
            exchange.c.trace_id.in_(wanted[start : start + _CHUNK]),
            exchange.c.repeated.is_(True),
            exchange.c.rolled_minute.is_not(None),
        )
        found |= {row.trace_id.hex() for row in tx.execute(statement)}
    return found


# State


def load_panel(tx: WriteTx, key: PanelKey) -> StoredPanel | None:
    """Return one panel, locked until the transaction ends, or ``None``; take several in the order of their keys."""
    row = tx.execute(select(fairness_panel).where(_is_panel(fairness_panel.c, key)).with_for_update()).first()
    return None if row is None else _row_to_panel(row)


def claim_segments(tx: WriteTx, places: Sequence[tuple[str, int]]) -> None:
    """Make workers that write the same segments' fairness take turns until their transactions end."""
    empty = orjson.dumps(None)
    tx.execute_many(
        tx.insert(fairness_topics).on_conflict_do_nothing(),
        [{"project_id": project, "segment_id": number, "body": empty} for project, number in sorted(places)],
    )
    columns = (fairness_topics.c.project_id, fairness_topics.c.segment_id)
    wanted = select(fairness_topics.c.segment_id).where(tuple_(*columns).in_(sorted(places)))
    tx.execute(wanted.order_by(*columns).with_for_update())


def load_topics(tx: ReadTx, project: str, segment_id: int) -> Mapping[str, Any] | None:
    """Return the state of a segment's topics, ``None`` before the first prompt."""
    where = and_(fairness_topics.c.project_id == project, fairness_topics.c.segment_id == segment_id)
    body = tx.execute(select(fairness_topics.c.body).where(where)).scalar_one_or_none()
    return None if body is None else orjson.loads(body)


def save_topics(tx: WriteTx, project: str, segment_id: int, body: Mapping[str, Any]) -> None:
    """Store the state of a segment's topics; ``claim_segments`` has made its row."""
    where = and_(fairness_topics.c.project_id == project, fairness_topics.c.segment_id == segment_id)
    tx.execute(update(fairness_topics).where(where).values(body=orjson.dumps(body)))


def save_panel(tx: WriteTx, key: PanelKey, body: Mapping[str, Any], now_ns: int) -> None:
    """Store a panel's state, replacing what was there; the first time it also begins now."""
    packed = zlib.compress(orjson.dumps(body), _COMPRESSION)
    statement = tx.insert(fairness_panel).values(
        project_id=key.project,
        segment_id=key.segment_id,
        family=key.family,
        body=packed,
        began_ns=now_ns,
        updated_ns=now_ns,
    )
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=list(fairness_panel.primary_key.columns),
            set_={"body": statement.excluded.body, "updated_ns": statement.excluded.updated_ns},
        )
    )


def list_panel_times(tx: ReadTx) -> dict[PanelKey, tuple[int, int]]:
    """Return when every panel began and last changed."""
    columns = fairness_panel.c
    rows = tx.execute(
        select(columns.project_id, columns.segment_id, columns.family, columns.began_ns, columns.updated_ns)
    )
    return {PanelKey(row.project_id, row.segment_id, row.family): (row.began_ns, row.updated_ns) for row in rows}


def find_panel(tx: ReadTx, key: PanelKey) -> StoredPanel | None:
    """Return one panel as it stands, without locking it."""
    row = tx.execute(select(fairness_panel).where(_is_panel(fairness_panel.c, key))).first()
    return None if row is None else _row_to_panel(row)


def find_segment(tx: ReadTx, project: str, segment_id: int) -> Segment | None:
    """Return what a segment is about."""
    row = tx.execute(select(segment).where(segment.c.project_id == project, segment.c.id == segment_id)).first()
    return None if row is None else Segment(row.service, row.environment, row.deployment, row.model)


# Readings


def list_readings(tx: ReadTx, key: PanelKey) -> dict[tuple[str, str], StoredReading]:
    """Return what was last read of a panel's gaps, by group and outcome."""
    rows = tx.execute(select(fairness_reading).where(_is_panel(fairness_reading.c, key)))
    return {
        (row.group_name, row.outcome): StoredReading(
            key, row.group_name, row.outcome, row.state, orjson.loads(row.body), row.at_ns
        )
        for row in rows
    }


def save_readings(tx: WriteTx, readings: Sequence[StoredReading]) -> None:
    """Store what was read now, replacing what was read before."""
    statement = tx.insert(fairness_reading)
    statement = statement.on_conflict_do_update(
        index_elements=list(fairness_reading.primary_key.columns),
        set_={name: statement.excluded[name] for name in ("state", "body", "at_ns")},
    )
    tx.execute_many(
        statement,
        [
            {
                **_hypothesis(one.key, one.group, one.outcome),
                "state": one.state,
                "body": orjson.dumps(one.body),
                "at_ns": one.at_ns,
            }
            for one in readings
        ],
    )


def save_gaps(tx: WriteTx, gaps: Sequence[GapRow]) -> None:
    """Store gaps of a minute; a later look in the same minute replaces the earlier one."""
    names = ("pairs", "gap", "low", "high", "family_low", "family_high", "withheld")
    statement = tx.insert(fairness_gap)
    statement = statement.on_conflict_do_update(
        index_elements=list(fairness_gap.primary_key.columns),
        set_={name: statement.excluded[name] for name in names},
    )
    tx.execute_many(
        statement,
        [
            {
                **_hypothesis(one.key, one.group, one.outcome),
                "minute": one.minute,
                **{name: getattr(one, name) for name in names},
            }
            for one in gaps
        ],
    )


# Alarms


def insert_alarm(tx: WriteTx, alarm: StoredAlarm) -> None:
    """Store a new alarm."""
    tx.execute(
        fairness_alarm.insert().values(
            id=alarm.id,
            **_hypothesis(alarm.key, alarm.group, alarm.outcome),
            at_ns=alarm.at_ns,
            onset_ns=alarm.onset_ns,
            incident_id=alarm.incident_id,
            body=orjson.dumps(alarm.body),
            ended_ns=alarm.ended_ns,
        )
    )


def list_standing_alarms(tx: ReadTx, key: PanelKey) -> list[StoredAlarm]:
    """Return a panel's alarms since its comparison last began, oldest first."""
    columns = fairness_alarm.c
    rows = tx.execute(
        select(fairness_alarm)
        .where(_is_panel(columns, key), columns.ended_ns.is_(None))
        .order_by(columns.at_ns, columns.id)
    )
    return [
        StoredAlarm(
            row.id, key, row.group_name, row.outcome, row.at_ns, row.onset_ns, row.incident_id, orjson.loads(row.body)
        )
        for row in rows
    ]


def count_standing_alarms(tx: ReadTx) -> int:
    """Return how many alarms stand in all projects."""
    where = fairness_alarm.c.ended_ns.is_(None)
    return int(tx.execute(select(func.count()).select_from(fairness_alarm).where(where)).scalar_one())


# Budget of probes


def reserve_probe_budget(
    tx: WriteTx, project: str, day: int, *, calls: int, tokens: int, most_calls: int, most_tokens: int
) -> bool:
    """Set calls and tokens of a day aside; return ``False``, and change nothing, when that would exceed its budget."""
    columns = fairness_probe_day.c
    where = and_(columns.project_id == project, columns.day == day)
    fresh = tx.insert(fairness_probe_day).values(project_id=project, day=day, calls=0, tokens=0)
    tx.execute(fresh.on_conflict_do_nothing())
    row = tx.execute(select(columns.calls, columns.tokens).where(where).with_for_update()).one()
    if row.calls + calls > most_calls or row.tokens + tokens > most_tokens:
        return False
    tx.execute(update(fairness_probe_day).where(where).values(calls=row.calls + calls, tokens=row.tokens + tokens))
    return True


def settle_probe_budget(tx: WriteTx, project: str, day: int, *, calls: int, tokens: int) -> None:
    """Correct what was set aside by what was used: ``calls`` and ``tokens`` are the differences."""
    columns = fairness_probe_day.c
    where = and_(columns.project_id == project, columns.day == day)
    changes = {"calls": columns.calls + calls, "tokens": columns.tokens + tokens}
    tx.execute(update(fairness_probe_day).where(where).values(changes))


def _hypothesis(key: PanelKey, group: str, outcome: str) -> dict[str, Any]:
    return {
        "project_id": key.project,
        "segment_id": key.segment_id,
        "family": key.family,
        "group_name": group,
        "outcome": outcome,
    }


def _is_panel(columns: Any, key: PanelKey) -> Any:
    return and_(columns.project_id == key.project, columns.segment_id == key.segment_id, columns.family == key.family)


def _row_to_panel(row: Any) -> StoredPanel:
    key = PanelKey(row.project_id, row.segment_id, row.family)
    return StoredPanel(key, orjson.loads(zlib.decompress(row.body)), row.began_ns, row.updated_ns)
