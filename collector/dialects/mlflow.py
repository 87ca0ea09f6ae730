"""MLflow Tracing: every attribute is JSON, text included, whatever exporter sends it.

With ``MLFLOW_ENABLE_OTEL_GENAI_SEMCONV`` the SDK writes the GenAI conventions instead, with its own span types as
operation names; only the per-chunk events of streamed answers are read here then. Source: mlflow-tracing 3.17.2.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.documents import read_documents
from collector.dialects.messages import decode_json, read_call_messages, read_finish_reasons_of, text_message
from collector.dialects.reading import Dialect, Reading, Shape, first_amount, first_count
from collector.dialects.span import Message
from collector.otlp.spans import Attributes, RawSpan, Value

SCOPE = "mlflow.tracing.provider"
TYPE = "mlflow.spanType"
OPERATIONS_BY_TYPE = {
    "CHAT_MODEL": "chat",
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "RETRIEVER": "retrieval",
    "RERANKER": "retrieval",
    "AGENT": "invoke_agent",
    "WORKFLOW": "invoke_workflow",
    "TOOL": "execute_tool",
    "GUARDRAIL": "apply_guardrail",
}
INPUTS, OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"
MODEL = ("mlflow.llm.model",)
REQUEST_MODEL = ("model",)
PROVIDER = ("mlflow.llm.provider",)
USAGE = "mlflow.chat.tokenUsage"
COST = "mlflow.llm.cost"
SESSION = ("session.id", "mlflow.trace.session")
USER = ("user.id", "mlflow.trace.user")
# The SDK keeps 128 events of a span by default.
_CHUNK = "mlflow.chunk.item."
_ANSWERED_BY = "gen_ai.response.model"
_MARKS = frozenset({TYPE, INPUTS, OUTPUTS})
# Gives back vectors, which are not kept.
_EMBEDDINGS = "embeddings"


def detect(shape: Shape) -> bool:
    """Return whether the span was made by MLflow."""
    return shape.scope == SCOPE or not shape.keys.isdisjoint(_MARKS)


def read(span: RawSpan) -> Reading:
    """Return what the span says in MLflow's attributes."""
    attributes = span.attributes
    kind = _text(attributes, (TYPE,))
    operation = None if kind is None else OPERATIONS_BY_TYPE.get(kind, "span")
    given, returned = attributes.get(INPUTS), decode_json(attributes.get(OUTPUTS))
    documents = read_documents(returned) if operation == "retrieval" else []
    usage, cost = decode_json(attributes.get(USAGE)), decode_json(attributes.get(COST))
    model, asked = _text(attributes, MODEL), _text(attributes, REQUEST_MODEL)
    return Reading(
        operation=operation,
        provider=_text(attributes, PROVIDER),
        model=model or (None if _ANSWERED_BY in attributes else asked),
        request_model=asked or model,
        input_messages=_messages(given, decode_json(given), "user") or None,
        output_messages=None
        if documents or operation == _EMBEDDINGS
        else _messages(attributes.get(OUTPUTS), returned, "assistant") or None,
        retrieved_documents=documents or None,
        input_tokens=first_count(usage, ("input_tokens",)) if isinstance(usage, dict) else None,
        output_tokens=first_count(usage, ("output_tokens",)) if isinstance(usage, dict) else None,
        cost_usd=first_amount(cost, ("total_cost",)) if isinstance(cost, dict) else None,
        session_id=_text(attributes, SESSION),
        user_id=_text(attributes, USER),
        finish_reasons=read_finish_reasons_of(returned) if operation == "chat" else None,
        ttft_ms=_ttft_ms(span) if span.events else None,
    )


def _text(attributes: Attributes, keys: tuple[str, ...]) -> str | None:
    """Return the first non-empty text among ``keys``, with or without the quotes of JSON."""
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, str) and value:
            text = decode_json(value) if value[0] == '"' else value
            if isinstance(text, str) and text:
                return text
    return None


def _messages(written: Value, value: Any, role: str) -> list[Message]:
    """Return the messages of one side; what was text in quotes is text, though it begin like JSON."""
    if isinstance(value, str) and isinstance(written, str) and written[:1] == '"':
        return [text_message(role, value)] if value else []
    return read_call_messages(value, role)


def _ttft_ms(span: RawSpan) -> float | None:
    """Return milliseconds to the first chunk of a streamed answer; ``None`` once the SDK has dropped that event."""
    first = f"{_CHUNK}0"
    times = [event.time_ns for event in span.events if event.name == first and event.time_ns >= span.start_ns]
    return (min(times) - span.start_ns) / 1e6 if times else None


DIALECT = Dialect("mlflow", detect, read, consumed=frozenset({INPUTS, OUTPUTS}), dropped_event_prefixes=(_CHUNK,))
