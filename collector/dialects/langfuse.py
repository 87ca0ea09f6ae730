"""Langfuse: what its SDKs from version 3 on write beside, or instead of, the GenAI conventions.

Inputs and outputs are JSON, or plain text when the application gave text. Usage and cost are objects in JSON; an
``input`` among them leaves out what was read from a cache, which then stands beside it. Metadata is JSON, text
included. Source: langfuse 5.0.4.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.dialects.documents import read_documents
from collector.dialects.messages import read_call_messages, read_finish_reasons_of, read_words
from collector.dialects.reading import (
    MAX_COUNT,
    Dialect,
    Reading,
    Shape,
    first_amount,
    first_count,
    first_text,
    parse_json,
    read_finish_reasons,
)
from collector.otlp.spans import RawSpan, Value

SCOPE = "langfuse-sdk"
TYPE = "langfuse.observation.type"
OPERATIONS_BY_TYPE = {
    "generation": "chat",
    "embedding": "embeddings",
    "retriever": "retrieval",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "guardrail": "apply_guardrail",
    "span": "span",
    "chain": "span",
    "evaluator": "span",
    "event": "span",
}
INPUT, OUTPUT = "langfuse.observation.input", "langfuse.observation.output"
MODEL = ("langfuse.observation.model.name",)
USAGE = "langfuse.observation.usage_details"
COST = "langfuse.observation.cost_details"
FIRST_TOKEN = "langfuse.observation.completion_start_time"
FINISH_REASON = "langfuse.observation.metadata.finish_reason"
SESSION = ("session.id", "langfuse.session.id")
USER = ("user.id", "langfuse.user.id")
ENVIRONMENT = ("langfuse.environment",)
_MARKS = frozenset({TYPE, INPUT, OUTPUT, *MODEL, USAGE})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Gives back vectors, which are not kept.
_EMBEDDINGS = "embeddings"
# What the wrapper for JavaScript names an embedding, whose type it says to be a generation.
_EMBEDDING_NAMES = ("OpenAI.embeddings",)


def detect(shape: Shape) -> bool:
    """Return whether the span is an observation of Langfuse's own."""
    return shape.scope == SCOPE or not shape.keys.isdisjoint(_MARKS)


def detect_context(shape: Shape) -> bool:
    """Return whether a span, of any instrumentation, passed through Langfuse's SDK, which adds what it knows."""
    return not detect(shape) and shape.has_prefix("langfuse.")


def read(span: RawSpan) -> Reading:
    """Return what the observation says."""
    attributes = span.attributes
    kind = attributes.get(TYPE)
    operation = OPERATIONS_BY_TYPE.get(kind, "span") if isinstance(kind, str) else None
    if operation == "chat" and span.name in _EMBEDDING_NAMES:
        operation = _EMBEDDINGS
    usage, cost = parse_json(attributes.get(USAGE)), parse_json(attributes.get(COST))
    output = attributes.get(OUTPUT)
    documents = read_documents(output) if operation == "retrieval" else []
    said = read_words if operation == "chat" else read_call_messages
    model = first_text(attributes, MODEL)
    reading = Reading(
        operation=operation,
        model=model,
        request_model=model,
        input_messages=said(attributes.get(INPUT), "user") or None,
        output_messages=None if documents or operation == _EMBEDDINGS else said(output, "assistant") or None,
        retrieved_documents=documents or None,
        finish_reasons=read_finish_reasons(attributes.get(FINISH_REASON)),
        session_id=first_text(attributes, SESSION),
        user_id=first_text(attributes, USER),
        environment=_environment(span),
    )
    if reading.finish_reasons is None and operation == "chat" and isinstance(output, str) and output[:1] in ("{", "["):
        reading.finish_reasons = read_finish_reasons_of(output)
    if isinstance(usage, dict):
        reading.input_tokens = _side(usage, "input", ("prompt_tokens", "input_tokens", "promptTokens"))
        reading.output_tokens = _side(usage, "output", ("completion_tokens", "output_tokens", "completionTokens"))
    if isinstance(cost, dict):
        reading.cost_usd = _total(cost)
    if FIRST_TOKEN in attributes:
        reading.ttft_ms = _ms_since(span.start_ns, attributes[FIRST_TOKEN])
    return reading


def read_context(span: RawSpan) -> Reading:
    """Return the session, user and environment that Langfuse's SDK put on a span it did not make."""
    return Reading(
        session_id=first_text(span.attributes, SESSION),
        user_id=first_text(span.attributes, USER),
        environment=_environment(span),
    )


def _environment(span: RawSpan) -> str | None:
    return first_text(span.attributes, ENVIRONMENT) or first_text(span.resource, ENVIRONMENT)


def _side(usage: dict[str, Any], side: str, whole: tuple[str, ...]) -> int | None:
    """Return the tokens of one side: a count that includes everything, else the sum of all that name the side."""
    counted = first_count(usage, whole)
    if counted is not None and side not in usage:
        return counted
    counts = [first_count(usage, (key,)) for key in usage if side in key]
    known = [count for count in counts if count is not None]
    return sum(known) if known and sum(known) < MAX_COUNT else counted


def _total(cost: dict[str, Any]) -> float | None:
    """Return the total where there is one, else the sum of the parts."""
    amounts = {key: first_amount(cost, (key,)) for key in cost}
    known = {key: amount for key, amount in amounts.items() if amount is not None}
    return known.get("total", math.fsum(known.values())) if known else None


def _ms_since(start_ns: int, value: Value) -> float | None:
    """Return milliseconds from the span's start to a time in ISO 8601, in JSON or not; ``None`` if it lies before."""
    text = parse_json(value)
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        after_ns = (aware - _EPOCH) // _MICROSECOND * 1_000 - start_ns
    except (ValueError, OverflowError):
        return None
    return after_ns / 1e6 if after_ns >= 0 else None


_CONSUMED = frozenset({INPUT, OUTPUT})
DIALECT = Dialect("langfuse", detect, read, consumed=_CONSUMED)
CONTEXT = Dialect("langfuse", detect_context, read_context)
"""What Langfuse's SDK adds to the spans of others; asked last, for it says nothing about the call."""
