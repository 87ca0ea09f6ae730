"""Stores GenAI events that come as logs, finds the exchanges they belong to, and reads them back.

An event and its span may arrive in any order, in different requests, in different processes. Nothing is copied from
one to the other: messages are joined when exchanges are read. What is left to do is to have an exchange scored again
whose text came after its span, and that takes two transactions: the event is stored and committed
(:func:`store_events`), and only then its span is looked for (:func:`queue_exchanges`).

Why two, on PostgreSQL: a span that is not visible to the second transaction commits after that transaction looked, so
after the event's commit; whoever reads its exchange later reads the event too. A span that is visible has its exchange
queued again. In one transaction both could miss: the span commits after this one looked, a worker reads and scores
its exchange before this one commits, and nobody ever comes back. A process that dies between the two leaves
``joined`` false and its client without an answer; the copy that the client sends again catches up.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from collector.arrivals import fit_text
from collector.content import Contents, PackedContents
from collector.content.body import to_json
from collector.dialects.events import GenAiEvent, lacks_text
from custodes.db.database import ReadTx, WriteTx
from custodes.db.keys import is_one_of
from custodes.db.tables import CONTENT_OF_SPAN, content_block, exchange, genai_event, ingest_batch, span

_CHUNK = 500

SpanKey = tuple[bytes, bytes]
"""Trace id and span id."""


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """A GenAI event on its way into the database; ``body`` is its content as JSON, ``digest`` tells copies."""

    trace_id: bytes
    span_id: bytes
    digest: bytes
    event: GenAiEvent
    service: str
    body: bytes

    @property
    def key(self) -> tuple[bytes, bytes, bytes]:
        """What makes an event the same event within its project."""
        return self.trace_id, self.span_id, self.digest


def to_incoming(trace_id: str, span_id: str, service: str, event: GenAiEvent) -> IncomingEvent:
    """Return an event with its content written and its digest taken."""
    body = to_json(
        {
            "input_messages": event.input_messages,
            "output_messages": event.output_messages,
            "finish_reasons": event.finish_reasons,
            "attributes": event.attributes,
            "choice": event.choice,
            "dropped_attributes": event.dropped_attributes,
        }
    )
    digest = hashlib.sha256(f"{event.name}\0{event.time_ns}\0".encode() + body).digest()[:16]
    ids = bytes.fromhex(trace_id), bytes.fromhex(span_id)
    return IncomingEvent(*ids, digest, event, fit_text(service, 256), body)


def pack_events(contents: Contents, project: str, events: Sequence[IncomingEvent]) -> PackedContents:
    """Return the content of events ready for storing. Call outside any transaction."""
    bodies = [(one.event.user_id, _bound(*one.key), one.body) for one in events]
    return contents.pack(project, bodies)


def store_events(
    tx: WriteTx,
    contents: Contents,
    project: str,
    events: Sequence[IncomingEvent],
    packed: PackedContents,
    row_ids: Sequence[int],
    received_ns: int,
) -> int:
    """Store events whose content is ``packed``, in the same order; return how many were not stored before.

    An event without a time happened when it arrived. Raises ``ConflictError`` when another process drew the same
    row numbers; nothing is kept then, and the transaction can be tried again.
    """
    contents.keep_keys(tx, packed)
    rows = [
        {
            "id": row_id,
            "project_id": project,
            "trace_id": one.trace_id,
            "span_id": one.span_id,
            "digest": one.digest,
            "name": one.event.name,
            "service": one.service,
            "time_ns": one.event.time_ns or received_ns,
            "received_ns": received_ns,
            "sides": one.event.sides,
            "joined": False,
            "codec": codec,
            "key_id": key_id,
            "body": body,
        }
        for one, row_id, (codec, key_id, body) in zip(events, row_ids, packed.rows, strict=True)
    ]
    # In key order: two processes that store the same events wait for each other rather than deadlock.
    rows.sort(key=lambda row: (row["trace_id"], row["span_id"], row["digest"]))
    statement = tx.insert(genai_event).on_conflict_do_nothing(
        index_elements=["project_id", "trace_id", "span_id", "digest"]
    )
    return len(tx.execute(statement.returning(genai_event.c.id), rows).all()) if rows else 0


def queue_exchanges(
    tx: WriteTx, contents: Contents, project: str, events: Sequence[IncomingEvent], received_ns: int
) -> int:
    """Have the stored exchanges that committed ``events`` bring missing messages for scored again; return how many.

    Only events that were not joined before count, so a copy sent again changes nothing. The exchanges move to a
    batch of their own.
    """
    fresh: set[SpanKey] = set()
    numbers: list[int] = []
    keys = sorted({one.key for one in events if one.event.sides})
    columns = genai_event.c
    for start in range(0, len(keys), _CHUNK):
        wanted = is_one_of((columns.trace_id, columns.span_id, columns.digest), keys[start : start + _CHUNK], leading=1)
        statement = select(columns.id, columns.trace_id, columns.span_id).where(
            columns.project_id == project, wanted, columns.joined.is_(False)
        )
        # Locked in key order, as they were written.
        for row in tx.execute(statement.order_by(columns.trace_id, columns.span_id, columns.digest).with_for_update()):
            fresh.add((row.trace_id, row.span_id))
            numbers.append(row.id)
    exchanges = _silent_exchanges(tx, contents, project, sorted(fresh))
    if exchanges:
        key = tx.execute(
            insert(ingest_batch).values(
                project_id=project, received_ns=received_ns, spans=0, exchanges=len(exchanges), state="ready"
            )
        ).inserted_primary_key
        moved = [{"row": number, "batch_id": key[0] if key is not None else None} for number in exchanges]
        tx.execute_many(update(exchange).where(exchange.c.span_id == bindparam("row")), moved)
    for start in range(0, len(numbers), _CHUNK):
        tx.execute(update(genai_event).where(columns.id.in_(numbers[start : start + _CHUNK])).values(joined=True))
    return len(exchanges)


def read_events(
    tx: ReadTx, contents: Contents, project: str, keys: Iterable[SpanKey]
) -> defaultdict[SpanKey, list[GenAiEvent]]:
    """Return the events of each of these spans, in the order in which they happened; none for a span without any.

    An event whose content is damaged or erased is left out.
    """
    found: defaultdict[SpanKey, list[GenAiEvent]] = defaultdict(list)
    wanted = sorted(set(keys))
    columns = genai_event.c
    for start in range(0, len(wanted), _CHUNK):
        chosen = is_one_of((columns.trace_id, columns.span_id), wanted[start : start + _CHUNK], leading=1)
        _collect(tx, contents, project, chosen, found)
    return found


def read_trace_events(
    tx: ReadTx, contents: Contents, project: str, trace_id: bytes
) -> defaultdict[SpanKey, list[GenAiEvent]]:
    """As :func:`read_events` for every span of one trace."""
    found: defaultdict[SpanKey, list[GenAiEvent]] = defaultdict(list)
    _collect(tx, contents, project, genai_event.c.trace_id == trace_id, found)
    return found


def _collect(
    tx: ReadTx, contents: Contents, project: str, chosen: Any, found: defaultdict[SpanKey, list[GenAiEvent]]
) -> None:
    columns = genai_event.c
    rows = tx.execute(
        select(genai_event).where(columns.project_id == project, chosen).order_by(columns.time_ns, columns.id)
    ).all()
    stored = [(row.codec, row.key_id, row.body, _bound(row.trace_id, row.span_id, row.digest)) for row in rows]
    for row, content in zip(rows, contents.unpack(tx, project, stored), strict=True):
        if content is not None:
            found[row.trace_id, row.span_id].append(_to_event(row, content))


def _to_event(row: Any, content: dict[str, Any]) -> GenAiEvent:
    return GenAiEvent(
        name=row.name,
        time_ns=row.time_ns,
        input_messages=content.get("input_messages", []),
        output_messages=content.get("output_messages", []),
        finish_reasons=content.get("finish_reasons", []),
        attributes=content.get("attributes", {}),
        dropped_attributes=content.get("dropped_attributes", 0),
        sides=row.sides,
        choice=content.get("choice", 0),
    )


def _silent_exchanges(tx: WriteTx, contents: Contents, project: str, keys: Sequence[SpanKey]) -> list[int]:
    """Return the row numbers of the stored exchanges of these spans that lack text of their own, rising.

    Only those read events (:func:`collector.exchanges.read_exchange`); clients that put the text on both are not
    scored twice.
    """
    found: list[int] = []
    for start in range(0, len(keys), _CHUNK):
        statement = (
            select(span.c.id, span.c.trace_id, span.c.span_id)
            .add_columns(content_block.c.id.label("block"), content_block.c.codec)
            .add_columns(content_block.c.key_id, content_block.c.body)
            .join(exchange, exchange.c.span_id == span.c.id)
            .join(content_block, content_block.c.id == CONTENT_OF_SPAN)
            .where(
                span.c.project_id == project,
                is_one_of((span.c.trace_id, span.c.span_id), keys[start : start + _CHUNK], leading=1),
            )
        )
        rows = tx.execute(statement).all()
        stored = [(row.block, row.codec, row.key_id, row.body, row.trace_id, row.span_id) for row in rows]
        for row, one in zip(rows, contents.unpack_spans(tx, project, stored), strict=True):
            if one.content is not None and lacks_text(one.content):
                found.append(row.id)
    return sorted(found)


def _bound(trace_id: bytes, span_id: bytes, digest: bytes) -> bytes:
    """Return what binds the content of an event to its row."""
    return trace_id + span_id + digest
