"""Writes span rows and their content: each span once, the copy that knows most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select, update

from collector.arrivals import SPAN_COLUMNS, Arrival
from custodes.db.database import WriteTx
from custodes.db.keys import is_one_of
from custodes.db.tables import CONTENT_OF_SPAN, content_block, exchange, span
from custodes.kernel.ids import RowIds

_CHUNK = 500
_KEY = ("id", "project_id", "trace_id", "span_id")
_COLUMNS = ("content_id", *SPAN_COLUMNS)
_BLOCK_COLUMNS = ("id", "codec", "key_id", "body")
BlockKey = tuple[int, int]
"""Which packed contents, by identity, and which of their rows."""


@dataclass(frozen=True, slots=True)
class WrittenSpans:
    """``fresh`` were stored for the first time; ``known`` were stored before, and ``replaced`` of these gave way."""

    fresh: list[Arrival]
    known: list[Arrival]
    replaced: list[Arrival]


def write_spans(tx: WriteTx, arrivals: Sequence[Arrival], row_ids: RowIds) -> WrittenSpans:
    """Write ``arrivals``, which hold each key once and are in the order of their keys, and the blocks they need.

    The insert itself decides which are new, so two processes that send the same spans at the same moment
    store each once. A block is stored when any of its spans is: what else it holds is never read.
    """
    numbers = row_ids.take(len(arrivals))
    for arrival, row_id in zip(arrivals, numbers, strict=True):
        arrival.row_id, arrival.was_exchange = row_id, False
    blocks = _number_blocks(arrivals, row_ids)
    rows = [(blocks[id(one.packed), one.block], one.row_id, *one.row) for one in arrivals]
    written = tx.bulk_insert(span, _COLUMNS, rows, on_conflict="ON CONFLICT (project_id, trace_id, span_id) DO NOTHING")
    fresh, known = list(arrivals), []
    if written < len(arrivals):
        stored = _stored_ids(tx, numbers)
        fresh = [arrival for arrival in arrivals if arrival.row_id in stored]
        known = [arrival for arrival in arrivals if arrival.row_id not in stored]
    replaced = _replace_poorer(tx, known, blocks) if known else []
    _write_blocks(tx, [*fresh, *replaced], blocks)
    return WrittenSpans(fresh, known, replaced)


def _number_blocks(arrivals: Sequence[Arrival], row_ids: RowIds) -> dict[BlockKey, int]:
    keys = list(dict.fromkeys([(id(one.packed), one.block) for one in arrivals]))
    return dict(zip(keys, row_ids.take(len(keys)), strict=True))


def _write_blocks(tx: WriteTx, stored: Sequence[Arrival], blocks: Mapping[BlockKey, int]) -> None:
    needed = {blocks[id(one.packed), one.block]: one.packed.rows[one.block] for one in stored}
    tx.bulk_insert(content_block, _BLOCK_COLUMNS, [(number, *row) for number, row in sorted(needed.items())])


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


def _replace_poorer(tx: WriteTx, known: Sequence[Arrival], blocks: Mapping[BlockKey, int]) -> list[Arrival]:
    """Replace stored copies that know less than the arriving one; return the arrivals that were written."""
    left: list[int] = []
    by_key = {arrival.key: arrival for arrival in known}
    keys = list(by_key)
    columns = (span.c.project_id, span.c.trace_id, span.c.span_id)
    replaced = []
    for start in range(0, len(keys), _CHUNK):
        # Locked in key order, so that two writers that replace the same spans wait rather than deadlock.
        statement = select(span.c.id, span.c.content_id, *columns, span.c.completeness).where(
            is_one_of(columns, keys[start : start + _CHUNK])
        )
        for row in tx.execute(statement.order_by(*columns).with_for_update()):
            arrival = by_key[row.project_id, row.trace_id, row.span_id]
            arrival.row_id = row.id
            if arrival.completeness > row.completeness:
                replaced.append(arrival)
                left.append(row.id if row.content_id is None else row.content_id)
    ids = [arrival.row_id for arrival in replaced]
    exchanges: set[int] = set()
    for start in range(0, len(ids), _CHUNK):
        statement = select(exchange.c.span_id).where(exchange.c.span_id.in_(ids[start : start + _CHUNK]))
        exchanges.update(tx.execute(statement).scalars())
    for arrival in replaced:
        arrival.was_exchange = arrival.row_id in exchanges
    _overwrite(tx, replaced, blocks)
    _drop_unused_blocks(tx, replaced, left)
    return replaced


def _overwrite(tx: WriteTx, replaced: Sequence[Arrival], blocks: Mapping[BlockKey, int]) -> None:
    spans = []
    for arrival in replaced:
        values = dict(zip(SPAN_COLUMNS, (arrival.row_id, *arrival.row), strict=True))
        spans.append(
            {
                "row": arrival.row_id,
                "content_id": blocks[id(arrival.packed), arrival.block],
                **{name: values[name] for name in SPAN_COLUMNS if name not in _KEY},
            }
        )
    tx.execute_many(update(span).where(span.c.id == bindparam("row")), spans)


def _drop_unused_blocks(tx: WriteTx, replaced: Sequence[Arrival], left: Sequence[int]) -> None:
    """Delete those of the blocks that replaced spans have left which no other span, of the same trace, still needs."""
    traces = sorted({(one.project, one.trace_id) for one in replaced})
    columns = (span.c.project_id, span.c.trace_id)
    needed: set[int] = set()
    for start in range(0, len(traces), _CHUNK):
        statement = select(CONTENT_OF_SPAN).where(is_one_of(columns, traces[start : start + _CHUNK]))
        needed.update(tx.execute(statement).scalars())
    unused = sorted(set(left) - needed)
    for start in range(0, len(unused), _CHUNK):
        tx.execute(delete(content_block).where(content_block.c.id.in_(unused[start : start + _CHUNK])))
