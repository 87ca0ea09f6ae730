"""Writes span rows and their content: each span once, the copy that knows most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import bindparam, select, tuple_, update

from collector.content import encode_content
from collector.dialects.span import NormalSpan
from custodes.db.database import WriteTx
from custodes.db.segments import Segment
from custodes.db.tables import exchange, span, span_content

_CHUNK = 500
_COLUMNS = (
    "id",
    "project_id",
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "operation",
    "start_ns",
    "end_ns",
    "status",
    "service",
    "environment",
    "deployment",
    "provider",
    "model",
    "session_id",
    "user_id",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "ttft_ms",
    "finish_reasons",
    "dialect",
    "complete",
    "dropped_attributes",
    "completeness",
)
_KEY = ("id", "project_id", "trace_id", "span_id")


@dataclass(slots=True)
class Arrival:
    """A span on its way into the database: who sent it, its labels cut to their columns, its row number.

    ``request`` is the place of its request in the call. ``row_id`` becomes that of the stored row when the
    span turns out to be known already.
    """

    request: int
    project: str
    span: NormalSpan
    trace_id: bytes
    span_id: bytes
    name: str
    segment: Segment
    session_id: str | None
    user_id: str | None
    row_id: int = 0
    was_exchange: bool = False

    @property
    def key(self) -> tuple[str, bytes, bytes]:
        """What makes a span the same span."""
        return self.project, self.trace_id, self.span_id


@dataclass(frozen=True, slots=True)
class WrittenSpans:
    """``fresh`` were stored for the first time; ``known`` were stored before, and ``replaced`` of these gave way."""

    fresh: list[Arrival]
    known: list[Arrival]
    replaced: list[Arrival]


def fit_text(text: str, length: int) -> str:
    """Return ``text`` as a column of ``length`` characters takes it; PostgreSQL refuses NUL characters."""
    return (text.replace("\x00", "\ufffd") if "\x00" in text else text)[:length]


def fit_span(request: int, project: str, one: NormalSpan) -> Arrival:
    """Return a span with its labels cut to the length of their columns."""
    return Arrival(
        request=request,
        project=project,
        span=one,
        trace_id=bytes.fromhex(one.trace_id),
        span_id=bytes.fromhex(one.span_id),
        name=fit_text(one.name, 256),
        segment=Segment(
            service=fit_text(one.service, 256),
            environment=fit_text(one.environment, 128),
            deployment=fit_text(one.deployment, 256),
            model=fit_text(one.model, 256),
        ),
        session_id=None if one.session_id is None else fit_text(one.session_id, 256),
        user_id=None if one.user_id is None else fit_text(one.user_id, 256),
    )


def write_spans(tx: WriteTx, arrivals: Sequence[Arrival], row_ids: Sequence[int]) -> WrittenSpans:
    """Write ``arrivals``, which hold each key once and are in the order of their keys, under ``row_ids``.

    The insert itself decides which are new, so two processes that send the same spans at the same moment
    store each once.
    """
    for arrival, row_id in zip(arrivals, row_ids, strict=True):
        arrival.row_id = row_id
    sql = tx.bulk_insert_sql(span, _COLUMNS) + " ON CONFLICT (project_id, trace_id, span_id) DO NOTHING"
    tx.execute_driver(sql, [_to_row(arrival) for arrival in arrivals])
    stored = _stored_ids(tx, row_ids)
    fresh = [arrival for arrival in arrivals if arrival.row_id in stored]
    known = [arrival for arrival in arrivals if arrival.row_id not in stored]
    content_sql = tx.bulk_insert_sql(span_content, ("span_id", "codec", "body"))
    tx.execute_driver(content_sql, [(arrival.row_id, *encode_content(arrival.span)) for arrival in fresh])
    return WrittenSpans(fresh, known, _replace_poorer(tx, known))


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
            if arrival.span.completeness > row.completeness:
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
        values = dict(zip(_COLUMNS, _to_row(arrival), strict=True))
        spans.append({"row": values["id"], **{name: values[name] for name in _COLUMNS if name not in _KEY}})
        codec, body = encode_content(arrival.span)
        contents.append({"row": arrival.row_id, "codec": codec, "body": body})
    tx.execute_many(update(span).where(span.c.id == bindparam("row")), spans)
    tx.execute_many(update(span_content).where(span_content.c.span_id == bindparam("row")), contents)


def _to_row(arrival: Arrival) -> tuple[object, ...]:
    """Return the values of ``_COLUMNS``."""
    one, segment = arrival.span, arrival.segment
    return (
        arrival.row_id,
        arrival.project,
        arrival.trace_id,
        arrival.span_id,
        None if one.parent_span_id is None else bytes.fromhex(one.parent_span_id),
        arrival.name,
        one.kind,
        one.operation,
        one.start_ns,
        one.end_ns,
        one.status,
        segment.service,
        segment.environment,
        segment.deployment,
        fit_text(one.provider, 128),
        segment.model,
        arrival.session_id,
        arrival.user_id,
        one.input_tokens,
        one.output_tokens,
        one.cost_usd,
        one.ttft_ms,
        _finish_reasons(one.finish_reasons),
        one.dialect,
        one.complete,
        one.dropped_attributes,
        one.completeness,
    )


def _finish_reasons(reasons: Sequence[str]) -> str | None:
    """Return the reasons as a JSON list; JSON writes NUL as an escape, so PostgreSQL takes it."""
    return orjson.dumps([fit_text(reason, 64) for reason in reasons]).decode() if reasons else None
