"""The SQL of the job beside the drift monitors: what is due, the exchanges behind numbers, fits and endings.

Functions never commit. Exchanges are named by their span rows, as ``(n,)`` arrays of int64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import and_, delete, func, or_, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import (
    detector,
    drift_chunk,
    drift_episode,
    drift_fit,
    drift_monitor,
    drift_place,
    drift_reference,
    embedding,
    exchange,
    score,
    segment,
    span,
)
from custodes.runtime.drift_streams import EMBEDDED, UNSTORED
from custodes.runtime.store_drift import HeldPlace, Place, StoredMonitor, StoredReference, row_to_monitor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.int64]

_CHUNK: Final = 500
MOST_NUMBERED: Final = 1_000_000
"""Exchanges behind whose numbers somebody may still look, at most: eight bytes each."""
_OF_SPANS: Final[Mapping[str, Callable[[Any], float | None]]] = {
    "latency_ms": lambda row: (
        (row.end_ns - row.start_ns) / 1e6 if row.complete and row.end_ns >= row.start_ns else None
    ),
    "ttft_ms": lambda row: row.ttft_ms,
    "cost_usd": lambda row: row.cost_usd,
    "input_tokens": lambda row: row.input_tokens,
    "output_tokens": lambda row: row.output_tokens,
}
_PLACE: Final = [
    drift_place.c[name].label(f"place_{name}") for name in ("service", "environment", "deployment", "seen")
]


@dataclass(frozen=True, slots=True)
class Learner:
    """A monitor that waits for its reference to be fitted."""

    monitor: StoredMonitor
    reference: StoredReference
    place: Place
    place_seen: int


@dataclass(frozen=True, slots=True)
class StoredEpisode:
    """One stretch of drift, with its monitor and place; numbers are the place's."""

    id: str
    monitor: StoredMonitor
    place: Place
    reference_version: int
    at_number: int
    onset_number: int
    last_number: int
    at_ns: int
    statistic: float
    threshold: float
    view: str
    incident_id: str | None
    repeats: int
    body: bytes | None
    place_seen: int

    @property
    def through(self) -> int | None:
        """The last exchange that its explanation knows of; ``None`` before it was explained."""
        return None if self.body is None else int(orjson.loads(self.body)["through"])


# What is due


def list_learners(tx: ReadTx) -> list[Learner]:
    """Return monitors that have learned enough to be fitted, and those with a chosen reference."""
    columns = drift_monitor.c
    statement = (
        select(drift_monitor, drift_reference.c.version, drift_reference.c.source, *_PLACE)
        .join(drift_reference, drift_reference.c.id == columns.reference_id)
        .join(drift_place, drift_place.c.id == columns.place_id)
        .where(columns.state == "learning", or_(columns.name.in_(EMBEDDED), columns.body.is_(None)))
        .order_by(columns.id)
    )
    found = []
    for row in tx.execute(statement):
        source = orjson.loads(row.source)
        monitor = row_to_monitor(row)
        is_embedded = monitor.name in EMBEDDED
        if source["kind"] == "first":
            is_due = is_embedded and monitor.learned >= source["exchanges"]
        else:
            is_due = is_embedded or monitor.name not in UNSTORED
        if is_due:
            reference = StoredReference(monitor.reference_id, row.version, source)
            found.append(Learner(monitor, reference, _row_to_place(row), row.place_seen))
    return found


def list_places(tx: ReadTx) -> dict[int, int]:
    """Return how many exchanges every place has taken in."""
    return {row.id: row.seen for row in tx.execute(select(drift_place.c.id, drift_place.c.seen))}


def list_untold(tx: ReadTx, *, limit: int = 50) -> list[StoredEpisode]:
    """Return episodes that nobody has been told of, oldest first."""
    return _list_episodes(tx, drift_episode.c.told_ns.is_(None), limit)


def list_standing(tx: ReadTx) -> list[StoredEpisode]:
    """Return episodes that have been told and have not ended."""
    return _list_episodes(tx, and_(drift_episode.c.told_ns.is_not(None), drift_episode.c.ended_ns.is_(None)), 10_000)


def _list_episodes(tx: ReadTx, where: Any, limit: int) -> list[StoredEpisode]:
    columns = drift_episode.c
    own = [columns[name].label(f"episode_{name}") for name in _EPISODE]
    statement = (
        select(drift_monitor, drift_reference.c.version, *own, *_PLACE)
        .join(drift_monitor, drift_monitor.c.id == columns.monitor_id)
        .join(drift_place, drift_place.c.id == columns.place_id)
        .join(drift_reference, drift_reference.c.id == columns.reference_id)
        .where(where)
        .order_by(columns.at_ns, columns.id)
        .limit(limit)
    )
    return [
        StoredEpisode(
            monitor=row_to_monitor(row),
            place=_row_to_place(row),
            reference_version=row.version,
            place_seen=row.place_seen,
            **{name: getattr(row, f"episode_{name}") for name in _EPISODE},
        )
        for row in tx.execute(statement)
    ]


def _row_to_place(row: Any) -> Place:
    return Place(row.project_id, row.place_service, row.place_environment, row.place_deployment)


_EPISODE: Final = (
    "id",
    "at_number",
    "onset_number",
    "last_number",
    "at_ns",
    "statistic",
    "threshold",
    "view",
    "incident_id",
    "repeats",
    "body",
)


def find_last_alarm(tx: ReadTx, monitor_id: int, before: int) -> int | None:
    """Return the number of a monitor's last alarm before the exchange ``before``."""
    columns = drift_episode.c
    statement = select(func.max(columns.last_number)).where(
        columns.monitor_id == monitor_id, columns.at_number < before
    )
    return tx.execute(statement).scalar_one_or_none()


# Exchanges behind numbers


def read_rows(tx: ReadTx, place_id: int, first: int, until: int) -> tuple[Rows, Rows]:
    """Return the numbers from ``first`` up to but without ``until`` that are still known, and their span rows."""
    import numpy as np  # noqa: PLC0415  # Serving does without it.

    columns = drift_chunk.c
    statement = (
        select(columns.first_number, columns.spans)
        .where(columns.place_id == place_id, columns.first_number < until, columns.first_number + columns.count > first)
        .order_by(columns.first_number)
    )
    numbers = [np.zeros(0, dtype=np.int64)]
    rows = [np.zeros(0, dtype=np.int64)]
    for row in tx.execute(statement):
        spans = np.frombuffer(row.spans, dtype="<i8").astype(np.int64)
        numbers.append(np.arange(row.first_number, row.first_number + len(spans), dtype=np.int64))
        rows.append(spans)
    every, named = np.concatenate(numbers), np.concatenate(rows)
    inside = (every >= first) & (every < until)
    return every[inside], named[inside]


def read_period(tx: ReadTx, place: Place, from_ns: int, to_ns: int, *, limit: int) -> Rows:
    """Return the span rows of a place's exchanges that happened in ``[from_ns, to_ns)``, oldest first."""
    import numpy as np  # noqa: PLC0415

    statement = (
        select(exchange.c.span_id)
        .join(segment, segment.c.id == exchange.c.segment_id)
        .where(
            exchange.c.project_id == place.project,
            segment.c.service == place.service,
            segment.c.environment == place.environment,
            segment.c.deployment == place.deployment,
            exchange.c.at_ns >= from_ns,
            exchange.c.at_ns < to_ns,
            exchange.c.scored_ns.is_not(None),
            exchange.c.repeated.is_(False),
        )
        .order_by(exchange.c.at_ns, exchange.c.span_id)
        .limit(limit)
    )
    return np.fromiter((row.span_id for row in tx.execute(statement)), dtype=np.int64)


def read_vectors(tx: ReadTx, rows: Rows, field: str, maker: str) -> npt.NDArray[np.float64]:
    """Return ``(n, dim)`` embeddings of span rows by one maker; an exchange without one gets zeros."""
    import numpy as np  # noqa: PLC0415

    made_by = {
        row.id: f"{row.name}@{row.version} {row.digest}"
        for row in tx.execute(select(detector.c.id, detector.c.name, detector.c.version, detector.c.digest))
    }
    dim = int(maker.rpartition(" ")[2])
    found = np.zeros((len(rows), dim))
    place_of = {int(row): index for index, row in enumerate(rows)}
    for part in _parts(rows):
        columns = embedding.c
        statement = select(embedding).where(columns.span_id.in_(part), columns.field == field, columns.dim == dim)
        for row in tx.execute(statement):
            if f"{made_by[row.detector_id]} dim {row.dim}" == maker:
                found[place_of[row.span_id]] = np.frombuffer(row.vector, dtype="<f2")
    return found


def read_numbers(tx: ReadTx, rows: Rows, name: str, maker: str) -> npt.NDArray[np.float64]:
    """Return ``(n,)`` values of span rows, NaN where there is none; of ``UNSTORED`` numbers all are NaN."""
    import numpy as np  # noqa: PLC0415

    found = np.full(len(rows), np.nan)
    place_of = {int(row): index for index, row in enumerate(rows)}
    for part in _parts(rows):
        for number, value in _read_part(tx, part, name, maker):
            if value is not None:
                found[place_of[number]] = value
    return found


def _read_part(tx: ReadTx, part: list[int], name: str, maker: str) -> list[tuple[int, float | None]]:
    if name in UNSTORED:
        return []
    if name in _OF_SPANS:
        read = _OF_SPANS[name]
        return [(row.id, read(row)) for row in tx.execute(select(span).where(span.c.id.in_(part)))]
    statement = (
        select(score.c.span_id, score.c.value, detector.c.name, detector.c.version, detector.c.digest)
        .join(detector, detector.c.id == score.c.detector_id)
        .where(score.c.span_id.in_(part), score.c.metric == name)
    )
    return [
        (row.span_id, row.value) for row in tx.execute(statement) if f"{row.name}@{row.version} {row.digest}" == maker
    ]


def name_exchanges(tx: ReadTx, rows: Sequence[int]) -> dict[int, str]:
    """Return the ids of exchanges by their span rows; those that are gone are left out."""
    found: dict[int, str] = {}
    for start in range(0, len(rows), _CHUNK):
        part = [int(one) for one in rows[start : start + _CHUNK]]
        statement = select(span.c.id, span.c.trace_id, span.c.span_id).where(span.c.id.in_(part))
        found |= {row.id: row.trace_id.hex() + row.span_id.hex() for row in tx.execute(statement)}
    return found


def find_times(tx: ReadTx, rows: Sequence[int]) -> dict[int, int]:
    """Return when exchanges happened, by their span rows."""
    statement = select(exchange.c.span_id, exchange.c.at_ns).where(exchange.c.span_id.in_([int(one) for one in rows]))
    return {row.span_id: row.at_ns for row in tx.execute(statement)}


def _parts(rows: Rows) -> list[list[int]]:
    every = [int(one) for one in rows]
    return [every[start : start + _CHUNK] for start in range(0, len(every), _CHUNK)]


# What the job writes


def find_monitor(tx: ReadTx, number: int) -> StoredMonitor | None:
    """Return one monitor as it stands."""
    row = tx.execute(select(drift_monitor).where(drift_monitor.c.id == number)).first()
    return None if row is None else row_to_monitor(row)


def save_fit(tx: WriteTx, monitor: StoredMonitor, body: bytes, digest: str, rows: Rows, now_ns: int) -> None:
    """Store what was fitted for a monitor under its reference, in place of what an earlier release fitted."""
    columns = drift_fit.c
    same = and_(
        columns.reference_id == monitor.reference_id, columns.name == monitor.name, columns.maker == monitor.maker
    )
    tx.execute(delete(drift_fit).where(same))
    tx.execute(
        drift_fit.insert().values(
            reference_id=monitor.reference_id,
            name=monitor.name,
            maker=monitor.maker,
            body=body,
            digest=digest,
            rows=len(rows),
            spans=rows.astype("<i8").tobytes(),
            at_ns=now_ns,
        )
    )


def tell_episode(
    tx: WriteTx, episode_id: str, body: Mapping[str, Any], onset_ns: int | None, incident_id: str, now_ns: int
) -> None:
    """Note what was explained of an episode, and the incident that tells of it."""
    changes = {
        "body": orjson.dumps(dict(body)),
        "onset_ns": onset_ns,
        "incident_id": incident_id,
        "told_ns": now_ns,
    }
    tx.execute(update(drift_episode).where(drift_episode.c.id == episode_id).values(changes))


def refresh_episode(tx: WriteTx, episode_id: str, body: Mapping[str, Any]) -> None:
    """Replace what was explained of an episode, now that more is known."""
    tx.execute(update(drift_episode).where(drift_episode.c.id == episode_id).values(body=orjson.dumps(dict(body))))


def end_episode(tx: WriteTx, episode_id: str, last_number: int, how: str, now_ns: int) -> bool:
    """End an episode unless it went on meanwhile; return whether it did end."""
    columns = drift_episode.c
    where = and_(columns.id == episode_id, columns.last_number == last_number, columns.ended_ns.is_(None))
    return tx.execute(update(drift_episode).where(where).values(ended_ns=now_ns, ended_as=how)).rowcount == 1


def list_open_incident_ids(tx: ReadTx, place_id: int) -> list[str]:
    """Return the incidents of a place's standing episodes, newest first."""
    columns = drift_episode.c
    where = and_(columns.place_id == place_id, columns.ended_ns.is_(None), columns.incident_id.is_not(None))
    return list(tx.execute(select(columns.incident_id).where(where).order_by(columns.at_ns.desc())).scalars())


def count_standing(tx: ReadTx) -> int:
    """Return how many episodes stand, in all projects."""
    standing = drift_episode.c.ended_ns.is_(None)
    return int(tx.execute(select(func.count()).select_from(drift_episode).where(standing)).scalar_one())


def prune_chunks(tx: WriteTx, held: HeldPlace, keep: int) -> None:
    """Forget which exchanges had numbers before the newest ``keep``, and before what any monitor still learns from."""
    columns = drift_monitor.c
    learning = select(func.min(columns.first_number)).where(
        columns.place_id == held.id, columns.state == "learning", columns.name.in_(EMBEDDED)
    )
    first = tx.execute(learning).scalar_one_or_none()
    needed = held.seen if first is None else max(first, held.seen - MOST_NUMBERED)
    until = min(held.seen - keep, needed)
    chunk = drift_chunk.c
    tx.execute(delete(drift_chunk).where(chunk.place_id == held.id, chunk.first_number + chunk.count <= until))
