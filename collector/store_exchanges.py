"""Writes exchanges: which span is one, which batch scores it, and when one must be scored again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, select, update

from collector.store_spans import Arrival
from custodes.db.database import WriteTx
from custodes.db.segments import Segment, resolve_segments
from custodes.db.tables import exchange, span

_CHUNK = 500


def find_late_context(tx: WriteTx, written: Iterable[Arrival]) -> dict[int, int]:
    """Return exchanges stored earlier that may use documents which only now arrived.

    Maps the row number of the exchange to the request that brought the documents. Only exchanges that
    started after the retrieval had ended can have used it. Call it when the trace rows are locked.
    """
    ended: dict[tuple[str, bytes], tuple[int, int]] = {}
    for arrival in written:
        if arrival.span.operation != "retrieval" or not arrival.span.retrieved_documents:
            continue
        key = (arrival.project, arrival.trace_id)
        earliest = ended.get(key)
        if earliest is None or arrival.span.end_ns < earliest[0]:
            ended[key] = (arrival.span.end_ns, arrival.request)
    late: dict[int, int] = {}
    keys = sorted(ended)
    for start in range(0, len(keys), _CHUNK):
        wanted = {trace_id for _, trace_id in keys[start : start + _CHUNK]}
        statement = (
            select(exchange.c.span_id, exchange.c.project_id, exchange.c.trace_id, span.c.start_ns)
            .join(span, span.c.id == exchange.c.span_id)
            .where(exchange.c.trace_id.in_(wanted))
        )
        for row in tx.execute(statement):
            found = ended.get((row.project_id, row.trace_id))
            if found is not None and row.start_ns >= found[0]:
                late[row.span_id] = found[1]
    return late


def write_exchanges(
    tx: WriteTx,
    arrivals: Sequence[Arrival],
    late: dict[int, int],
    batch_ids: Sequence[int | None],
    received_ns: Sequence[int],
) -> None:
    """Write the exchanges among ``arrivals`` and move those in ``late``, each to the batch of its request."""
    segments = _resolve(tx, arrivals)
    new: list[tuple[Any, ...]] = []
    again: list[dict[str, Any]] = []
    for arrival in arrivals:
        batch = batch_ids[arrival.request]
        segment = segments[arrival.project, arrival.segment]
        at_ns = min(arrival.span.end_ns, received_ns[arrival.request])
        if arrival.was_exchange:
            again.append({"row": arrival.row_id, "batch_id": batch, "segment_id": segment, "at_ns": at_ns})
        else:
            arrived_ns = received_ns[arrival.request]
            service = arrival.segment.service
            new.append((arrival.row_id, arrival.project, arrival.trace_id, batch, segment, at_ns, arrived_ns, service))
    columns = ("span_id", "project_id", "trace_id", "batch_id", "segment_id", "at_ns", "received_ns", "service")
    tx.execute_driver(tx.bulk_insert_sql(exchange, columns), new)
    statement = update(exchange).where(exchange.c.span_id == bindparam("row"))
    tx.execute_many(statement, again)
    moved = [{"row": row_id, "batch_id": batch_ids[request]} for row_id, request in sorted(late.items())]
    tx.execute_many(statement, moved)


def _resolve(tx: WriteTx, arrivals: Sequence[Arrival]) -> dict[tuple[str, Segment], int]:
    wanted: defaultdict[str, set[Segment]] = defaultdict(set)
    for arrival in arrivals:
        wanted[arrival.project].add(arrival.segment)
    return {
        (project, segment): number
        for project, segments in sorted(wanted.items())
        for segment, number in resolve_segments(tx, project, segments).items()
    }
