"""Writes exchanges: which span is one, which batch scores it, and when one must be scored again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, update

from collector.arrivals import Arrival
from collector.store_families import StoredExchangeRow
from custodes.db.database import WriteTx
from custodes.db.segments import Segment, resolve_segments
from custodes.db.tables import exchange

SegmentIds = dict[tuple[str, Segment], int]
"""Row numbers of segments by project and segment, as far as they are known to be committed."""

_COLUMNS = ("span_id", "project_id", "trace_id", "batch_id", "segment_id", "at_ns", "received_ns", "service")


def find_late_context(written: Iterable[Arrival], stored: Iterable[StoredExchangeRow]) -> dict[int, int]:
    """Return which of the exchanges ``stored`` earlier may use documents that only now arrived.

    Maps the row number of the exchange to the request that brought the documents. Exchanges that have documents of
    their own use no others.
    """
    usable: dict[tuple[str, bytes], tuple[int, int]] = {}
    for arrival in written:
        from_ns = arrival.context_from_ns
        if from_ns is None:
            continue
        key = (arrival.project, arrival.trace_id)
        earliest = usable.get(key)
        if earliest is None or from_ns < earliest[0]:
            usable[key] = (from_ns, arrival.request)
    late: dict[int, int] = {}
    for row in stored:
        found = None if row.has_documents else usable.get((row.project, row.trace_id))
        if found is not None and row.start_ns >= found[0]:
            late[row.row_id] = found[1]
    return late


def write_exchanges(
    tx: WriteTx,
    arrivals: Sequence[Arrival],
    moved: Mapping[int, int],
    batch_ids: Sequence[int | None],
    received_ns: Sequence[int],
    segments: SegmentIds,
) -> SegmentIds:
    """Write the exchanges among ``arrivals`` and move those in ``moved``, each to the batch of its request.

    Returns the segments that were looked up, which are committed when the transaction is.
    """
    found = _resolve(tx, arrivals, segments)
    known = segments if not found else {**segments, **found}
    new: list[tuple[Any, ...]] = []
    again: list[dict[str, Any]] = []
    for arrival in arrivals:
        batch = batch_ids[arrival.request]
        segment = known[arrival.project, arrival.segment]
        arrived_ns = received_ns[arrival.request]
        at_ns = min(arrival.end_ns, arrived_ns)
        if arrival.was_exchange:
            again.append({"row": arrival.row_id, "batch_id": batch, "segment_id": segment, "at_ns": at_ns})
        else:
            service = arrival.segment.service
            new.append((arrival.row_id, arrival.project, arrival.trace_id, batch, segment, at_ns, arrived_ns, service))
    tx.bulk_insert(exchange, _COLUMNS, new)
    statement = update(exchange).where(exchange.c.span_id == bindparam("row"))
    tx.execute_many(statement, again)
    tx.execute_many(
        statement, [{"row": row_id, "batch_id": batch_ids[request]} for row_id, request in sorted(moved.items())]
    )
    return found


def _resolve(tx: WriteTx, arrivals: Sequence[Arrival], segments: SegmentIds) -> SegmentIds:
    wanted: defaultdict[str, set[Segment]] = defaultdict(set)
    for arrival in arrivals:
        if (arrival.project, arrival.segment) not in segments:
            wanted[arrival.project].add(arrival.segment)
    return {
        (project, segment): number
        for project, missing in sorted(wanted.items())
        for segment, number in resolve_segments(tx, project, missing).items()
    }
