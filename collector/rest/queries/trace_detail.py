"""One trace or exchange in full. A fixed number of queries, whatever the number of spans."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import select

from collector.content import Contents, Unpacked
from collector.dialects.events import GenAiEvent, combine_events, join_content
from collector.dialects.exchange import ExchangeText
from collector.exchanges import StoredExchange, read_exchange, read_trace_exchanges
from collector.rest.queries.attributes import safe_attributes
from collector.rest.queries.exchanges import exchange_to_json, load_scores
from collector.rest.queries.reach import load_reaches
from collector.rest.queries.trace_rows import trace_segments
from collector.store_events import read_trace_events
from collector.store_feedback import opinions_of_trace
from custodes.db import ReadTx
from custodes.db.tables import CONTENT_OF_SPAN, content_block, exchange, span, trace
from custodes.kernel.clock import ns_to_rfc3339

MAX_SPANS = 5_000
"""Most spans shown of one trace, the earliest first; ``truncated`` says that there are more."""

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")


def load_trace(
    tx: ReadTx, contents: Contents, project: str, trace_id: bytes, *, text_visible: bool
) -> dict[str, Any] | None:
    """Return the trace with spans (by start) and exchanges; ``None`` when the project has no such trace.

    Without ``text_visible`` nothing that can hold captured text leaves this function.
    """
    row = tx.execute(select(trace).where(trace.c.project_id == project, trace.c.trace_id == trace_id)).first()
    if row is None:
        return None
    statement = (
        select(span, content_block.c.codec, content_block.c.key_id, content_block.c.body)
        .add_columns(CONTENT_OF_SPAN.label("block"))
        .outerjoin(content_block, content_block.c.id == CONTENT_OF_SPAN)
        .where(span.c.project_id == project, span.c.trace_id == trace_id)
        .order_by(span.c.start_ns, span.c.id)
        .limit(MAX_SPANS + 1)
    )
    spans = list(tx.execute(statement))
    unpacked = _unpack(tx, contents, project, spans[:MAX_SPANS])
    events = read_trace_events(tx, contents, project, trace_id)
    return {
        "trace_id": trace_id.hex(),
        "text_visible": text_visible,
        "spans": [
            _span_to_json(one, unpacked[one.id], events.get((one.trace_id, one.span_id), []), text_visible)
            for one in spans[:MAX_SPANS]
        ],
        "truncated": len(spans) > MAX_SPANS,
        "exchanges": _describe(tx, read_trace_exchanges(tx, contents, project, trace_id.hex()), text_visible),
        "feedback": opinions_of_trace(tx, contents, project, trace_id, text_visible=text_visible),
        "incident_ids": incidents_of_trace(tx, project, row),
    }


def load_exchange(
    tx: ReadTx, contents: Contents, project: str, exchange_id: str, *, text_visible: bool
) -> dict[str, Any] | None:
    """Return one exchange by its public id of 48 hex characters; ``None`` when the project has no such exchange."""
    found = read_exchange(tx, contents, project, exchange_id[:32], exchange_id[32:])
    return None if found is None else _describe(tx, [found], text_visible)[0]


def incidents_of_trace(tx: ReadTx, project: str, row: Any) -> list[str]:
    """Return the incidents, newest first, whose traffic the trace of this row belongs to."""
    segments = trace_segments(tx, project, [row.trace_id]).get(row.trace_id, frozenset())
    reaches = load_reaches(tx, project, row.start_ns, row.end_ns)
    return [reach.id for reach in reaches if reach.touches(row.start_ns, row.end_ns, segments)]


def _describe(tx: ReadTx, stored: list[StoredExchange], text_visible: bool) -> list[dict[str, Any]]:
    numbers = [one.span_row_id for one in stored]
    scores = load_scores(tx, numbers)
    columns = (exchange.c.span_id, exchange.c.scored_ns, exchange.c.traits)
    statement = select(*columns).where(exchange.c.span_id.in_(numbers))
    rows = {row.span_id: row for row in tx.execute(statement)} if numbers else {}
    return [
        exchange_to_json(
            one.trace_id,
            one.span_id,
            rows[one.span_row_id].scored_ns if one.span_row_id in rows else None,
            scores[one.span_row_id],
            rows[one.span_row_id].traits if one.span_row_id in rows else None,
            ExchangeText(one.prompt, one.response, one.contexts) if text_visible else None,
        )
        for one in stored
    ]


def _unpack(tx: ReadTx, contents: Contents, project: str, spans: list[Any]) -> dict[int, Unpacked]:
    """Return the content of spans by their row numbers; a span without a content row has an empty one."""
    rows = [(one.block, one.codec, one.key_id, one.body, one.trace_id, one.span_id) for one in spans]
    return dict(zip([one.id for one in spans], contents.unpack_spans(tx, project, rows), strict=True))


def _span_to_json(row: Any, unpacked: Unpacked, events: list[GenAiEvent], text_visible: bool) -> dict[str, Any]:
    told = combine_events(events)
    content = {} if unpacked.content is None else join_content(unpacked.content, told)
    attributes = content.get("attributes", {})
    return {
        "span_id": row.span_id.hex(),
        "parent_span_id": None if row.parent_span_id is None else row.parent_span_id.hex(),
        "name": row.name,
        "operation": row.operation,
        "kind": _KINDS[row.kind] if 0 <= row.kind < len(_KINDS) else _KINDS[0],
        "start": ns_to_rfc3339(row.start_ns),
        "end": ns_to_rfc3339(row.end_ns),
        "duration_ms": (row.end_ns - row.start_ns) / 1e6,
        "status": _STATUSES[row.status] if 0 <= row.status < len(_STATUSES) else _STATUSES[0],
        "status_message": content.get("status_message", "") if text_visible else None,
        "service": row.service,
        "environment": row.environment,
        "provider": row.provider,
        "model": row.model,
        "deployment": row.deployment,
        "input_messages": content.get("input_messages", []) if text_visible else None,
        "output_messages": content.get("output_messages", []) if text_visible else None,
        "retrieved_documents": content.get("retrieved_documents", []) if text_visible else None,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": row.cost_usd,
        "session_id": row.session_id,
        "user_id": row.user_id,
        "finish_reasons": _finish_reasons(row.finish_reasons) or told.finish_reasons,
        "ttft_ms": row.ttft_ms,
        "dialect": row.dialect,
        "complete": row.complete,
        "dropped_attributes": row.dropped_attributes,
        "content_problem": unpacked.problem,
        "attributes": attributes if text_visible else safe_attributes(attributes),
        "events": [*content.get("events", []), *_told_events(events)] if text_visible else None,
    }


def _told_events(events: list[GenAiEvent]) -> list[dict[str, Any]]:
    """Return the events that came as logs and brought no messages, in the shape of a span's own."""
    return [
        {"name": one.name, "time_ns": one.time_ns, "attributes": one.attributes}
        for one in events
        if not one.input_messages and not one.output_messages
    ]


def _finish_reasons(stored: str | None) -> list[str]:
    return [] if not stored else list(orjson.loads(stored))
