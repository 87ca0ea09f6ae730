"""The SQL of data sets: which exchanges a selection names, and what was exported. Functions never commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import and_, func, insert, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.segments import Segment
from custodes.db.tables import (
    CONTENT_OF_SPAN,
    content_block,
    content_key,
    dataset,
    dataset_row,
    detector,
    exchange,
    incident,
    score,
    segment,
    span,
)
from custodes.kernel.clock import ns_to_rfc3339
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
    """Return the manifests of a project's data sets, newest first, each with ``stale``.

    ``stale`` is ``None``, or ``{at, reason}`` once somebody whose text is in it was erased.
    """
    columns = dataset.c
    statement = select(columns.manifest, columns.erased_ns).where(columns.project_id == project)
    if dataset_id is not None:
        statement = statement.where(columns.id == dataset_id)
    rows = tx.execute(statement.order_by(columns.created_ns.desc(), columns.id.desc()).limit(limit))
    return [orjson.loads(row.manifest) | {"stale": _to_stale(row.erased_ns)} for row in rows]


def read_members(tx: ReadTx, project: str, dataset_id: str) -> list[str]:
    """Return the ids of the exchanges in a project's data set, in the order of its rows; none without such a set."""
    statement = (
        select(dataset_row.c.trace_id, dataset_row.c.span_id)
        .join(dataset, dataset.c.id == dataset_row.c.dataset_id)
        .where(dataset.c.project_id == project, dataset.c.id == dataset_id)
        .order_by(dataset_row.c.n)
    )
    return [row.trace_id.hex() + row.span_id.hex() for row in tx.execute(statement)]


def _to_stale(erased_ns: int | None) -> dict[str, Any] | None:
    if erased_ns is None:
        return None
    return {
        "at": ns_to_rfc3339(erased_ns),
        "reason": "it holds text of somebody who was erased since; export a new one",
    }


def datasets_of(tx: ReadTx, project: str, subject: str) -> dict[str, int]:
    """Return the data sets that hold exchanges of a user, each with how many of its rows do: what an erasure asks."""
    rows = dataset_row.join(dataset, dataset.c.id == dataset_row.c.dataset_id).join(
        span,
        and_(
            span.c.project_id == dataset.c.project_id,
            span.c.trace_id == dataset_row.c.trace_id,
            span.c.span_id == dataset_row.c.span_id,
        ),
    )
    statement = (
        select(dataset.c.id, func.count().label("rows"))
        .select_from(rows)
        .where(dataset.c.project_id == project, span.c.user_id == subject)
        .group_by(dataset.c.id)
        .order_by(dataset.c.id)
    )
    return {str(row.id): int(row.rows) for row in tx.execute(statement)}


def mark_erased(tx: WriteTx, dataset_ids: Collection[str], now_ns: int) -> None:
    """Mark data sets as holding text that was erased at ``now_ns``."""
    tx.execute(update(dataset).where(dataset.c.id.in_(sorted(dataset_ids))).values(erased_ns=now_ns))


def count_exchanges(tx: ReadTx, project: str, subject: str) -> tuple[int, int]:
    """Return how many exchanges of a user there are, and how many of them are readable: no destroyed key hides them."""
    gone = content_key.c.destroyed_ns.is_not(None)
    joined = (
        exchange.join(span, span.c.id == exchange.c.span_id)
        .join(content_block, content_block.c.id == CONTENT_OF_SPAN)
        .outerjoin(content_key, content_key.c.id == content_block.c.key_id)
    )
    statement = (
        select(func.count().label("exchanges"), func.count().filter(gone).label("erased"))
        .select_from(joined)
        .where(span.c.project_id == project, span.c.user_id == subject)
    )
    row = tx.execute(statement).one()
    return int(row.exchanges), int(row.exchanges) - int(row.erased)


def any_erased(tx: ReadTx, numbers: Sequence[int]) -> bool:
    """Return whether the text of any of these spans was erased."""
    joined = span.join(content_block, content_block.c.id == CONTENT_OF_SPAN).join(
        content_key, content_key.c.id == content_block.c.key_id
    )
    for start in range(0, len(numbers), _CHUNK):
        wanted = span.c.id.in_(numbers[start : start + _CHUNK])
        statement = select(span.c.id).select_from(joined).where(wanted, content_key.c.destroyed_ns.is_not(None))
        if tx.execute(statement.limit(1)).first() is not None:
            return True
    return False
