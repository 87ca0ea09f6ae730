"""Finds several answers to one prompt, so that detectors can ask whether a model says the same when asked again.

Two kinds are known. One call may give several choices: its output then has as many answering messages as finish
reasons, and more than one. And several calls of one trace may have been asked the same: the whole conversation is
identical, system text and earlier turns included, and so is the segment, which holds the deployment and the model. An
agent that goes on from its own tool results sends another conversation each time, so its steps are no answers to one
prompt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import select

from collector.content import Contents
from collector.exchanges import StoredExchange, read_exchange_rows
from custodes.db.database import ReadTx
from custodes.db.tables import exchange, span

MAX_SAMPLES = 20
_CHUNK = 500

_Place = tuple[str, str, int]
"""Project, trace in hex and segment."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What can be told of an exchange without reading its text."""

    row_id: int
    place: _Place
    input_tokens: int | None
    finish_reasons: int


def read_samples(tx: ReadTx, contents: Contents, found: Sequence[StoredExchange]) -> dict[int, tuple[str, ...]]:
    """Return, by row number, the other answers to the prompts of ``found``; exchanges without any are left out.

    Of a call with several choices they are all of its choices. Otherwise they are the responses of other calls as they
    are stored now, whatever batch they came in: an answer that arrives later does not change what was scored before. At
    most 20 each, the earliest first. Exchanges known to be incomplete are no samples.
    """
    marks = _read_marks(tx, found)
    ours = {one.span_row_id: one for one in found}
    strangers = read_exchange_rows(tx, contents, list(_find_strangers(marks, ours.keys())))
    asked: defaultdict[tuple[_Place, bytes], list[StoredExchange]] = defaultdict(list)
    for one in sorted((*found, *strangers), key=lambda one: (one.start_ns, one.span_row_id)):
        if one.asked and one.response is not None and one.incomplete is None and one.span_row_id in marks:
            asked[marks[one.span_row_id].place, one.asked].append(one)
    samples = {}
    for one in found:
        mark = marks.get(one.span_row_id)
        if mark is None or one.incomplete is not None or one.response is None:
            continue
        several = 1 < len(one.answers) == mark.finish_reasons
        answers = one.answers if several else _others(one, asked[mark.place, one.asked])
        if answers:
            samples[one.span_row_id] = answers[:MAX_SAMPLES]
    return samples


def _others(one: StoredExchange, group: Iterable[StoredExchange]) -> tuple[str, ...]:
    return tuple(other.response for other in group if other.span_row_id != one.span_row_id and other.response)


def _read_marks(tx: ReadTx, found: Iterable[StoredExchange]) -> dict[int, _Mark]:
    """Return a mark of every exchange in the traces of ``found``, by row number."""
    traces: defaultdict[str, set[bytes]] = defaultdict(set)
    for one in found:
        traces[one.project].add(bytes.fromhex(one.trace_id))
    columns = (exchange.c.span_id, exchange.c.trace_id, exchange.c.segment_id)
    told = (span.c.input_tokens, span.c.finish_reasons)
    statement = (
        select(*columns, *told).join(span, span.c.id == exchange.c.span_id).where(exchange.c.repeated.is_(False))
    )
    marks = {}
    for project, wanted in sorted(traces.items()):
        ids = sorted(wanted)
        for start in range(0, len(ids), _CHUNK):
            chunk = statement.where(
                exchange.c.project_id == project, exchange.c.trace_id.in_(ids[start : start + _CHUNK])
            )
            for row in tx.execute(chunk):
                reasons = len(orjson.loads(row.finish_reasons)) if row.finish_reasons else 0
                place = (project, row.trace_id.hex(), row.segment_id)
                marks[row.span_id] = _Mark(row.span_id, place, row.input_tokens, reasons)
    return marks


def _find_strangers(marks: dict[int, _Mark], ours: Iterable[int]) -> set[int]:
    """Return the exchanges of other batches that may have been asked the same: same place, same input length."""
    known = set(ours)
    lengths: defaultdict[_Place, set[int | None]] = defaultdict(set)
    for row_id in known & marks.keys():
        lengths[marks[row_id].place].add(marks[row_id].input_tokens)
    return {
        row_id
        for row_id, mark in marks.items()
        if row_id not in known
        and (mark.input_tokens is None or not lengths[mark.place].isdisjoint({None, mark.input_tokens}))
        and lengths[mark.place]
    }
