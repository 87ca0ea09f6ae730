"""Spans on their way into the database: everything that can be done before a transaction is open.

Rows are built and content is packed by the threads that decode, so that the one thread that writes has
nothing left to do but write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from collector.content import Contents, PackedContents, content_to_json
from collector.dialects.span import TEXT_BITS, NormalSpan
from collector.otlp.spans import Rejection
from custodes.db.segments import Segment

SPAN_COLUMNS = (
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
    "ttft_ms",
    "finish_reasons",
    "dialect",
    "complete",
    "dropped_attributes",
    "completeness",
    "input_tokens",
    "output_tokens",
    "cost_usd",
)
DIVIDING_OPERATIONS = frozenset({"execute_tool", "invoke_agent", "invoke_workflow", "create_agent", "plan"})
"""Operations whose span separates a call of a model below it from one above."""

_OPERATION = SPAN_COLUMNS.index("operation") - 1
_COUNTED_COLUMNS = 3
_UNCOUNTED = (None,) * _COUNTED_COLUMNS


@dataclass(slots=True)
class Arrival:
    """A span on its way into the database: what decides its fate, its row and its packed content.

    ``request`` is the place of its request in the call that stores it. ``row_id`` becomes that of the stored row
    when the span turns out to be known already. ``row`` holds the values of ``SPAN_COLUMNS`` after the row number.
    ``block`` is the place among ``packed.rows`` of the block that holds its content.
    """

    project: str
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    name: str
    segment: Segment
    session_id: str | None
    user_id: str | None
    start_ns: int
    end_ns: int
    completeness: int
    is_exchange: bool
    has_documents: bool
    row: tuple[object, ...]
    packed: PackedContents
    block: int
    request: int = 0
    row_id: int = 0
    was_exchange: bool = False

    @property
    def key(self) -> tuple[str, bytes, bytes]:
        """What makes a span the same span."""
        return self.project, self.trace_id, self.span_id

    @property
    def text_rank(self) -> int:
        """How much readable text of the exchange it carries: response counts more than prompt, both more than one."""
        return self.completeness & TEXT_BITS

    @property
    def context_from_ns(self) -> int | None:
        """From when on an exchange of its trace may use its documents; ``None`` where none may.

        What a retrieval found is there when it has ended. Any other span may hold the documents of what it contains.
        An exchange's own are for itself.
        """
        if not self.has_documents or self.is_exchange:
            return None
        return self.end_ns if self.row[_OPERATION] == "retrieval" else self.start_ns

    @property
    def divides(self) -> bool:
        """Whether it is work of its own, in which calls of a model are made: a tool, an agent."""
        return self.row[_OPERATION] in DIVIDING_OPERATIONS

    def uncount(self) -> None:
        """Make it a span that is stored and shown but no exchange: it repeats a call that another span tells."""
        self.is_exchange = False
        self.row = self.row[:-_COUNTED_COLUMNS] + _UNCOUNTED


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """One request, ready for storing: its spans, those already refused, and the keys its content needs."""

    project: str
    arrivals: Sequence[Arrival]
    rejected: Counter[Rejection]
    received_ns: int
    packed: PackedContents

    @property
    def size(self) -> int:
        """How many spans the client sent."""
        return len(self.arrivals) + self.rejected.total()


def prepare_request(
    project: str, spans: Sequence[NormalSpan], rejected: Counter[Rejection], received_ns: int, contents: Contents
) -> IncomingRequest:
    """Return a request ready for storing. Call outside any transaction: packing may look up keys.

    Text is kept under the key of the user its span names, or of the user that another span of the trace names in the
    same request: what a child span captured is that person's all the same.
    """
    users: dict[str, str] = {}
    for one in spans:
        if one.user_id is not None:
            users.setdefault(one.trace_id, one.user_id)
    segments: dict[tuple[str, str, str, str], Segment] = {}
    ids = [(bytes.fromhex(one.trace_id), bytes.fromhex(one.span_id)) for one in spans]
    packed, places = contents.pack_spans(
        project,
        [
            (one.user_id or users.get(one.trace_id), trace_id, span_id, content_to_json(one))
            for one, (trace_id, span_id) in zip(spans, ids, strict=True)
        ],
    )
    arrivals = [
        _make_arrival(project, one, trace_id, span_id, packed, block, segments)
        for one, (trace_id, span_id), block in zip(spans, ids, places, strict=True)
    ]
    return IncomingRequest(project, arrivals, rejected, received_ns, packed)


def fit_text(text: str, length: int) -> str:
    """Return ``text`` as a column of ``length`` characters takes it; PostgreSQL refuses NUL characters."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return text if len(text) <= length else text[:length]


def _make_arrival(
    project: str,
    one: NormalSpan,
    trace_id: bytes,
    span_id: bytes,
    packed: PackedContents,
    block: int,
    segments: dict[tuple[str, str, str, str], Segment],
) -> Arrival:
    labels = (one.service, one.environment, one.deployment, one.model)
    segment = segments.get(labels)
    if segment is None:
        service, environment, deployment, model = labels
        segment = segments[labels] = Segment(
            fit_text(service, 256), fit_text(environment, 128), fit_text(deployment, 256), fit_text(model, 256)
        )
    name = fit_text(one.name, 256)
    parent = None if one.parent_span_id is None else bytes.fromhex(one.parent_span_id)
    session_id = None if one.session_id is None else fit_text(one.session_id, 256)
    user_id = None if one.user_id is None else fit_text(one.user_id, 256)
    row = (
        project,
        trace_id,
        span_id,
        parent,
        name,
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
        session_id,
        user_id,
        one.ttft_ms,
        _finish_reasons(one.finish_reasons) if one.finish_reasons else None,
        one.dialect,
        one.complete,
        one.dropped_attributes,
        one.completeness,
        one.input_tokens,
        one.output_tokens,
        one.cost_usd,
    )
    return Arrival(
        project,
        trace_id,
        span_id,
        parent,
        name,
        segment,
        session_id,
        user_id,
        one.start_ns,
        one.end_ns,
        one.completeness,
        one.is_exchange,
        bool(one.retrieved_documents),
        row,
        packed,
        block,
    )


def _finish_reasons(reasons: Sequence[str]) -> str:
    """Return the reasons as a JSON list; JSON writes NUL as an escape, so PostgreSQL takes it."""
    return orjson.dumps([fit_text(reason, 64) for reason in reasons]).decode()
