"""The SQL of drift references under review: versions, what they are made of, and what accepting one changes.

Functions never commit; rows never leave.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import and_, func, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import drift_episode, drift_monitor, drift_place, drift_reference, exchange, segment, span
from custodes.kernel.errors import NotFoundError

ReferenceState = Literal["proposed", "active", "superseded", "rejected"]
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class DriftReference:
    """One version of what is usual for a deployment.

    ``source`` is ``{"kind": "first", "exchanges"}``, or ``{"kind": "period", "from_ns", "to_ns", "exchanges"}``, or
    ``{"kind": "pinned", "spans", "exchanges"}``, with ``"dataset"`` where one named them; ``exchanges`` are those it is
    learned from where nothing else counts.
    """

    id: str
    project_id: str
    place_id: int
    version: int
    state: ReferenceState
    source: Mapping[str, Any]
    reason: str
    requested_by: str
    created_ns: int
    decided_by: str | None
    decided_ns: int | None
    revision: int


@dataclass(frozen=True, slots=True)
class DriftPlace:
    """One deployment that is watched."""

    id: int
    project_id: str
    service: str
    environment: str
    deployment: str
    seen: int


def require_place(tx: ReadTx, project_id: str, place_id: int, *, lock: bool = False) -> DriftPlace:
    """Return a place of the project; raise ``NotFoundError`` for any other number."""
    columns = drift_place.c
    statement = select(drift_place).where(columns.id == place_id, columns.project_id == project_id)
    row = tx.execute(statement.with_for_update() if lock else statement).first()
    if row is None:
        raise NotFoundError(f"no deployment {place_id} is watched for drift; see GET /drift")
    return DriftPlace(row.id, row.project_id, row.service, row.environment, row.deployment, row.seen)


def insert_reference(tx: WriteTx, made: DriftReference) -> None:
    """Store a version."""
    values = {name: getattr(made, name) for name in DriftReference.__slots__ if name != "source"}
    tx.execute(drift_reference.insert().values(**values, source=orjson.dumps(dict(made.source))))


def next_version(tx: ReadTx, place_id: int) -> int:
    """Return the number of a place's next version; its row must be locked."""
    columns = drift_reference.c
    return (tx.execute(select(func.max(columns.version)).where(columns.place_id == place_id)).scalar_one() or 0) + 1


def require_reference(tx: ReadTx, project_id: str, reference_id: str) -> DriftReference:
    """Return a version of the project; raise ``NotFoundError`` for any other id."""
    columns = drift_reference.c
    where = and_(columns.id == reference_id, columns.project_id == project_id)
    row = tx.execute(select(drift_reference).where(where)).first()
    if row is None:
        raise NotFoundError(f"no drift reference {reference_id[:64]!r}; see GET /drift/references")
    return _row_to_reference(row)


def list_references(
    tx: ReadTx, project_id: str, *, place_id: int | None = None, state: ReferenceState | None = None, limit: int = 500
) -> list[DriftReference]:
    """Return versions, newest first."""
    columns = drift_reference.c
    statement = select(drift_reference).where(columns.project_id == project_id)
    if place_id is not None:
        statement = statement.where(columns.place_id == place_id)
    if state is not None:
        statement = statement.where(columns.state == state)
    rows = tx.execute(statement.order_by(columns.created_ns.desc(), columns.version.desc()).limit(limit))
    return [_row_to_reference(row) for row in rows]


def decide_reference(tx: WriteTx, reference: DriftReference, state: ReferenceState, actor: str, now_ns: int) -> None:
    """Store what became of a proposed version."""
    changes = {"state": state, "decided_by": actor, "decided_ns": now_ns, "revision": reference.revision + 1}
    tx.execute(update(drift_reference).where(drift_reference.c.id == reference.id).values(changes))


def supersede_references(tx: WriteTx, place_id: int) -> None:
    """Note that the versions in force at a place are no longer."""
    columns = drift_reference.c
    where = and_(columns.place_id == place_id, columns.state == "active")
    tx.execute(update(drift_reference).where(where).values(state="superseded", revision=columns.revision + 1))


def restart_monitors(tx: WriteTx, place: DriftPlace, reference_id: str, now_ns: int) -> int:
    """Let every monitor of a place begin anew under another version; return how many there are."""
    changes = {
        "reference_id": reference_id,
        "state": "learning",
        "first_number": place.seen,
        "learned": 0,
        "seen": 0,
        "statistic": 0.0,
        "body": None,
        "mark": secrets.token_bytes(16),
        "began_ns": now_ns,
        "updated_ns": now_ns,
    }
    return tx.execute(update(drift_monitor).where(drift_monitor.c.place_id == place.id).values(changes)).rowcount


def end_episodes(tx: WriteTx, place_id: int, now_ns: int) -> list[str]:
    """End what stands at a place as expected, and return the incidents that told of it."""
    columns = drift_episode.c
    standing = and_(columns.place_id == place_id, columns.ended_ns.is_(None))
    incidents = tx.execute(select(columns.incident_id).where(standing)).scalars()
    found = sorted({one for one in incidents if one is not None})
    # One that was not told of yet needs nobody's attention any more.
    tx.execute(update(drift_episode).where(standing, columns.told_ns.is_(None)).values(told_ns=now_ns))
    tx.execute(update(drift_episode).where(standing).values(ended_ns=now_ns, ended_as="expected"))
    return found


def count_period(tx: ReadTx, place: DriftPlace, from_ns: int, to_ns: int) -> int:
    """Return how many scored exchanges of a place happened in ``[from_ns, to_ns)``."""
    statement = (
        select(func.count())
        .select_from(exchange.join(segment, segment.c.id == exchange.c.segment_id))
        .where(
            exchange.c.project_id == place.project_id,
            segment.c.service == place.service,
            segment.c.environment == place.environment,
            segment.c.deployment == place.deployment,
            exchange.c.at_ns >= from_ns,
            exchange.c.at_ns < to_ns,
            exchange.c.scored_ns.is_not(None),
            exchange.c.repeated.is_(False),
        )
    )
    return int(tx.execute(statement).scalar_one())


def find_span_rows(tx: ReadTx, project_id: str, exchange_ids: Sequence[str]) -> dict[str, int]:
    """Return the span rows of exchanges (hex of trace and span id) that the project has."""
    names = frozenset(exchange_ids)
    found: dict[str, int] = {}
    spans = sorted({bytes.fromhex(one[32:]) for one in names})
    for start in range(0, len(spans), _CHUNK):
        statement = select(span.c.id, span.c.trace_id, span.c.span_id).where(
            span.c.project_id == project_id, span.c.span_id.in_(spans[start : start + _CHUNK])
        )
        for row in tx.execute(statement):
            name = row.trace_id.hex() + row.span_id.hex()
            if name in names:
                found[name] = row.id
    return found


def _row_to_reference(row: Any) -> DriftReference:
    values = {name: getattr(row, name) for name in DriftReference.__slots__ if name != "source"}
    return DriftReference(**values, source=orjson.loads(row.source))
