"""LangSmith's SDK exporting over OpenTelemetry: whole inputs and outputs of a run as one JSON text each.

``gen_ai.operation.name`` calls retrievers embeddings, and prompt templates chats; the run type tells them apart.
``langsmith.trace.session_id`` is the project and never a session. Source: langsmith 0.14.17.
"""

from __future__ import annotations

from collector.dialects.documents import read_documents
from collector.dialects.messages import parse_loosely, read_call_messages, read_finish_reasons_of
from collector.dialects.reading import Dialect, Reading, Shape, first_count, first_text, parse_json, read_finish_reasons
from collector.otlp.spans import Attributes, RawSpan

SCOPE = "langsmith"
TYPE = "langsmith.span.kind"
OPERATIONS_BY_TYPE = {
    "llm": "chat",
    "embedding": "embeddings",
    "retriever": "retrieval",
    "tool": "execute_tool",
}
INPUTS, OUTPUTS = "gen_ai.prompt", "gen_ai.completion"
METADATA = "langsmith.metadata."
MODEL = ("gen_ai.response.model", "gen_ai.request.model", METADATA + "ls_model_name")
REQUEST_MODEL = ("gen_ai.request.model", METADATA + "ls_model_name")
PROVIDER = (METADATA + "ls_provider",)
USAGE = METADATA + "usage_metadata"
SESSION = tuple(METADATA + name for name in ("session_id", "thread_id", "conversation_id"))
USER = tuple(METADATA + name for name in ("user_id", "user"))
FINISH_REASONS = "gen_ai.response.finish_reasons"
# What the SDK writes where it could not guess one; it is no provider of models.
_NO_PROVIDER = "langchain"
# Gives back vectors, which are not kept.
_EMBEDDINGS = "embeddings"


def detect(shape: Shape) -> bool:
    """Return whether the span was made by LangSmith's SDK or carries its run type."""
    return shape.scope == SCOPE or TYPE in shape.keys


def read(span: RawSpan) -> Reading:
    """Return what the run says."""
    attributes = span.attributes
    kind = attributes.get(TYPE)
    operation = OPERATIONS_BY_TYPE.get(kind, "span") if isinstance(kind, str) else None
    given, returned = parse_loosely(attributes.get(INPUTS)), parse_loosely(attributes.get(OUTPUTS))
    documents = read_documents(returned) if operation == "retrieval" else []
    usage = parse_json(attributes.get(USAGE)) if operation == "chat" else None
    reasons = read_finish_reasons(attributes.get(FINISH_REASONS))
    return Reading(
        operation=operation,
        provider=first_text(attributes, PROVIDER) or _system(attributes),
        model=first_text(attributes, MODEL),
        request_model=first_text(attributes, REQUEST_MODEL),
        input_messages=read_call_messages(given, "user") or None,
        output_messages=None
        if documents or operation == _EMBEDDINGS
        else read_call_messages(returned, "assistant") or None,
        retrieved_documents=documents or None,
        input_tokens=first_count(usage, ("input_tokens",)) if isinstance(usage, dict) else None,
        output_tokens=first_count(usage, ("output_tokens",)) if isinstance(usage, dict) else None,
        session_id=first_text(attributes, SESSION),
        user_id=first_text(attributes, USER),
        finish_reasons=reasons or (read_finish_reasons_of(returned) if operation == "chat" else None),
    )


def _system(attributes: Attributes) -> str:
    """Return the guessed provider; nothing at all where the guess is the framework."""
    system = first_text(attributes, ("gen_ai.system",))
    return "" if system is None or system == _NO_PROVIDER else system


DIALECT = Dialect("langsmith", detect, read, consumed=frozenset({INPUTS, OUTPUTS}))
