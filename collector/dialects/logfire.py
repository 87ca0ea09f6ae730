"""Logfire's own instrumentations of model clients.

A streamed call makes two spans that both say ``chat``: one for the request, which ends when the stream begins and has
no answer, and a log in the shape of a span with everything when the stream has ended. Only the second is the call.
Version 1 of the format writes request and answer as the API has them, or a list of events, instead of messages.
Source: logfire-sdk 5.4.0, recorded from 5.2.0.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.event_messages import split_events
from collector.dialects.messages import read_finish_reasons_of, read_json_messages
from collector.dialects.reading import Dialect, Reading, Shape, parse_json
from collector.otlp.spans import Attributes, RawSpan

SCOPES = "logfire"
SPAN_TYPE = "logfire.span_type"
REQUEST, RESPONSE, EVENTS = "request_data", "response_data", "events"
INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
OPERATION = "gen_ai.operation.name"
_ANSWERED = frozenset({OUTPUT, "gen_ai.response.id", "gen_ai.usage.output_tokens", RESPONSE, EVENTS})
_STREAMABLE = ("chat", "text_completion")
_ERROR = 2


def detect(shape: Shape) -> bool:
    """Return whether one of Logfire's instrumentations made the span, rather than one that runs beside it."""
    return shape.scope == SCOPES or shape.scope.startswith(SCOPES + ".")


def read(span: RawSpan) -> Reading:
    """Return what version 1 of the format says, and whether the span only opens a stream."""
    attributes = span.attributes
    # The current format writes messages; what version 1 wrote beside them repeats these.
    request = None if INPUT in attributes else parse_json(attributes.get(REQUEST))
    response = None if OUTPUT in attributes else parse_json(attributes.get(RESPONSE))
    inputs = read_json_messages(_without_model(request), "user") if isinstance(request, dict) else []
    outputs = read_json_messages(response, "assistant") if isinstance(response, dict) else []
    if EVENTS in attributes:
        before, after = split_events(attributes[EVENTS])
        inputs, outputs = inputs or before, outputs or after
    return Reading(
        operation="span" if _opens_stream(span, attributes) else None,
        input_messages=inputs or None,
        output_messages=outputs or None,
        finish_reasons=read_finish_reasons_of(response) if isinstance(response, dict) else None,
    )


def _without_model(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request that has messages; the current format leaves only the model's name in it."""
    return request if any(name in request for name in ("messages", "prompt", "input")) else {}


def _opens_stream(span: RawSpan, attributes: Attributes) -> bool:
    """Return whether the span has neither an answer nor an error, as those have that end when a stream begins."""
    kind = attributes.get(SPAN_TYPE)
    if kind == "pending_span":
        return True
    return (
        kind == "span"
        and attributes.get(OPERATION) in _STREAMABLE
        and span.status != _ERROR
        and _ANSWERED.isdisjoint(attributes)
    )


DIALECT = Dialect("logfire", detect, read, consumed=frozenset({REQUEST, RESPONSE, EVENTS}))
