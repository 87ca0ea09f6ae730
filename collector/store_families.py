"""What is stored already of the traces that new spans belong to, and which calls that tells twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from collector.arrivals import DIVIDING_OPERATIONS, Arrival
from collector.dialects.span import DOCUMENTS_BIT, TEXT_BITS
from collector.repeats import Member, find_repeats
from collector.store_spans import uncount_spans
from custodes.db.database import WriteTx
from custodes.db.tables import exchange, span, trace

_PAIR = 2
_STORED_EXCHANGES = """
SELECT exchange.span_id, exchange.project_id, exchange.trace_id, span.start_ns, span.completeness
FROM exchange JOIN span ON span.id = exchange.span_id WHERE NOT exchange.repeated AND exchange.trace_id IN
"""
TraceKey = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class StoredExchangeRow:
    """An exchange that was stored before this call."""

    row_id: int
    project: str
    trace_id: bytes
    start_ns: int
    has_documents: bool


def uncount_repeats(arrivals: Sequence[Arrival]) -> None:
    """Take from the exchanges among ``arrivals`` those that repeat another one's call; for all traces of a commit."""
    counts: defaultdict[TraceKey, int] = defaultdict(int)
    for one in arrivals:
        if one.is_exchange:
            counts[one.project, one.trace_id] += 1
    families: dict[TraceKey, list[Arrival]] = {key: [] for key, n in counts.items() if n > 1}
    if not families:
        return
    for one in arrivals:
        family = families.get((one.project, one.trace_id))
        if family is not None:
            family.append(one)
    for family in families.values():
        repeats = find_repeats(_to_member(one) for one in family)
        for one in family:
            if one.span_id in repeats:
                one.uncount()


def load_stored_exchanges(tx: WriteTx, arrivals: Iterable[Arrival]) -> list[StoredExchangeRow]:
    """Return the exchanges stored before in the traces of the spans that arrive.

    Call it when the trace rows are locked and before the exchanges of this call are written.
    """
    keys = {(one.project, one.trace_id) for one in arrivals}
    wanted = sorted({trace_id for _, trace_id in keys})
    rows = tx.select_in(_STORED_EXCHANGES, wanted)
    return [
        StoredExchangeRow(row_id, project, bytes(trace_id), start_ns, completeness & DOCUMENTS_BIT != 0)
        for row_id, project, trace_id, start_ns, completeness in rows
        if (project, bytes(trace_id)) in keys
    ]


def settle_repeats(tx: WriteTx, arrivals: Iterable[Arrival], stored: Sequence[StoredExchangeRow]) -> dict[int, int]:
    """Decide, where spans join a trace that has exchanges, which of these repeat another one's call.

    A span that is no exchange matters too: it may be what shows that one exchange lies inside another.

    Arrivals that do are uncounted; exchanges stored before that do are marked, and returned with the request that
    brought the richer telling, so that the next scoring takes them back. Spans and trace rows are corrected.
    """
    if not stored:
        return {}
    joining: defaultdict[TraceKey, dict[bytes, Arrival]] = defaultdict(dict)
    brought_by: dict[TraceKey, int] = {}
    for one in arrivals:
        key = (one.project, one.trace_id)
        brought_by[key] = min(one.request, brought_by.get(key, one.request))
        if one.is_exchange:
            joining[key][one.span_id] = one
    earlier: defaultdict[TraceKey, set[int]] = defaultdict(set)
    for row in stored:
        earlier[row.project, row.trace_id].add(row.row_id)
    marked: dict[int, int] = {}
    uncounted: list[int] = []
    fewer: dict[TraceKey, int] = {}
    for (project, trace_id), row_ids in sorted(earlier.items()):
        news = joining.get((project, trace_id), {})
        if len(news) + len(row_ids) < _PAIR:
            continue
        rows = _load_family(tx, project, trace_id)
        members = [
            Member(span_id, parent, span_id in news or row_id in row_ids, _text_rank(completeness), divides)
            for span_id, (row_id, parent, completeness, divides) in rows.items()
        ]
        repeats = find_repeats(members)
        for span_id in repeats:
            row_id = rows[span_id][0]
            uncounted.append(row_id)
            if span_id in news:
                news[span_id].uncount()
            if span_id not in news or news[span_id].was_exchange:
                marked[row_id] = brought_by[project, trace_id]
        if repeats:
            # Each was counted in its trace's row: when it was stored, or just now when the row was written.
            fewer[project, trace_id] = len(repeats)
    uncount_spans(tx, sorted(uncounted))
    _mark(tx, sorted(marked))
    _lower_counts(tx, fewer)
    return marked


def _to_member(one: Arrival) -> Member:
    return Member(one.span_id, one.parent_span_id, one.is_exchange, one.text_rank, one.divides)


def _text_rank(completeness: int) -> int:
    return completeness & TEXT_BITS


def _load_family(tx: WriteTx, project: str, trace_id: bytes) -> dict[bytes, tuple[int, bytes | None, int, bool]]:
    columns = (span.c.id, span.c.span_id, span.c.parent_span_id, span.c.completeness, span.c.operation)
    rows = tx.execute(select(*columns).where(span.c.project_id == project, span.c.trace_id == trace_id))
    return {
        row.span_id: (row.id, row.parent_span_id, row.completeness, row.operation in DIVIDING_OPERATIONS)
        for row in rows
    }


def _mark(tx: WriteTx, row_ids: Sequence[int]) -> None:
    statement = update(exchange).where(exchange.c.span_id == bindparam("row")).values(repeated=True)
    tx.execute_many(statement, [{"row": row_id} for row_id in row_ids])


def _lower_counts(tx: WriteTx, fewer: Mapping[TraceKey, int]) -> None:
    statement = (
        update(trace)
        .where(trace.c.project_id == bindparam("project"), trace.c.trace_id == bindparam("of_trace"))
        .values(exchanges=trace.c.exchanges - bindparam("fewer"))
    )
    tx.execute_many(
        statement,
        [{"project": project, "of_trace": trace_id, "fewer": n} for (project, trace_id), n in sorted(fewer.items())],
    )
