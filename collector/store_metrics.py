"""Stores metric points: each series once, each point of a series and process once.

A series is a metric of one service with one set of attributes. How many a project may have is bounded, because
attributes are the client's to choose: points of further series are rejected, those of known ones go on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson
from sqlalchemy import BigInteger, ColumnElement, bindparam, case, func, select, update

from collector.arrivals import fit_text
from collector.content.body import to_json
from collector.dialects.redact import redact_attributes
from collector.otlp.metric_points import RawPoint
from collector.otlp.spans import Rejection
from custodes.db.database import WriteTx
from custodes.db.tables import metric_point, metric_series, project
from custodes.kernel.ids import RowIds

MAX_ATTRIBUTES_BYTES = 4_096
"""Longest attributes of a series, as JSON: they tell series apart, and are no place for texts."""

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class StoredPoints:
    """What became of the points of one request."""

    stored: int
    duplicates: int
    rejected: Counter[Rejection] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Series:
    """What a row of ``metric_series`` says; ``digest`` is taken of all of it."""

    service: str
    name: str
    unit: str
    kind: str
    temporality: str
    monotonic: bool
    attributes: str

    @property
    def digest(self) -> bytes:
        parts = [self.service, self.name, self.unit, self.kind, self.temporality, self.monotonic, self.attributes]
        return hashlib.sha256(orjson.dumps(parts)).digest()[:16]


def store_points(
    tx: WriteTx, project_id: str, points: Sequence[RawPoint], row_ids: RowIds, max_series: int
) -> StoredPoints:
    """Store points and return what became of them; a point that is stored already is a duplicate.

    ``rejected`` holds those whose attributes are too long (``attribute_too_long``) and those of series beyond
    ``max_series`` (``too_many_series``). Raises ``ConflictError`` when another process drew the same row numbers;
    nothing is kept then, and the transaction can be tried again.
    """
    rejected: Counter[Rejection] = Counter()
    named: dict[bytes, tuple[_Series, list[RawPoint]]] = {}
    for point in points:
        series = _to_series(point)
        if len(series.attributes.encode()) > MAX_ATTRIBUTES_BYTES:
            rejected[Rejection(series.service, "attribute_too_long")] += 1
        else:
            named.setdefault(series.digest, (series, []))[1].append(point)
    numbers = _find_series(tx, project_id, named)
    if len(numbers) < len(named):
        fresh = {digest: series for digest, (series, _) in named.items() if digest not in numbers}
        numbers |= _add_series(tx, project_id, fresh, row_ids, max_series)
    rows: dict[tuple[int, int, int], dict[str, object]] = {}
    duplicates = 0
    for digest, (series, members) in named.items():
        number = numbers.get(digest)
        if number is None:
            rejected[Rejection(series.service, "too_many_series")] += len(members)
            continue
        for point in members:
            key = (number, point.moment.time_ns, point.head.stream)
            duplicates += key in rows
            rows.setdefault(key, _to_row(number, point))
    stored = _insert(tx, [rows[key] for key in sorted(rows)])
    _note_last(tx, rows)
    return StoredPoints(stored, duplicates + len(rows) - stored, rejected)


def _to_series(point: RawPoint) -> _Series:
    head = point.head
    attributes = redact_attributes(point.moment.attributes)
    return _Series(
        service=fit_text(head.service, 256),
        name=fit_text(head.name, 256),
        unit=fit_text(head.unit, 64),
        kind=head.kind,
        temporality=head.temporality,
        monotonic=head.monotonic,
        # In the order of their names: clients write them in any.
        attributes=to_json(dict(sorted(attributes.items()))).decode(),
    )


def _to_row(number: int, point: RawPoint) -> dict[str, object]:
    return {
        "series_id": number,
        "time_ns": point.moment.time_ns,
        "stream": point.head.stream,
        "start_ns": point.moment.start_ns,
        "count": point.count,
        "total": point.total,
        "minimum": point.minimum,
        "maximum": point.maximum,
        "detail": None if point.detail is None else orjson.dumps(point.detail),
    }


def _find_series(tx: WriteTx, project_id: str, digests: Iterable[bytes]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    wanted = sorted(digests)
    columns = metric_series.c
    for start in range(0, len(wanted), _CHUNK):
        statement = select(columns.digest, columns.id).where(
            columns.project_id == project_id, columns.digest.in_(wanted[start : start + _CHUNK])
        )
        found.update((row.digest, row.id) for row in tx.execute(statement))
    return found


def _add_series(
    tx: WriteTx, project_id: str, fresh: dict[bytes, _Series], row_ids: RowIds, max_series: int
) -> dict[bytes, int]:
    """Create those of ``fresh`` that the limit lets in; return the row numbers of all that exist now."""
    # Only one process at a time adds series to a project, so the count holds; readers and other writers go on.
    tx.execute(select(project.c.id).where(project.c.id == project_id).with_for_update(key_share=True))
    numbers = _find_series(tx, project_id, fresh)
    count = select(func.count()).select_from(metric_series).where(metric_series.c.project_id == project_id)
    room = max(0, max_series - int(tx.execute(count).scalar_one()))
    new = [digest for digest in sorted(fresh) if digest not in numbers][:room]
    rows = []
    for digest, number in zip(new, row_ids.take(len(new)), strict=True):
        one = fresh[digest]
        numbers[digest] = number
        rows.append(
            {
                "id": number,
                "project_id": project_id,
                "digest": digest,
                "service": one.service,
                "name": one.name,
                "unit": one.unit,
                "kind": one.kind,
                "temporality": one.temporality,
                "monotonic": one.monotonic,
                "attributes": one.attributes,
                "last_ns": 0,
            }
        )
    tx.execute_many(metric_series.insert(), rows)
    return numbers


def _insert(tx: WriteTx, rows: Sequence[dict[str, object]]) -> int:
    """Insert rows that come in key order; return how many were new."""
    if not rows:
        return 0
    statement = tx.insert(metric_point).on_conflict_do_nothing(index_elements=["series_id", "time_ns", "stream"])
    return len(tx.execute(statement.returning(metric_point.c.series_id), rows).all())


def _note_last(tx: WriteTx, keys: Iterable[tuple[int, int, int]]) -> None:
    last: dict[int, int] = {}
    for number, time_ns, _ in keys:
        last[number] = max(time_ns, last.get(number, 0))
    seen: ColumnElement[int] = bindparam("seen_ns", type_=BigInteger)
    later = case((metric_series.c.last_ns < seen, seen), else_=metric_series.c.last_ns)
    statement = update(metric_series).where(metric_series.c.id == bindparam("row")).values(last_ns=later)
    tx.execute_many(statement, [{"row": number, "seen_ns": seen_ns} for number, seen_ns in sorted(last.items())])
