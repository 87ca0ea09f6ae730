"""OpenLLMetry: what its instrumentations of model clients and vector stores send.

Up to 0.54 messages were flattened into ``gen_ai.prompt.N.*`` and ``gen_ai.completion.N.*``; agentgateway still does
that. Later releases write the attributes of the GenAI conventions, which :mod:`collector.dialects.otel_genai` reads;
only what is their own is read here. Vector stores put each document they found into a span event. Source:
opentelemetry-instrumentation-openai 0.54.0 and 0.62.4, opentelemetry-instrumentation-chromadb 0.62.4.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.documents import MAX_DOCUMENTS, read_document
from collector.dialects.messages import read_messages, text_message
from collector.dialects.reading import (
    Dialect,
    Reading,
    Shape,
    first_count,
    first_event_ms,
    first_text,
    numbered,
    parse_json,
    unflatten,
)
from collector.dialects.span import Document, Message
from collector.otlp.spans import Attributes, RawEvent, RawSpan

REQUEST_TYPE = "llm.request.type"
OPERATIONS_BY_REQUEST = {
    "chat": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
    "rerank": "retrieval",
}
PROMPT, COMPLETION = "gen_ai.prompt.", "gen_ai.completion."
OLD_PROMPT, OLD_COMPLETION = "llm.prompts.", "llm.completions."
REQUEST_MODEL = ("gen_ai.request.model", "llm.request.model")
MODEL = ("gen_ai.response.model", "llm.response.model", *REQUEST_MODEL)
PROVIDER = ("llm.vendor", "db.system.name", "db.system")
INPUT_TOKENS = ("llm.usage.prompt_tokens",)
OUTPUT_TOKENS = ("llm.usage.completion_tokens",)
USER = ("gen_ai.user", "llm.user")
CHUNK_EVENTS = frozenset({"gen_ai.content.completion.chunk", "llm.content.completion.chunk"})
RESULT_EVENTS = frozenset({"db.query.result", "db.search.result"})

_PREFIXES = (PROMPT, COMPLETION, OLD_PROMPT, OLD_COMPLETION)
_MARKS = frozenset(
    {
        REQUEST_TYPE,
        "llm.usage.total_tokens",
        "llm.is_streaming",
        "llm.user",
        "gen_ai.is_streaming",
        "gen_ai.openai.api_base",
    }
)
_LIBRARIES = frozenset(
    {
        "agno",
        "alephalpha",
        "anthropic",
        "bedrock",
        "chromadb",
        "cohere",
        "crewai",
        "google_generativeai",
        "groq",
        "haystack",
        "lancedb",
        "langchain",
        "llamaindex",
        "marqo",
        "mcp",
        "milvus",
        "mistralai",
        "ollama",
        "openai",
        "openai_agents",
        "pinecone",
        "qdrant",
        "replicate",
        "sagemaker",
        "together",
        "transformers",
        "vertexai",
        "voyageai",
        "watsonx",
        "weaviate",
        "writer",
    }
)
_SCOPE = "opentelemetry.instrumentation."
# What stands for the text that a provider's content filter held back.
_FILTERED = "FILTERED"
# A call of a model that names the documents it was given says so here, and stays a call of a model.
_NAMED = "gen_ai.operation.name"
# Most messages are these and need no more than their text; what may be a list, a mark or a filter's word begins so.
_SIMPLE = frozenset({"role", "content", "finish_reason"})
_PLAIN_ROLES = ("user", "assistant", "system")
_UNUSUAL = ("", "[", "F")


def detect(shape: Shape) -> bool:
    """Return whether the span is one of OpenLLMetry's, by what it carries or by the scope it was made in."""
    if not shape.keys.isdisjoint(_MARKS) or not shape.events.isdisjoint(RESULT_EVENTS) or shape.has_prefix(*_PREFIXES):
        return True
    library = shape.scope.removeprefix(_SCOPE)
    return library != shape.scope and library.partition(".")[0] in _LIBRARIES


def read(span: RawSpan) -> Reading:
    """Return what the span says in OpenLLMetry's own names, with the documents among its events."""
    attributes = span.attributes
    inputs, outputs, reasons = _flattened(attributes)
    documents = _documents(span.events) if span.events else []
    return Reading(
        operation=_operation(attributes) or ("retrieval" if documents and _NAMED not in attributes else None),
        provider=first_text(attributes, PROVIDER),
        model=first_text(attributes, MODEL),
        request_model=first_text(attributes, REQUEST_MODEL),
        input_messages=inputs or None,
        output_messages=outputs or None,
        retrieved_documents=documents or None,
        input_tokens=first_count(attributes, INPUT_TOKENS),
        output_tokens=first_count(attributes, OUTPUT_TOKENS),
        user_id=first_text(attributes, USER),
        finish_reasons=reasons or None,
        ttft_ms=first_event_ms(span, CHUNK_EVENTS) if span.events else None,
    )


def _operation(attributes: Attributes) -> str | None:
    kind = attributes.get(REQUEST_TYPE)
    return OPERATIONS_BY_REQUEST.get(kind) if isinstance(kind, str) else None


def _flattened(attributes: Attributes) -> tuple[list[Message], list[Message], list[str]]:
    """Return prompts, completions and finish reasons that were flattened into numbered attributes."""
    sides: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for key, value in attributes.items():
        if key.startswith(_PREFIXES):
            # The vocabulary, the side, the number, and the name within the message.
            _, side, number, *name = key.split(".", 3)
            node = sides[not side.startswith("prompt")].setdefault(number, {})
            node[name[0] if name else "content"] = value
    if not sides[0] and not sides[1]:
        return [], [], []
    prompts, completions = numbered(sides[0]), numbered(sides[1])
    inputs = [message for node in prompts for message in _message(node, "user")]
    outputs = [message for node in completions for message in _message(node, "assistant")]
    reasons = [one for node in completions if isinstance(one := node.get("finish_reason"), str) and one]
    return inputs, outputs, [reason[:64] for reason in reasons]


def _message(node: dict[str, Any], role: str) -> list[Message]:
    """Return one flattened message in the shape of the API it came from; content may be a JSON list of parts."""
    content, own_role = node.get("content"), node.get("role") or role
    simple = own_role in _PLAIN_ROLES and node.keys() <= _SIMPLE
    if simple and isinstance(content, str) and content[:1] not in _UNUSUAL:
        return [text_message(own_role, content)]
    if isinstance(content, str) and content[:1] == "[":
        content = _content_parts(content)
    if content == _FILTERED and node.get("finish_reason") == "content_filter":
        content = {"type": "redacted"}
    shaped: dict[str, Any] = {"role": own_role, "content": content}
    for name in ("refusal", "tool_call_id"):
        if isinstance(node.get(name), str):
            shaped[name] = node[name]
    if len(node) > len(shaped):
        calls = [one for one in numbered(unflatten(node, "tool_calls.")) if isinstance(one, dict)]
        calls += [call] if (call := unflatten(node, "function_call.")) else []
        shaped["tool_calls"] = calls
    messages = read_messages(shaped, role)
    reasoning = node.get("reasoning")
    if isinstance(reasoning, str) and reasoning:
        messages[0]["parts"].insert(0, {"type": "reasoning", "content": reasoning})
    return [message for message in messages if message["parts"]]


def _content_parts(text: str) -> Any:
    """Return the parts that a JSON list holds; a list of anything else is what somebody said."""
    parsed = parse_json(text)
    if isinstance(parsed, list) and parsed and all(isinstance(one, dict) and "type" in one for one in parsed):
        return parsed
    return text


def _documents(events: list[RawEvent]) -> list[Document]:
    """Return the documents that a vector store's events name, in order and without their distance.

    A distance is small where a score is large, and which measure it is isn't said.
    """
    found: list[Document] = []
    for event in events:
        if event.name in RESULT_EVENTS and len(found) < MAX_DOCUMENTS:
            start = len(event.name) + 1
            fields = {key[start:]: parse_json(value) for key, value in event.attributes.items()}
            if (document := read_document(fields)) is not None:
                found.append(document)
    return found


DIALECT = Dialect(
    "openllmetry",
    detect,
    read,
    consumed_prefixes=_PREFIXES,
    dropped_events=CHUNK_EVENTS | RESULT_EVENTS,
    telling_events=RESULT_EVENTS,
)
