"""Spring AI: chat clients, advisors and vector stores around the call of a model.

Only the span of the call itself, which has no ``spring.ai.kind``, is one; what is around it has the operation
``framework``. Since 1.0 prompts and answers go to the application's log and not onto spans: their text must come from
another instrumentation or a gateway. Before, they were in ``gen_ai.prompt`` and ``gen_ai.completion`` or on events.
Source: the observability chapter of Spring AI's reference, 1.0 and 2.0.
"""

from __future__ import annotations

from collector.dialects.documents import read_documents
from collector.dialects.otel_genai import OPERATION
from collector.dialects.reading import Dialect, Reading, Shape, first_text, parse_json
from collector.dialects.span import Message
from collector.dialects.span_events import read_told
from collector.otlp.spans import RawSpan, Value

KIND = "spring.ai.kind"
_SCOPES = ("org.springframework", "spring-ai")
_SESSION = ("spring.ai.chat.client.conversation.id", "spring.ai.conversation.id")
_DOCUMENTS = ("spring.ai.vectorstore.query.response.documents", "db.vector.query.response.documents")
_PROMPT, _COMPLETION = "gen_ai.prompt", "gen_ai.completion"
_TOOLS = frozenset({"tool_call", "tool"})
_VECTOR_STORES = frozenset({"vector_store", "vectorstore"})
_CONSUMED = frozenset({_PROMPT, _COMPLETION, *_DOCUMENTS})


def detect(shape: Shape) -> bool:
    """Return whether Spring AI made the span; a model's own span is known by its scope alone."""
    return shape.has_prefix("spring.ai.") or (
        shape.scope.startswith(_SCOPES) and shape.has_prefix("gen_ai.", "db.vector.")
    )


def read(span: RawSpan) -> Reading:
    """Return the operation, the conversation and whatever text or documents an older version left on the span."""
    attributes = span.attributes
    documents = next((attributes[key] for key in _DOCUMENTS if key in attributes), None)
    return Reading(
        operation=_operation(span),
        input_messages=_messages(attributes.get(_PROMPT), "user") or None,
        output_messages=_messages(attributes.get(_COMPLETION), "assistant") or None,
        retrieved_documents=read_documents(documents) or None,
        session_id=first_text(attributes, _SESSION),
    )


def _operation(span: RawSpan) -> str | None:
    kind = first_text(span.attributes, (KIND,))
    if kind in _VECTOR_STORES:
        return "retrieval" if span.attributes.get("db.operation.name") == "query" else "span"
    if kind in _TOOLS:
        return "execute_tool"
    if kind is not None or span.attributes.get(OPERATION) == "framework":
        return "span"
    return None


def _messages(value: Value, role: str) -> list[Message]:
    """Return the messages in what Spring AI wrote: a list of texts, or one, plain or as JSON."""
    parsed = parse_json(value)
    if isinstance(parsed, list) and parsed and all(isinstance(one, str) for one in parsed):
        return [message for one in parsed for message in read_told(one, role)]
    return read_told(value, role)


DIALECT = Dialect("spring_ai", detect, read, consumed=_CONSUMED)
