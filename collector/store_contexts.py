"""What the model was given to answer from, where that is told by other spans of the trace than the call's own.

Two kinds of spans do: what had ended when the call started (a retrieval, a tool that looks things up, a step that
returned documents), and what the call lies in (an agent or a chain with documents, another telling of the call). What
still runs beside the call is none of its business.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sqlalchemy import and_, or_, select

from collector.content import Contents, Unpacked
from collector.dialects.exchange import ExchangeText, extract_exchange
from collector.dialects.span import DOCUMENTS_BIT, UNREADABLE_BIT
from custodes.db.database import ReadTx
from custodes.db.tables import CONTENT_OF_SPAN, content_block, exchange, span

TraceKey: TypeAlias = tuple[str, bytes]
"""Project and trace id."""

CONTENT_COLUMNS = (
    content_block.c.id.label("block"),
    content_block.c.codec,
    content_block.c.key_id,
    content_block.c.body,
)
"""What :func:`unpack_rows` needs of the block that holds a span's content, beside the trace's id."""

_CHUNK = 500
_GONE = ExchangeText(None, None, (), frozenset({"prompt", "response", "contexts"}))


@dataclass(frozen=True, slots=True)
class _Source:
    """A span with documents."""

    span_id: bytes
    end_ns: int
    text: ExchangeText


@dataclass(frozen=True, slots=True)
class TraceContexts:
    """The documents that spans of one trace hold for its exchanges."""

    sources: Sequence[_Source]
    parents: Mapping[bytes, bytes]

    def of(self, span_id: bytes, start_ns: int) -> tuple[str, ...]:
        """Return the texts for one exchange: of what had ended, latest first, then of what it lies in, nearest first.

        Each text once; none when one of these spans has documents that cannot be read.
        """
        sources = sorted((one for one in self.sources if one.end_ns <= start_ns), key=lambda one: -one.end_ns)
        running = {one.span_id: one for one in self.sources if one.end_ns > start_ns}
        if running:
            sources += [running[above] for above in self._above(span_id) if above in running]
        if any("contexts" in one.text.unreadable for one in sources):
            return ()
        return tuple(dict.fromkeys(text for one in sources for text in one.text.contexts))

    def _above(self, span_id: bytes) -> Iterator[bytes]:
        """Yield what the span lies in, from the inside out; what clients send may go in circles."""
        seen = {span_id}
        parent = self.parents.get(span_id)
        while parent is not None and parent not in seen:
            yield parent
            seen.add(parent)
            parent = self.parents.get(parent)


def read_trace_contexts(tx: ReadTx, contents: Contents, traces: Iterable[TraceKey]) -> dict[TraceKey, TraceContexts]:
    """Return the documents that spans which are no exchanges hold; traces without any are left out."""
    wanted: defaultdict[str, set[bytes]] = defaultdict(set)
    for project, trace_id in traces:
        wanted[project].add(trace_id)
    found: dict[TraceKey, TraceContexts] = {}
    for project, trace_ids in sorted(wanted.items()):
        ids = sorted(trace_ids)
        for start in range(0, len(ids), _CHUNK):
            sources = _read_sources(tx, contents, project, ids[start : start + _CHUNK])
            # A retrieval holds nothing but itself, so for most traces nobody asks what lies in what.
            parents = _read_parents(tx, project, [key for key, told in sources.items() if any(one[1] for one in told)])
            for trace_id, told in sources.items():
                found[project, trace_id] = TraceContexts([one for one, _ in told], parents.get(trace_id, {}))
    return found


def unpack_rows(tx: ReadTx, contents: Contents, rows: Sequence[tuple[str, bytes, Any]]) -> list[Unpacked]:
    """Return the content of rows, given with project and span id, in order."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, (project, _, _) in enumerate(rows):
        places[project].append(place)
    found: dict[int, Unpacked] = {}
    for project, numbers in places.items():
        stored = [
            (row.block, row.codec, row.key_id, row.body, row.trace_id, span_id)
            for _, span_id, row in (rows[number] for number in numbers)
        ]
        found.update(zip(numbers, contents.unpack_spans(tx, project, stored), strict=True))
    return [found[place] for place in range(len(rows))]


def to_texts(unpacked: Unpacked) -> ExchangeText:
    """Return the texts of stored content; a damaged row must not keep its whole batch from being scored."""
    content = unpacked.content
    if content is None:
        return _GONE
    return extract_exchange(
        content.get("input_messages", []), content.get("output_messages", []), content.get("retrieved_documents", [])
    )


def _read_sources(
    tx: ReadTx, contents: Contents, project: str, trace_ids: Sequence[bytes]
) -> defaultdict[bytes, list[tuple[_Source, bool]]]:
    """Return, for each trace, the spans with documents, and of each whether others may lie in it."""
    is_exchange = and_(exchange.c.span_id.is_not(None), exchange.c.repeated.is_(False))
    may_tell = span.c.completeness.bitwise_and(DOCUMENTS_BIT | UNREADABLE_BIT) != 0
    statement = (
        select(span.c.trace_id, span.c.span_id, span.c.end_ns, span.c.operation, span.c.dropped_attributes)
        .add_columns(*CONTENT_COLUMNS)
        .join(content_block, content_block.c.id == CONTENT_OF_SPAN)
        .outerjoin(exchange, exchange.c.span_id == span.c.id)
        .where(span.c.project_id == project, span.c.trace_id.in_(trace_ids))
        .where(or_(span.c.operation == "retrieval", and_(may_tell, ~is_exchange)))
        .order_by(span.c.id)
    )
    rows = tx.execute(statement).all()
    found: defaultdict[bytes, list[tuple[_Source, bool]]] = defaultdict(list)
    for row, one in zip(rows, unpack_rows(tx, contents, [(project, row.span_id, row) for row in rows]), strict=True):
        text, retrieves = to_texts(one), row.operation == "retrieval"
        if not (retrieves or text.contexts or "contexts" in text.unreadable):
            continue
        if row.dropped_attributes > 0:
            # Documents may be among what was dropped, and half of them must not be taken for all.
            text = replace(text, unreadable=text.unreadable | {"contexts"})
        found[row.trace_id].append((_Source(row.span_id, row.end_ns, text), not retrieves))
    return found


def _read_parents(tx: ReadTx, project: str, trace_ids: Sequence[bytes]) -> dict[bytes, dict[bytes, bytes]]:
    """Return, for each trace, which span each span lies in."""
    if not trace_ids:
        return {}
    columns = (span.c.trace_id, span.c.span_id, span.c.parent_span_id)
    statement = select(*columns).where(span.c.project_id == project, span.c.trace_id.in_(trace_ids))
    found: defaultdict[bytes, dict[bytes, bytes]] = defaultdict(dict)
    for row in tx.execute(statement.where(span.c.parent_span_id.is_not(None))):
        found[row.trace_id][row.span_id] = row.parent_span_id
    return found
