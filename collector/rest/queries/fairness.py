"""Gaps between groups as the API shows them: the newest reading of each, with its strata and its standing alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import and_, select

from collector.rest.parameters import TimeRange
from custodes.db import ReadTx
from custodes.db.tables import fairness_alarm, fairness_gap, fairness_reading, segment
from custodes.kernel.clock import MINUTE_NS, ns_to_minute, ns_to_rfc3339

MAX_GAPS = 2_000
MAX_POINTS = 1_000
_ORDER = ("gap", "withheld", "watching", "within_tolerance", "too_few_data")


@dataclass(frozen=True, slots=True)
class GapFilter:
    """Which gaps; ``None`` does not restrict."""

    service: str | None = None
    deployment: str | None = None
    outcome: str | None = None
    group: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class GapKey:
    """One gap: a segment's number, the family of its groups, the group and the outcome."""

    segment_id: int
    family: str
    group: str
    outcome: str


def list_gaps(tx: ReadTx, project: str, wanted: GapFilter) -> list[dict[str, Any]]:
    """Return at most 2,000 gaps: alarms first, then by how far the interval lies from zero."""
    reading = fairness_reading.c
    restricted = [
        (segment.c.service, wanted.service),
        (segment.c.deployment, wanted.deployment),
        (reading.outcome, wanted.outcome),
        (reading.group_name, wanted.group),
        (reading.state, wanted.state),
    ]
    statement = (
        select(fairness_reading, segment.c.service, segment.c.environment, segment.c.deployment, segment.c.model)
        .join(segment, and_(segment.c.id == reading.segment_id, segment.c.project_id == reading.project_id))
        .where(reading.project_id == project, *(column == value for column, value in restricted if value is not None))
        .order_by(reading.segment_id, reading.family, reading.group_name, reading.outcome)
        .limit(MAX_GAPS)
    )
    alarms = _standing_alarms(tx, project)
    rows = [
        _row_to_json(row, alarms.get((row.segment_id, row.family, row.group_name, row.outcome)))
        for row in tx.execute(statement)
    ]
    return sorted(rows, key=lambda row: (_ORDER.index(row["state"]), -_strength(row)))


def list_points(tx: ReadTx, project: str, key: GapKey, span: TimeRange) -> list[dict[str, Any]]:
    """Return the course of one gap in a range, oldest first, at most the newest 1,000 points."""
    gap = fairness_gap.c
    statement = (
        select(fairness_gap)
        .where(
            gap.project_id == project,
            gap.segment_id == key.segment_id,
            gap.family == key.family,
            gap.group_name == key.group,
            gap.outcome == key.outcome,
            gap.minute >= ns_to_minute(span.from_ns),
            gap.minute <= ns_to_minute(span.to_ns),
        )
        .order_by(gap.minute.desc())
        .limit(MAX_POINTS)
    )
    return [
        {
            "at": ns_to_rfc3339(row.minute * MINUTE_NS),
            "pairs": row.pairs,
            "gap": row.gap,
            "gap_low": row.low,
            "gap_high": row.high,
            "withheld": row.withheld,
        }
        for row in reversed(list(tx.execute(statement)))
    ]


def _standing_alarms(tx: ReadTx, project: str) -> dict[tuple[int, str, str, str], Any]:
    alarm = fairness_alarm.c
    rows = tx.execute(select(fairness_alarm).where(alarm.project_id == project, alarm.ended_ns.is_(None)))
    return {(row.segment_id, row.family, row.group_name, row.outcome): row for row in rows}


def _row_to_json(row: Any, alarm: Any) -> dict[str, Any]:
    body = orjson.loads(row.body)
    return {
        "segment_id": row.segment_id,
        "service": row.service,
        "environment": row.environment,
        "deployment": row.deployment,
        "model": row.model,
        "family": row.family,
        "group": row.group_name,
        "outcome": row.outcome,
        "state": row.state,
        "at": ns_to_rfc3339(row.at_ns),
        "n_group": body["n_group"],
        "n_others": body["n_others"],
        "unplaced": body["unplaced"],
        **_interval_to_json(body["whole"]),
        "recent": _interval_to_json(body["recent"]),
        "statistic": body["statistic"],
        "direction": "higher" if body["higher"] else "lower",
        "metric": body["made_by"],
        "audited": body["audited"],
        "own_gap": body["own_gap"],
        "strata": [
            {
                "stratum": one["name"],
                "n_group": one["members"],
                "n_others": one["others"],
                "pairs": one["pairs"],
                "mean_group": one["member_mean"],
                "mean_others": one["other_mean"],
                "gap": one["gap"],
            }
            for one in body["strata"]
        ],
        "alarm": None if alarm is None else _alarm_to_json(alarm),
    }


def _interval_to_json(body: dict[str, Any]) -> dict[str, Any]:
    since_ns = body["since_ns"]
    return {
        "pairs": body["pairs"],
        "gap": body["gap"],
        "gap_low": body["low"],
        "gap_high": body["high"],
        "since": None if since_ns is None else ns_to_rfc3339(since_ns),
    }


def _alarm_to_json(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": ns_to_rfc3339(row.at_ns),
        "onset": None if row.onset_ns is None else ns_to_rfc3339(row.onset_ns),
        "incident_id": row.incident_id,
    }


def _strength(row: dict[str, Any]) -> float:
    """Return by how much the interval keeps away from zero; negative when zero is inside."""
    return float(max(row["recent"]["gap_low"], -row["recent"]["gap_high"]))
