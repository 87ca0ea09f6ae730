"""OpenTelemetry GenAI: the current conventions, and the names older clients still send.

Three generations are on the wire at once. Messages arrive as JSON text or structured values; tokens as
``input_tokens`` or ``prompt_tokens``; the provider as ``provider.name`` or ``system``. Source: the GenAI
semantic conventions (``gen_ai.*`` registry) and their migration guide.
"""

from __future__ import annotations

from collector.dialects.documents import read_documents
from collector.dialects.messages import read_finish_reasons_of, read_json_instructions, read_json_messages
from collector.dialects.operations import known_operation
from collector.dialects.reading import (
    Dialect,
    Reading,
    first_amount,
    first_count,
    first_event_ms,
    first_text,
    read_finish_reasons,
)
from collector.otlp.spans import Attributes, RawSpan

OPERATION = "gen_ai.operation.name"
PROVIDER = ("gen_ai.provider.name", "gen_ai.system")
REQUEST_MODEL = "gen_ai.request.model"
MODEL = ("gen_ai.response.model", REQUEST_MODEL)
INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
INSTRUCTIONS = "gen_ai.system_instructions"
DOCUMENTS = "gen_ai.retrieval.documents"
INPUT_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
OUTPUT_TOKENS = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
COST = ("gen_ai.usage.cost", "operation.cost")
SESSION = ("gen_ai.conversation.id",)
USER = ("gen_ai.user", "gen_ai.request.user")
FINISH_REASONS = "gen_ai.response.finish_reasons"
TTFT_S = ("gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk")
CHUNK_EVENTS = frozenset({"gen_ai.content.completion.chunk", "llm.content.completion.chunk"})

_MARKS = (OPERATION, *PROVIDER, INPUT, OUTPUT, REQUEST_MODEL)
_CONSUMED = frozenset({INPUT, OUTPUT, INSTRUCTIONS, DOCUMENTS})


def detect(span: RawSpan) -> bool:
    """Return whether the span carries one of the attributes that every generation has."""
    attributes = span.attributes
    return any(mark in attributes for mark in _MARKS)


def read(span: RawSpan) -> Reading:
    """Return what the span says in ``gen_ai.*``."""
    attributes = span.attributes
    inputs = read_json_messages(attributes.get(INPUT), "user")
    if all(message["role"] != "system" for message in inputs):
        inputs = read_json_instructions(attributes.get(INSTRUCTIONS)) + inputs
    outputs = read_json_messages(attributes.get(OUTPUT), "assistant")
    finish_reasons = read_finish_reasons(attributes.get(FINISH_REASONS))
    return Reading(
        operation=_operation(attributes),
        provider=first_text(attributes, PROVIDER),
        model=first_text(attributes, MODEL),
        request_model=first_text(attributes, (REQUEST_MODEL,)),
        input_messages=inputs or None,
        output_messages=outputs or None,
        retrieved_documents=read_documents(attributes.get(DOCUMENTS)) or None,
        input_tokens=first_count(attributes, INPUT_TOKENS),
        output_tokens=first_count(attributes, OUTPUT_TOKENS),
        cost_usd=first_amount(attributes, COST),
        session_id=first_text(attributes, SESSION),
        user_id=first_text(attributes, USER),
        finish_reasons=finish_reasons or read_finish_reasons_of(attributes.get(OUTPUT)),
        ttft_ms=_ttft_ms(span),
        consumed=_CONSUMED,
    )


def _operation(attributes: Attributes) -> str | None:
    """Return the operation; a call that names a model but no operation, as the oldest clients send, is a chat."""
    name = first_text(attributes, (OPERATION,))
    if name is None and REQUEST_MODEL in attributes:
        return "chat"
    return known_operation(name)


def _ttft_ms(span: RawSpan) -> float | None:
    seconds = first_amount(span.attributes, TTFT_S)
    if seconds is not None:
        return seconds * 1000.0
    return first_event_ms(span, CHUNK_EVENTS)


DIALECT = Dialect("otel_genai", detect, read)
