"""OpenTelemetry GenAI: the current conventions, and the names older clients still send.

Three generations are on the wire at once. Messages arrive as JSON text or structured values; tokens as
``input_tokens`` or ``prompt_tokens``; the provider as ``provider.name`` or ``system``. Source: the GenAI
semantic conventions (``gen_ai.*`` registry) and their migration guide.
"""

from __future__ import annotations

from collector.dialects.documents import read_documents
from collector.dialects.messages import (
    read_finish_reasons_of,
    read_json_instructions,
    read_json_messages,
    read_messages,
)
from collector.dialects.operations import known_operation
from collector.dialects.reading import (
    Dialect,
    Reader,
    Reading,
    Shape,
    first_amount,
    first_count,
    first_event_ms,
    first_text,
    read_finish_reasons,
    span_to_shape,
)
from collector.otlp.spans import Attributes, RawSpan

OPERATION = "gen_ai.operation.name"
PROVIDER = ("gen_ai.provider.name", "gen_ai.system")
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
MODEL = (RESPONSE_MODEL, REQUEST_MODEL)
INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
INSTRUCTIONS = "gen_ai.system_instructions"
DOCUMENTS = "gen_ai.retrieval.documents"
QUERY = "gen_ai.retrieval.query.text"
# The last of each are those of early Semantic Kernel.
INPUT_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "gen_ai.response.prompt_tokens")
OUTPUT_TOKENS = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "gen_ai.response.completion_tokens",
)
COST = ("gen_ai.usage.cost", "operation.cost")
SESSION = ("gen_ai.conversation.id",)
USER = ("gen_ai.user", "gen_ai.request.user")
FINISH_REASONS = "gen_ai.response.finish_reasons"
FINISH_REASON = "gen_ai.response.finish_reason"
TTFT_S = ("gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk")
CHUNK_EVENTS = frozenset({"gen_ai.content.completion.chunk", "llm.content.completion.chunk"})

_MARKS = frozenset({OPERATION, *PROVIDER, INPUT, OUTPUT, REQUEST_MODEL})
_CONSUMED = frozenset({INPUT, OUTPUT, INSTRUCTIONS, DOCUMENTS, QUERY})


def detect(shape: Shape) -> bool:
    """Return whether the span carries one of the attributes that every generation has."""
    return not shape.keys.isdisjoint(_MARKS)


def read(span: RawSpan) -> Reading:
    """Return what the span says in ``gen_ai.*``."""
    return reader_for(span_to_shape(span))(span)


def reader_for(shape: Shape) -> Reader:
    """Return a reader for spans of ``shape``: of some thirty names, most spans carry a few."""
    provider, model, request_model = (shape.present(keys) for keys in (PROVIDER, MODEL, (REQUEST_MODEL,)))
    session, user = shape.present(SESSION), shape.present(USER)
    input_tokens, output_tokens, cost = (shape.present(keys) for keys in (INPUT_TOKENS, OUTPUT_TOKENS, COST))
    has_input, has_output, has_documents = (key in shape.keys for key in (INPUT, OUTPUT, DOCUMENTS))
    has_instructions, has_query = (key in shape.keys for key in (INSTRUCTIONS, QUERY))
    reasons_key = next((key for key in (FINISH_REASONS, FINISH_REASON) if key in shape.keys), None)
    ttft = shape.present(TTFT_S)
    has_chunks = not shape.events.isdisjoint(CHUNK_EVENTS)

    def read_shape(span: RawSpan) -> Reading:
        attributes = span.attributes
        inputs = read_json_messages(attributes[INPUT], "user") if has_input else []
        if has_instructions and all(message["role"] != "system" for message in inputs):
            inputs = read_json_instructions(attributes[INSTRUCTIONS]) + inputs
        if has_query and not inputs:
            inputs = read_messages(attributes[QUERY], "user")
        outputs = read_json_messages(attributes[OUTPUT], "assistant") if has_output else []
        reasons = read_finish_reasons(attributes[reasons_key]) if reasons_key else None
        if reasons is None and has_output:
            reasons = read_finish_reasons_of(attributes[OUTPUT])
        reading = Reading(operation=_operation(attributes), input_messages=inputs or None, finish_reasons=reasons)
        reading.output_messages = outputs or None
        reading.provider = first_text(attributes, provider)
        if model:
            reading.model = first_text(attributes, model)
            reading.request_model = first_text(attributes, request_model)
        if has_documents:
            reading.retrieved_documents = read_documents(attributes[DOCUMENTS]) or None
        if input_tokens:
            reading.input_tokens = first_count(attributes, input_tokens)
        if output_tokens:
            reading.output_tokens = first_count(attributes, output_tokens)
        if cost:
            # Clients write 0 where they know no price.
            reading.cost_usd = first_amount(attributes, cost) or None
        reading.session_id = first_text(attributes, session)
        reading.user_id = first_text(attributes, user)
        seconds = first_amount(attributes, ttft) if ttft else None
        if seconds is not None:
            reading.ttft_ms = seconds * 1000.0
        elif has_chunks:
            reading.ttft_ms = first_event_ms(span, CHUNK_EVENTS)
        return reading

    return read_shape


def _operation(attributes: Attributes) -> str | None:
    """Return the operation; a call that names a model but no operation, as the oldest clients send, is a chat."""
    name = first_text(attributes, (OPERATION,))
    if name is None and REQUEST_MODEL in attributes:
        return "chat"
    return known_operation(name)


DIALECT = Dialect("otel_genai", detect, read, reader_for, consumed=_CONSUMED, dropped_events=CHUNK_EVENTS)
