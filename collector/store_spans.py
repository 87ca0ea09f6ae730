"""Writes span rows and their content: each span once, the copy that knows most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, tuple_, update

from collector.arrivals import SPAN_COLUMNS, Arrival
from custodes.db.database import WriteTx
from custodes.db.tables import exchange, span, span_content

_CHUNK = 500
_KEY = ("id", "project_id", "trace_id", "span_id")
_CONTENT_COLUMNS = ("span_id", "codec", "key_id", "body")


@dataclass(frozen=True, slots=True)
class WrittenSpans:
    """``fresh`` were stored for the first time; ``known`` were stored before, and ``replaced`` of these gave way."""

    fresh: list[Arrival]
    known: list[Arrival]
    replaced: list[Arrival]


def write_spans(tx: WriteTx, arrivals: Sequence[Arrival], row_ids: Sequence[int]) -> WrittenSpans:
    """Write ``arrivals``, which hold each key once and are in the order of their keys, under ``row_ids``.

    The insert itself decides which are new, so two processes that send the same spans at the same moment
    store each once.
    """
    for arrival, row_id in zip(arrivals, row_ids, strict=True):
        arrival.row_id, arrival.was_exchange = row_id, False
    rows = [(arrival.row_id, *arrival.row) for arrival in arrivals]
    written = tx.bulk_insert(
        span, SPAN_COLUMNS, rows, on_conflict="ON CONFLICT (project_id, trace_id, span_id) DO NOTHING"
    )
    fresh, known = list(arrivals), []
    if written < len(arrivals):
        stored = _stored_ids(tx, row_ids)
        fresh = [arrival for arrival in arrivals if arrival.row_id in stored]
        known = [arrival for arrival in arrivals if arrival.row_id not in stored]
    tx.bulk_insert(span_content, _CONTENT_COLUMNS, [(arrival.row_id, *arrival.content) for arrival in fresh])
    return WrittenSpans(fresh, known, _replace_poorer(tx, known))


def uncount_spans(tx: WriteTx, row_ids: Sequence[int]) -> None:
    """Take tokens and cost off stored spans that turned out to repeat another one's call."""
    for start in range(0, len(row_ids), _CHUNK):
        chosen = span.c.id.in_(row_ids[start : start + _CHUNK])
        tx.execute(update(span).where(chosen).values(input_tokens=None, output_tokens=None, cost_usd=None))


def _stored_ids(tx: WriteTx, row_ids: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for start in range(0, len(row_ids), _CHUNK):
        found.update(tx.execute(select(span.c.id).where(span.c.id.in_(row_ids[start : start + _CHUNK]))).scalars())
    return found


def _replace_poorer(tx: WriteTx, known: Sequence[Arrival]) -> list[Arrival]:
    """Replace stored copies that know less than the arriving one; return the arrivals that were written."""
    by_key = {arrival.key: arrival for arrival in known}
    keys = list(by_key)
    columns = (span.c.project_id, span.c.trace_id, span.c.span_id)
    replaced = []
    for start in range(0, len(keys), _CHUNK):
        # Locked in key order, so that two writers that replace the same spans wait rather than deadlock.
        statement = select(span.c.id, *columns, span.c.completeness).where(
            tuple_(*columns).in_(keys[start : start + _CHUNK])
        )
        for row in tx.execute(statement.order_by(*columns).with_for_update()):
            arrival = by_key[row.project_id, row.trace_id, row.span_id]
            arrival.row_id = row.id
            if arrival.completeness > row.completeness:
                replaced.append(arrival)
    ids = [arrival.row_id for arrival in replaced]
    exchanges: set[int] = set()
    for start in range(0, len(ids), _CHUNK):
        statement = select(exchange.c.span_id).where(exchange.c.span_id.in_(ids[start : start + _CHUNK]))
        exchanges.update(tx.execute(statement).scalars())
    for arrival in replaced:
        arrival.was_exchange = arrival.row_id in exchanges
    _overwrite(tx, replaced)
    return replaced


def _overwrite(tx: WriteTx, replaced: Sequence[Arrival]) -> None:
    spans, contents = [], []
    for arrival in replaced:
        values = dict(zip(SPAN_COLUMNS, (arrival.row_id, *arrival.row), strict=True))
        spans.append({"row": arrival.row_id, **{name: values[name] for name in SPAN_COLUMNS if name not in _KEY}})
        codec, key_id, body = arrival.content
        contents.append({"row": arrival.row_id, "codec": codec, "key_id": key_id, "body": body})
    tx.execute_many(update(span).where(span.c.id == bindparam("row")), spans)
    tx.execute_many(update(span_content).where(span_content.c.span_id == bindparam("row")), contents)
