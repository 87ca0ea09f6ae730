"""The SQL of data sets: which exchanges a selection names, and what was exported. Functions never commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import and_, insert, select

from custodes.db import ReadTx, WriteTx
from custodes.db.segments import Segment
from custodes.db.tables import dataset, dataset_row, detector, exchange, incident, score, segment, span
from policies.audit.canonical import canonical_bytes

_CHUNK = 200


@dataclass(frozen=True, slots=True)
class Selection:
    """What to take: the traffic of an incident, of every incident of a policy, or exchanges by score and place.

    ``min_score`` goes with ``metric``. ``from_ns`` and ``to_ns`` bound the time of the exchanges.
    """

    incident: str | None = None
    policy: str | None = None
    metric: str | None = None
    min_score: float | None = None
    service: str | None = None
    deployment: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what was asked for, without what was not."""
        named = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in named.items() if value is not None}


def list_incident_rows(tx: ReadTx, project: str, chosen: Selection) -> list[Any]:
    """Return the rows of the incidents that a selection names, oldest first."""
    statement = select(incident).where(incident.c.project_id == project)
    if chosen.incident is not None:
        statement = statement.where(incident.c.id == chosen.incident)
    if chosen.policy is not None:
        statement = statement.where(incident.c.policy_id == chosen.policy)
    return list(tx.execute(statement.order_by(incident.c.opened_ns, incident.c.id)))


def find_exchanges(
    tx: ReadTx, project: str, places: Sequence[tuple[bytes, bytes]], chosen: Selection
) -> dict[tuple[bytes, bytes], int]:
    """Return the row numbers of those reviewed exchanges that the selection's place, time and score let through."""
    conditions: list[Any] = [span.c.project_id == project, exchange.c.repeated.is_(False)]
    if chosen.service is not None:
        conditions.append(span.c.service == chosen.service)
    if chosen.deployment is not None:
        conditions.append(span.c.deployment == chosen.deployment)
    if chosen.from_ns is not None:
        conditions.append(exchange.c.at_ns >= chosen.from_ns)
    if chosen.to_ns is not None:
        conditions.append(exchange.c.at_ns < chosen.to_ns)
    joined = exchange.join(span, span.c.id == exchange.c.span_id)
    if chosen.metric is not None:
        joined = joined.join(score, and_(score.c.span_id == span.c.id, score.c.metric == chosen.metric))
        conditions.append(score.c.value >= (0.0 if chosen.min_score is None else chosen.min_score))
    wanted = set(places)
    traces = sorted({trace for trace, _ in places})
    found: dict[tuple[bytes, bytes], int] = {}
    for start in range(0, len(traces), _CHUNK):
        statement = (
            select(span.c.trace_id, span.c.span_id, span.c.id)
            .select_from(joined)
            .where(*conditions, span.c.trace_id.in_(traces[start : start + _CHUNK]))
        )
        for row in tx.execute(statement):
            place = (bytes(row.trace_id), bytes(row.span_id))
            if place in wanted:
                found[place] = row.id
    return found


def read_users(tx: ReadTx, numbers: Sequence[int]) -> Mapping[int, str]:
    """Return the users of spans, by row number; without one it is left out."""
    found: dict[int, str] = {}
    for start in range(0, len(numbers), _CHUNK):
        statement = select(span.c.id, span.c.user_id).where(span.c.id.in_(numbers[start : start + _CHUNK]))
        found.update({row.id: row.user_id for row in tx.execute(statement) if row.user_id})
    return found


def read_project_segments(tx: ReadTx, project: str) -> dict[int, Segment]:
    """Return every segment of a project by its number."""
    rows = tx.execute(select(segment).where(segment.c.project_id == project))
    return {row.id: Segment(row.service, row.environment, row.deployment, row.model) for row in rows}


def read_detectors(tx: ReadTx, numbers: Sequence[int]) -> list[dict[str, str]]:
    """Return the detectors whose scores stand on the exchanges."""
    found: dict[int, dict[str, str]] = {}
    for start in range(0, len(numbers), 500):
        used = select(score.c.detector_id).where(score.c.span_id.in_(numbers[start : start + 500])).distinct()
        for row in tx.execute(select(detector).where(detector.c.id.in_(used))):
            found[row.id] = {"name": row.name, "version": row.version, "digest": row.digest}
    return [found[number] for number in sorted(found)]


def insert_dataset(
    tx: WriteTx, project: str, manifest: Mapping[str, Any], places: Sequence[tuple[bytes, bytes]], created_ns: int
) -> None:
    """Store that a data set was written, and which exchange stands in which of its rows."""
    tx.execute(
        insert(dataset).values(
            id=manifest["id"],
            project_id=project,
            author=manifest["author"],
            format=manifest["format"],
            rows=manifest["rows"],
            sha256=manifest["sha256"],
            manifest=canonical_bytes(manifest),
            created_ns=created_ns,
        )
    )
    rows = [
        {"dataset_id": manifest["id"], "n": number, "trace_id": trace_id, "span_id": span_id}
        for number, (trace_id, span_id) in enumerate(places)
    ]
    tx.execute_many(insert(dataset_row), rows)


def list_datasets(tx: ReadTx, project: str, *, dataset_id: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Return the manifests of a project's data sets, newest first."""
    columns = dataset.c
    statement = select(columns.manifest).where(columns.project_id == project)
    if dataset_id is not None:
        statement = statement.where(columns.id == dataset_id)
    rows = tx.execute(statement.order_by(columns.created_ns.desc(), columns.id.desc()).limit(limit))
    return [orjson.loads(row.manifest) for row in rows]


def datasets_of(tx: ReadTx, project: str, places: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """Return the data sets that hold any of some exchanges, given by trace and span id: what an erasure asks."""
    found: set[str] = set()
    for trace_id, span_id in places:
        statement = (
            select(dataset.c.id)
            .join(dataset_row, dataset_row.c.dataset_id == dataset.c.id)
            .where(
                and_(
                    dataset.c.project_id == project,
                    dataset_row.c.trace_id == trace_id,
                    dataset_row.c.span_id == span_id,
                )
            )
        )
        found.update(str(row.id) for row in tx.execute(statement))
    return sorted(found)
