"""What a batch holds for scoring: each exchange with its texts, its context and its quantities."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select

from collector.content import Contents, Unpacked
from collector.dialects.events import EventMessages, combine_events, join_content, lacks_text
from collector.dialects.exchange import ExchangeText
from collector.store_contexts import (
    CONTENT_COLUMNS,
    TraceContexts,
    TraceKey,
    read_trace_contexts,
    to_texts,
    unpack_rows,
)
from collector.store_events import read_events
from custodes.db.database import ReadTx
from custodes.db.tables import CONTENT_OF_SPAN, content_block, exchange, span

MAX_CONTEXTS = 64
MAX_CALLER_GROUPS = 16
GROUP_ATTRIBUTES = ("custodes.attr.group", "custodes.group")
"""Where the caller says to which group an exchange belongs: what the SDK writes, and the same without the SDK."""

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class StoredExchange:
    """One exchange as it lies in the database.

    ``answers`` are the texts of the answering messages, of which ``response`` is made. ``asked`` identifies the whole
    conversation that was sent, empty when none is known: two exchanges with the same were asked the same.
    ``contexts`` are its own documents, else those of other spans of its trace (:mod:`collector.store_contexts`), at
    most 64; none when one of these spans has documents that cannot be read, since half of what the model was given must
    not be taken for all of it. ``incomplete`` is a reason why its texts cannot be trusted to be whole, or ``None``.
    ``service`` is the one it first arrived as, which the
    ledger counts. ``rolled_*`` say where it sits in the roll-ups, ``None`` before it was first scored.
    ``caller_groups`` are the values of ``custodes.attr.group`` (or ``custodes.group``), at most 16, as they were sent.
    ``messages`` and ``answer_messages`` are the stored messages themselves, for those who ask for them.
    """

    span_row_id: int
    project: str
    trace_id: str
    span_id: str
    batch_id: int
    service: str
    segment_id: int
    at_ns: int
    received_ns: int
    rolled_segment_id: int | None
    rolled_minute: int | None
    prompt: str | None
    response: str | None
    answers: tuple[str, ...]
    asked: bytes
    contexts: tuple[str, ...]
    incomplete: str | None
    start_ns: int
    end_ns: int
    complete: bool
    ttft_ms: float | None
    cost_usd: float | None
    input_tokens: int | None
    output_tokens: int | None
    finish_reasons: tuple[str, ...] = ()
    caller_groups: tuple[str, ...] = ()
    messages: tuple[Mapping[str, Any], ...] = ()
    answer_messages: tuple[Mapping[str, Any], ...] = ()


def read_batch_exchanges(tx: ReadTx, contents: Contents, batch_id: int) -> list[StoredExchange]:
    """Return the exchanges that ``batch_id`` holds now, in the order of their row numbers."""
    return _read(tx, contents, exchange.c.batch_id == batch_id)


def read_exchange(tx: ReadTx, contents: Contents, project: str, trace_id: str, span_id: str) -> StoredExchange | None:
    """Return one exchange by its ids in hex; ``None`` when the project has no such exchange."""
    ids = (
        span.c.project_id == project,
        span.c.trace_id == bytes.fromhex(trace_id),
        span.c.span_id == bytes.fromhex(span_id),
    )
    found = _read(tx, contents, exchange.c.project_id == project, *ids)
    return found[0] if found else None


def read_trace_exchanges(tx: ReadTx, contents: Contents, project: str, trace_id: str) -> list[StoredExchange]:
    """Return the exchanges of one trace, in the order of their row numbers."""
    return _read(tx, contents, exchange.c.project_id == project, exchange.c.trace_id == bytes.fromhex(trace_id))


def read_exchange_rows(
    tx: ReadTx, contents: Contents, row_ids: Sequence[int], *, with_messages: bool = False
) -> list[StoredExchange]:
    """Return exchanges by their row numbers, in the order of these."""
    ids = sorted(set(row_ids))
    chunks = [ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK)]
    wanted = [exchange.c.span_id.in_(chunk) for chunk in chunks]
    return [one for chunk in wanted for one in _read(tx, contents, chunk, with_messages=with_messages)]


def _read(tx: ReadTx, contents: Contents, *conditions: Any, with_messages: bool = False) -> list[StoredExchange]:
    quantities = (span.c.start_ns, span.c.end_ns, span.c.complete, span.c.ttft_ms, span.c.cost_usd)
    statement = (
        select(
            exchange,
            span.c.span_id.label("span_key"),
            *quantities,
            span.c.input_tokens,
            span.c.output_tokens,
            span.c.dropped_attributes,
            span.c.finish_reasons,
            *CONTENT_COLUMNS,
        )
        .join(span, span.c.id == exchange.c.span_id)
        .join(content_block, content_block.c.id == CONTENT_OF_SPAN)
        .where(*conditions, exchange.c.repeated.is_(False))
        .order_by(exchange.c.span_id)
    )
    rows = tx.execute(statement).all()
    unpacked = unpack_rows(tx, contents, [(row.project_id, row.span_key, row) for row in rows])
    told = _join_events(tx, contents, rows, unpacked)
    texts = [to_texts(one) for one in unpacked]
    needing = {(row.project_id, row.trace_id) for row, text in zip(rows, texts, strict=True) if not text.contexts}
    found = read_trace_contexts(tx, contents, needing)
    return [
        StoredExchange(
            span_row_id=row.span_id,
            project=row.project_id,
            trace_id=row.trace_id.hex(),
            span_id=row.span_key.hex(),
            batch_id=row.batch_id,
            service=row.service,
            segment_id=row.segment_id,
            at_ns=row.at_ns,
            received_ns=row.received_ns,
            rolled_segment_id=row.rolled_segment_id,
            rolled_minute=row.rolled_minute,
            prompt=text.prompt,
            response=text.response,
            answers=text.answers,
            asked=_fingerprint(one),
            contexts=(text.contexts or _from_trace(found, row))[:MAX_CONTEXTS],
            incomplete=_incomplete_reason(row.dropped_attributes + _dropped(told.get(place)), one, text),
            start_ns=row.start_ns,
            end_ns=row.end_ns,
            complete=row.complete,
            ttft_ms=row.ttft_ms,
            cost_usd=row.cost_usd,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            finish_reasons=_finish_reasons(row.finish_reasons, told.get(place)),
            caller_groups=_caller_groups(one.content),
            messages=_messages(one, "input_messages") if with_messages else (),
            answer_messages=_messages(one, "output_messages") if with_messages else (),
        )
        for place, (row, one, text) in enumerate(zip(rows, unpacked, texts, strict=True))
    ]


def _join_events(
    tx: ReadTx, contents: Contents, rows: Sequence[Any], unpacked: list[Unpacked]
) -> dict[int, EventMessages]:
    """Put the messages that events tell into the contents that have none to read; return these by the row's place."""
    found: dict[int, EventMessages] = {}
    places: defaultdict[str, dict[tuple[bytes, bytes], int]] = defaultdict(dict)
    for place, (row, one) in enumerate(zip(rows, unpacked, strict=True)):
        if one.content is not None and lacks_text(one.content):
            places[row.project_id][row.trace_id, row.span_key] = place
    for project, wanted in places.items():
        for key, events in read_events(tx, contents, project, wanted).items():
            place, told = wanted[key], combine_events(events)
            unpacked[place] = Unpacked(join_content(unpacked[place].content or {}, told))
            found[place] = told
    return found


def _from_trace(found: Mapping[TraceKey, TraceContexts], row: Any) -> tuple[str, ...]:
    contexts = found.get((row.project_id, row.trace_id))
    return () if contexts is None else contexts.of(row.span_key, row.start_ns)


def _dropped(told: EventMessages | None) -> int:
    return 0 if told is None else told.dropped_attributes


def _finish_reasons(stored: str | None, told: EventMessages | None) -> tuple[str, ...]:
    if stored:
        return tuple(orjson.loads(stored))
    return () if told is None else tuple(told.finish_reasons)


def _caller_groups(content: Mapping[str, Any] | None) -> tuple[str, ...]:
    attributes = (content or {}).get("attributes")
    if not isinstance(attributes, dict):
        return ()
    value = next((attributes[name] for name in GROUP_ATTRIBUTES if attributes.get(name) is not None), None)
    values = value if isinstance(value, list) else [value]
    groups = [str(one).lower() if isinstance(one, bool) else str(one) for one in values if _is_label(one)]
    return tuple(groups[:MAX_CALLER_GROUPS])


def _is_label(value: object) -> bool:
    return isinstance(value, str | int | float)


def _messages(unpacked: Unpacked, name: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(one for one in (unpacked.content or {}).get(name) or () if isinstance(one, dict))


def _fingerprint(unpacked: Unpacked) -> bytes:
    messages = (unpacked.content or {}).get("input_messages")
    if not messages:
        return b""
    return hashlib.blake2b(orjson.dumps(messages, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _incomplete_reason(dropped_attributes: int, unpacked: Unpacked, text: ExchangeText) -> str | None:
    if unpacked.problem == "erased":
        return "erased"
    if text.unreadable:
        return "content_unreadable"
    return "attributes_dropped" if dropped_attributes > 0 else None
