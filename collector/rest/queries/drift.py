"""Drift as the API shows it: monitors with their course, stretches of drift with their story, references, reports."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import and_, select

from collector.rest.parameters import TimeRange
from custodes.db import ReadTx, WriteTx
from custodes.db.tables import (
    drift_episode,
    drift_monitor,
    drift_place,
    drift_point,
    drift_reference,
    drift_report,
)
from custodes.kernel.clock import MINUTE_NS, ns_to_minute, ns_to_rfc3339
from custodes.kernel.errors import NotFoundError
from policies.drift_references import source_to_json
from policies.store_drift_references import DriftReference

MAX_MONITORS = 2_000
MAX_POINTS = 1_000
MAX_EPISODES = 200
_ORDER = ("drift", "damaged", "watching", "learning")


@dataclass(frozen=True, slots=True)
class DriftFilter:
    """Which monitors or episodes; ``None`` does not restrict."""

    service: str | None = None
    deployment: str | None = None
    monitor: str | None = None
    state: str | None = None
    place_id: int | None = None


def list_monitors(tx: ReadTx, project: str, wanted: DriftFilter) -> list[dict[str, Any]]:
    """Return at most 2,000 monitors: what drifts first, then by how near the statistic is to the alarm line."""
    columns = drift_monitor.c
    statement = (
        select(
            *(one for one in columns if one.name not in ("body", "mark")),
            drift_place.c.service,
            drift_place.c.environment,
            drift_place.c.deployment,
            drift_reference.c.version,
            drift_reference.c.source,
        )
        .join(drift_place, drift_place.c.id == columns.place_id)
        .join(drift_reference, drift_reference.c.id == columns.reference_id)
        .where(columns.project_id == project, *_restrict(wanted))
        .order_by(columns.id)
        .limit(MAX_MONITORS)
    )
    episodes = _standing(tx, project)
    rows = [_monitor_to_json(row, episodes.get(row.id)) for row in tx.execute(statement)]
    newest: dict[tuple[int, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["place_id"], row["monitor"])
        if key not in newest or row["updated_at"] >= newest[key]["updated_at"]:
            newest[key] = row
    for row in rows:
        row["current"] = newest[row["place_id"], row["monitor"]] is row
    found = [row for row in rows if wanted.state in (None, row["state"])]
    return sorted(found, key=lambda row: (_ORDER.index(row["state"]), not row["current"], -_nearness(row)))


def list_points(tx: ReadTx, project: str, monitor_id: int, span: TimeRange) -> list[dict[str, Any]]:
    """Return the course of one monitor's statistic in a range, oldest first, at most the newest 1,000 minutes."""
    point = drift_point.c
    statement = (
        select(drift_point)
        .where(
            point.project_id == project,
            point.monitor_id == monitor_id,
            point.minute >= ns_to_minute(span.from_ns),
            point.minute <= ns_to_minute(span.to_ns),
        )
        .order_by(point.minute.desc())
        .limit(MAX_POINTS)
    )
    return [
        {
            "at": ns_to_rfc3339(row.minute * MINUTE_NS),
            "statistic": row.statistic,
            "threshold": row.threshold,
            "seen": row.seen,
            "alarms": row.alarms,
        }
        for row in reversed(list(tx.execute(statement)))
    ]


def list_episodes(tx: ReadTx, project: str, wanted: DriftFilter) -> list[dict[str, Any]]:
    """Return the newest 200 stretches of drift, without their stories; ``state`` is ``standing`` or ``ended``."""
    columns = drift_episode.c
    ended = {"standing": [columns.ended_ns.is_(None)], "ended": [columns.ended_ns.is_not(None)]}
    statement = (
        _episodes()
        .where(columns.project_id == project, *_restrict(wanted), *ended.get(wanted.state or "", []))
        .order_by(columns.at_ns.desc(), columns.id.desc())
        .limit(MAX_EPISODES)
    )
    return [_episode_to_json(row) for row in tx.execute(statement)]


def read_episode(tx: ReadTx, project: str, episode_id: str) -> dict[str, Any]:
    """Return one stretch of drift with its story and its reports; raise ``NotFoundError`` for any other id."""
    columns = drift_episode.c
    row = tx.execute(_episodes().where(columns.project_id == project, columns.id == episode_id)).first()
    if row is None:
        raise NotFoundError(f"no stretch of drift {episode_id[:64]!r}; see GET /drift/episodes")
    reports = list_reports(tx, project, episode_id=episode_id)
    story = None if row.body is None else orjson.loads(row.body)
    return {**_episode_to_json(row), "explanation": story, "reports": reports}


def reference_to_json(one: DriftReference) -> dict[str, Any]:
    """Return a version of what is usual."""
    return {
        "id": one.id,
        "place_id": one.place_id,
        "version": one.version,
        "state": one.state,
        "source": source_to_json(one.source),
        "reason": one.reason,
        "requested_by": one.requested_by,
        "created_at": ns_to_rfc3339(one.created_ns),
        "decided_by": one.decided_by,
        "decided_at": None if one.decided_ns is None else ns_to_rfc3339(one.decided_ns),
        "revision": one.revision,
    }


def list_reports(tx: ReadTx, project: str, *, episode_id: str | None = None) -> list[dict[str, Any]]:
    """Return the newest 200 reports, without what they say."""
    columns = drift_report.c
    statement = (
        select(*(one for one in columns if one.name not in ("html", "body")), drift_monitor.c.name.label("monitor"))
        .join(drift_monitor, drift_monitor.c.id == columns.monitor_id)
        .where(columns.project_id == project)
    )
    if episode_id is not None:
        statement = statement.where(columns.episode_id == episode_id)
    rows = tx.execute(statement.order_by(columns.created_ns.desc(), columns.id.desc()).limit(MAX_EPISODES))
    return [_report_to_json(row) for row in rows]


def read_report(tx: ReadTx, project: str, report_id: str, column: str) -> bytes:
    """Return a report as ``html`` or as JSON (``body``); raise ``NotFoundError`` unless it is ready."""
    columns = drift_report.c
    where = and_(columns.project_id == project, columns.id == report_id, columns.state == "ready")
    packed = tx.execute(select(columns[column]).where(where)).scalar_one_or_none()
    if packed is None:
        raise NotFoundError(f"no report {report_id[:64]!r} is ready; see GET /drift/reports")
    return zlib.decompress(packed)


def request_report(
    tx: WriteTx, project: str, monitor_id: int, episode_id: str | None, report_id: str, actor: str, now_ns: int
) -> None:
    """Ask for a report of a monitor of embeddings; raise ``NotFoundError`` when the project has no such monitor."""
    columns = drift_monitor.c
    where = and_(columns.id == monitor_id, columns.project_id == project, columns.name.in_(("prompt", "response")))
    if tx.execute(select(columns.id).where(where)).first() is None:
        raise NotFoundError(f"no monitor {monitor_id} of embeddings; see GET /drift")
    tx.execute(
        drift_report.insert().values(
            id=report_id,
            project_id=project,
            monitor_id=monitor_id,
            episode_id=episode_id,
            state="requested",
            requested_by=actor,
            created_ns=now_ns,
        )
    )


def _restrict(wanted: DriftFilter) -> list[Any]:
    given = [
        (drift_place.c.service, wanted.service),
        (drift_place.c.deployment, wanted.deployment),
        (drift_place.c.id, wanted.place_id),
        (drift_monitor.c.name, wanted.monitor),
    ]
    return [column == value for column, value in given if value is not None]


def _episodes() -> Any:
    places = (drift_place.c.service, drift_place.c.environment, drift_place.c.deployment)
    return (
        select(drift_episode, drift_monitor.c.name.label("monitor"), drift_reference.c.version, *places)
        .join(drift_monitor, drift_monitor.c.id == drift_episode.c.monitor_id)
        .join(drift_place, drift_place.c.id == drift_episode.c.place_id)
        .join(drift_reference, drift_reference.c.id == drift_episode.c.reference_id)
    )


def _standing(tx: ReadTx, project: str) -> Mapping[int, Any]:
    columns = drift_episode.c
    standing = and_(columns.project_id == project, columns.ended_ns.is_(None))
    return {row.monitor_id: row for row in tx.execute(select(drift_episode).where(standing))}


def _monitor_to_json(row: Any, episode: Any) -> dict[str, Any]:
    source = orjson.loads(row.source)
    return {
        "monitor_id": row.id,
        "place_id": row.place_id,
        "service": row.service,
        "environment": row.environment,
        "deployment": row.deployment,
        "monitor": row.name,
        "maker": row.maker,
        "state": "drift" if episode is not None and row.state == "watching" else row.state,
        "statistic": row.statistic,
        "threshold": row.threshold,
        "learned": row.learned,
        "seen": row.seen,
        "reference": {"id": row.reference_id, "version": row.version, "source": source_to_json(source)},
        "began_at": ns_to_rfc3339(row.began_ns),
        "updated_at": ns_to_rfc3339(row.updated_ns),
        "episode": None if episode is None else _standing_to_json(episode),
    }


def _standing_to_json(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": ns_to_rfc3339(row.at_ns),
        "onset": None if row.onset_ns is None else ns_to_rfc3339(row.onset_ns),
        "incident_id": row.incident_id,
        "repeats": row.repeats,
    }


def _episode_to_json(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "monitor_id": row.monitor_id,
        "place_id": row.place_id,
        "service": row.service,
        "environment": row.environment,
        "deployment": row.deployment,
        "monitor": row.monitor,
        "at": ns_to_rfc3339(row.at_ns),
        "onset": None if row.onset_ns is None else ns_to_rfc3339(row.onset_ns),
        "last_at": ns_to_rfc3339(row.last_ns),
        "repeats": row.repeats,
        "statistic": row.statistic,
        "threshold": row.threshold,
        "view": row.view,
        "reference_version": row.version,
        "incident_id": row.incident_id,
        "ended_at": None if row.ended_ns is None else ns_to_rfc3339(row.ended_ns),
        "ended_as": row.ended_as,
    }


def _report_to_json(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "monitor_id": row.monitor_id,
        "monitor": row.monitor,
        "episode_id": row.episode_id,
        "state": row.state,
        "requested_by": row.requested_by,
        "created_at": ns_to_rfc3339(row.created_ns),
        "ready_at": None if row.ready_ns is None else ns_to_rfc3339(row.ready_ns),
        "rows_before": row.rows_before,
        "rows_since": row.rows_since,
        "error": row.error,
    }


def _nearness(row: dict[str, Any]) -> float:
    """Return how near the statistic is to its alarm line, as a share."""
    return float(row["statistic"] / row["threshold"]) if row["threshold"] else 0.0
