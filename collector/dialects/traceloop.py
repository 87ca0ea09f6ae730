"""Traceloop's SDK: workflows, tasks, agents and tools around the calls, and what every span of theirs is stamped with.

Association properties (``session_id``, ``user_id`` and whatever else the application set) stand on each span below
the point where they were set, so they reach the calls themselves. Source: traceloop-sdk 0.62.4.
"""

from __future__ import annotations

from collector.dialects.documents import read_documents
from collector.dialects.messages import decode_json, read_call_messages, text_message
from collector.dialects.reading import Dialect, Reading, Shape, first_text, parse_json
from collector.dialects.span import Document, Message
from collector.otlp.spans import Attributes, RawSpan, Value

KIND = "traceloop.span.kind"
OPERATIONS_BY_KIND = {
    "workflow": "invoke_workflow",
    "task": "span",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "unknown": "span",
}
# LangChain's and LangGraph's instrumentation writes both names of each.
INPUT = ("traceloop.entity.input", "gen_ai.task.input")
OUTPUT = ("traceloop.entity.output", "gen_ai.task.output")
OPERATION = "gen_ai.operation.name"
RETRIEVAL = "vector_db_retrieve"
"""What LangChain's retrievers call their operation, on spans of the kind ``task``."""
NAME = "traceloop.entity.name"
_LLAMA_INDEX = "opentelemetry.instrumentation.llamaindex"
_RETRIEVERS = ("Retriever.task", "Retriever.workflow")
_QUERIES = ("query", "query_bundle", "str_or_query_bundle")
_PROPERTIES = "traceloop.association.properties."
SESSION = tuple(
    _PROPERTIES + name for name in ("session_id", "session.id", "sessionId", "conversation_id", "thread_id", "chat_id")
)
USER = tuple(_PROPERTIES + name for name in ("user_id", "user.id", "userId", "user"))


def detect(shape: Shape) -> bool:
    """Return whether the span carries anything of Traceloop's."""
    return shape.has_prefix("traceloop.")


def read(span: RawSpan) -> Reading:
    """Return the span's kind, its input and output or what it retrieved, and whose conversation it belongs to."""
    attributes = span.attributes
    kind = attributes.get(KIND)
    given, returned = (_first_given(attributes, names) for names in (INPUT, OUTPUT))
    operation = OPERATIONS_BY_KIND.get(kind) if isinstance(kind, str) else None
    documents: list[Document] = []
    if _retrieves(span):
        operation, documents = "retrieval", _read_nodes(returned)
        given = _query(given)
    return Reading(
        operation=operation,
        input_messages=_messages(given, "user"),
        output_messages=None if documents else _messages(returned, "assistant"),
        retrieved_documents=documents or None,
        session_id=first_text(attributes, SESSION),
        user_id=first_text(attributes, USER),
    )


def _retrieves(span: RawSpan) -> bool:
    """Return whether a retriever of LangChain's or LlamaIndex's made the span; of the latter only its name tells."""
    if span.attributes.get(OPERATION) == RETRIEVAL:
        return True
    name = span.attributes.get(NAME)
    return span.scope == _LLAMA_INDEX and isinstance(name, str) and name.endswith(_RETRIEVERS)


def _read_nodes(returned: Value) -> list[Document]:
    """Return what was found: an object with documents, or LlamaIndex's list of nodes, each of them JSON in itself."""
    found = parse_json(returned)
    return read_documents([parse_json(one) for one in found] if isinstance(found, list) else returned)


def _query(given: Value) -> Value:
    """Return what a retriever was asked, without the names and tags that are handed over beside it."""
    arguments = parse_json(given)
    for name in _QUERIES if isinstance(arguments, dict) else ():
        query = arguments.get(name)
        text = query.get("query_str") if isinstance(query, dict) else query
        if isinstance(text, str):
            return text
    return given


def _first_given(attributes: Attributes, names: tuple[str, ...]) -> Value:
    return next((attributes[name] for name in names if attributes.get(name) is not None), None)


def _messages(value: Value, role: str) -> list[Message] | None:
    """Return the messages of one side, which is JSON: text in quotes, or the arguments of a function."""
    if value is None:
        return None
    decoded = decode_json(value)
    if isinstance(decoded, str) and isinstance(value, str) and value[:1] == '"':
        return [text_message(role, decoded)] if decoded else None
    return read_call_messages(decoded, role) or None


DIALECT = Dialect("traceloop", detect, read, consumed=frozenset({*INPUT, *OUTPUT}))
