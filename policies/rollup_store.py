"""The SQL that reads minute roll-ups as of a minute, for windows. See :mod:`custodes.db.rollup_versions`."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, literal, select, type_coerce
from sqlalchemy.types import NullType

from custodes.db import ReadTx
from custodes.db.segments import Segment
from custodes.db.tables import rollup_minute, rollup_version, segment
from policies.engine.window import Need, Row, make_row

Place = tuple[int, int]
"""Minute and segment."""

_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Versions:
    """Former values of one metric's rows. A place that is not in ``rows`` never changed after it was evaluated."""

    rows: Mapping[Place, Sequence[tuple[int, Row]]]

    def as_of(self, place: Place, minute: int) -> Row | None:
        """Return what the row said when ``minute`` was evaluated; ``None`` when that is what it says now."""
        known = self.rows.get(place)
        if known is None:
            return None
        index = bisect_left(known, minute, key=lambda pair: pair[0])
        return known[index][1] if index < len(known) else None


def read_segments(tx: ReadTx, project_id: str) -> dict[int, Segment]:
    """Return every segment of the project by row number."""
    rows = tx.execute(select(segment).where(segment.c.project_id == project_id))
    return {row.id: Segment(row.service, row.environment, row.deployment, row.model) for row in rows}


def stream_minutes(
    tx: ReadTx, project_id: str, metric: str, from_minute: int, to_minute: int, need: Need
) -> Generator[tuple[int, list[tuple[int, Row]]], None, None]:
    """Yield every minute in [from, to) that has rows, in order, with (segment, row) pairs as they stand now.

    Rows that count nothing are as good as absent, and left out.
    """
    columns = rollup_minute.c
    statement: Select[Any] = (
        # Rows come by the million in a back-test, so the blob is handed on as the driver gives it.
        select(
            columns.minute,
            columns.segment_id,
            columns.n,
            columns.not_assessed,
            columns.total,
            columns.maximum,
            type_coerce(columns.hist, NullType()) if need.histogram else literal(None),
        )
        .where(
            columns.project_id == project_id,
            columns.metric == metric,
            columns.minute >= from_minute,
            columns.minute < to_minute,
        )
        .order_by(columns.minute)
    )
    current = from_minute
    entries: list[tuple[int, Row]] = []
    # A reader may stop early, and a cursor on the server must not outlive that.
    with closing(tx.stream(statement, _AT_ONCE)) as parts:
        for part in parts:
            for minute, segment_id, n, not_assessed, total, maximum, hist in part:
                if minute != current:
                    if entries:
                        yield current, entries
                    current, entries = minute, []
                if n or not_assessed:
                    entries.append((segment_id, make_row(n, not_assessed, total, maximum, hist, need)))
        if entries:
            yield current, entries


def stream_rows(
    tx: ReadTx, project_id: str, metric: str, from_minute: int, to_minute: int, need: Need
) -> Generator[tuple[int, int, Row], None, None]:
    """Yield (minute, segment, row) of the minutes in [from, to), in the order of minutes, as they stand now."""
    with closing(stream_minutes(tx, project_id, metric, from_minute, to_minute, need)) as minutes:
        for minute, entries in minutes:
            for segment_id, row in entries:
                yield minute, segment_id, row


def read_versions(
    tx: ReadTx, project_id: str, metric: str, from_minute: int, to_minute: int, need: Need, *, since: int
) -> Versions:
    """Return the former values of rows of the minutes in [from, to) that were valid at ``since`` or later."""
    columns = rollup_version.c
    statement = (
        select(rollup_version)
        .where(
            columns.project_id == project_id,
            columns.metric == metric,
            columns.until_minute >= since,
            columns.minute >= from_minute,
            columns.minute < to_minute,
        )
        .order_by(columns.until_minute)
    )
    found: dict[Place, list[tuple[int, Row]]] = defaultdict(list)
    for row in tx.execute(statement):
        kept = make_row(row.n, row.not_assessed, row.total, row.maximum, row.hist, need)
        found[row.minute, row.segment_id].append((row.until_minute, kept))
    return Versions(found)


def read_rows_as_of(
    tx: ReadTx, project_id: str, metric: str, from_minute: int, to_minute: int, need: Need, *, minute: int
) -> Generator[tuple[int, int, Row], None, None]:
    """Yield (minute, segment, row) of the minutes in [from, to) as they were when ``minute`` was evaluated.

    In no particular order.
    """
    versions = read_versions(tx, project_id, metric, from_minute, to_minute, need, since=minute)
    met: set[Place] = set()
    for at, segment_id, row in stream_rows(tx, project_id, metric, from_minute, to_minute, need):
        place = (at, segment_id)
        former = versions.as_of(place, minute)
        if former is not None:
            met.add(place)
        yield at, segment_id, row if former is None else former
    for place in versions.rows.keys() - met:
        former = versions.as_of(place, minute)
        if former is not None:
            yield *place, former


def read_changes(
    tx: ReadTx, project_id: str, metric: str, from_minute: int, to_minute: int, need: Need, *, before: int, after: int
) -> list[tuple[int, Row, Row]]:
    """Return (segment, former, present) of rows that changed between the evaluations of two minutes.

    ``former`` is as of ``before``, ``present`` as of ``after``.
    """
    versions = read_versions(tx, project_id, metric, from_minute, to_minute, need, since=before)
    changed = [place for place, known in versions.rows.items() if known[0][0] < after]
    if not changed:
        return []
    now = _read_places(tx, project_id, metric, need, changed)
    result = []
    for place in changed:
        former = versions.as_of(place, before)
        present = versions.as_of(place, after)
        if former is not None:
            result.append((place[1], former, now.get(place, Row(0, 0)) if present is None else present))
    return result


def _read_places(tx: ReadTx, project_id: str, metric: str, need: Need, places: Sequence[Place]) -> dict[Place, Row]:
    wanted = set(places)
    first, last = min(place[0] for place in places), max(place[0] for place in places)
    rows = stream_rows(tx, project_id, metric, first, last + 1, need)
    return {(minute, segment_id): row for minute, segment_id, row in rows if (minute, segment_id) in wanted}


def read_segments_by_id(tx: ReadTx, ids: Collection[int]) -> dict[int, Segment]:
    """Return some segments by row number."""
    rows = tx.execute(select(segment).where(segment.c.id.in_(sorted(ids))))
    return {row.id: Segment(row.service, row.environment, row.deployment, row.model) for row in rows}
