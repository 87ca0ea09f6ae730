"""Vercel AI SDK up to 6, and 7 with its legacy telemetry: ``ai.*``.

``ai.generateText`` and its kin are what the application called; they repeat the messages and the usage of the calls
of models below them, whose operation ends in ``.doGenerate``, ``.doStream``, ``.doEmbed`` or ``.doRerank``: only these
count. Source: ai 4.3, 5.0 and 6.0, @ai-sdk/otel 1.0.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.documents import MAX_DOCUMENTS, read_document
from collector.dialects.messages import read_json_messages, text_message
from collector.dialects.parts import read_parts, text_part
from collector.dialects.reading import (
    Dialect,
    Reading,
    Shape,
    first_amount,
    first_count,
    first_event_ms,
    first_text,
    parse_json,
    read_finish_reasons,
)
from collector.dialects.span import Document, Message
from collector.otlp.spans import Attributes, RawSpan, Value

OPERATION = "ai.operationId"
DOCUMENTS = "ai.documents"
RANKING = "ai.ranking"
VECTORS = ("ai.embedding", "ai.embeddings")
SESSION = tuple(
    f"ai.{holder}.{name}"
    for holder in ("telemetry.metadata", "settings.context")
    for name in ("sessionId", "session_id", "session.id", "conversationId", "threadId", "chatId")
)
USER = tuple(
    f"ai.{holder}.{name}"
    for holder in ("telemetry.metadata", "settings.context")
    for name in ("userId", "user_id", "user.id")
)
_CALLS = {"doGenerate": "chat", "doStream": "chat", "doEmbed": "embeddings", "doRerank": "retrieval"}
_OPERATIONS = {
    "ai.generateText": "invoke_agent",
    "ai.streamText": "invoke_agent",
    "ai.generateObject": "invoke_agent",
    "ai.streamObject": "invoke_agent",
    "ai.toolCall": "execute_tool",
}
# How version 7 names the providers that earlier ones name after their packages; the longer names come first.
_PROVIDERS = (
    ("google.vertex", "gcp.vertex_ai"),
    ("google-vertex", "gcp.vertex_ai"),
    ("google", "gcp.gemini"),
    ("amazon-bedrock", "aws.bedrock"),
    ("azure-openai", "azure.ai.openai"),
    ("azure", "azure.ai.inference"),
    ("mistral", "mistral_ai"),
    ("xai", "x_ai"),
)
_MODEL = ("ai.response.model", "gen_ai.response.model", "ai.model.id")
_INPUT_TOKENS = ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens")
_OUTPUT_TOKENS = ("ai.usage.outputTokens", "ai.usage.completionTokens")
_TTFT_MS = ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk")
_FIRST_CHUNK = frozenset({"ai.stream.firstChunk"})
_MESSAGES = ("ai.prompt.messages", "ai.prompt")
_CONSUMED = frozenset(
    {
        *_MESSAGES,
        "ai.value",
        "ai.values",
        *VECTORS,
        "ai.response.text",
        "ai.response.object",
        "ai.response.toolCalls",
        "ai.response.reasoning",
        "ai.response.files",
        "ai.result.text",
        "ai.result.object",
        "ai.result.toolCalls",
        DOCUMENTS,
        RANKING,
    }
)


def detect(shape: Shape) -> bool:
    """Return whether the span states an operation of the SDK."""
    return OPERATION in shape.keys


def read(span: RawSpan) -> Reading:
    """Return what the span says in ``ai.*``."""
    attributes = span.attributes
    ttft_ms = first_amount(attributes, _TTFT_MS)
    return Reading(
        operation=_operation(attributes.get(OPERATION)),
        provider=_provider(attributes.get("ai.model.provider")),
        model=first_text(attributes, _MODEL),
        request_model=first_text(attributes, ("ai.model.id",)),
        input_messages=_input_messages(attributes) or None,
        output_messages=_output_messages(attributes) or None,
        retrieved_documents=read_ranked_documents(attributes) or None,
        input_tokens=first_count(attributes, _INPUT_TOKENS),
        output_tokens=first_count(attributes, _OUTPUT_TOKENS),
        session_id=first_text(attributes, SESSION),
        user_id=first_text(attributes, USER),
        finish_reasons=read_finish_reasons(attributes.get("ai.response.finishReason")),
        ttft_ms=first_event_ms(span, _FIRST_CHUNK) if ttft_ms is None else ttft_ms,
    )


def read_ranked_documents(attributes: Attributes) -> list[Document]:
    """Return the documents of a reranking, best first with their scores; in the order given where none was made."""
    given = attributes.get(DOCUMENTS)
    if not isinstance(given, list):
        return []
    documents = [read_document(_document(one)) for one in given[:MAX_DOCUMENTS]]
    ranking = attributes.get(RANKING)
    ranked: list[Document] = []
    for rank in ranking[:MAX_DOCUMENTS] if isinstance(ranking, list) else []:
        place = parse_json(rank)
        index = place.get("index", place.get("originalIndex")) if isinstance(place, dict) else None
        if type(index) is int and 0 <= index < len(documents) and (document := documents[index]) is not None:
            score = first_amount(place, ("relevanceScore", "score"))
            ranked.append(document if score is None else {**document, "score": score})
    return ranked or [document for document in documents if document is not None]


def _document(value: Value) -> Any:
    """Return one document: text, or an object whose text may have any name, so that it is taken as JSON."""
    parsed = parse_json(value)
    return value if isinstance(parsed, dict) and read_document(parsed) is None else parsed


def _operation(name: Value) -> str:
    if not isinstance(name, str):
        return "span"
    return _CALLS.get(name.rpartition(".")[2]) or _OPERATIONS.get(name, "span")


def _provider(name: Value) -> str | None:
    """Return the provider without the API in ``openai.chat``, under the name that version 7 gives it."""
    if not isinstance(name, str) or not name:
        return None
    for prefix, known in _PROVIDERS:
        if name.startswith(prefix) and name[len(prefix) : len(prefix) + 1] in ("", ".", "-"):
            return known
    return name.partition(".")[0] or name


def _input_messages(attributes: Attributes) -> list[Message]:
    for key in _MESSAGES:
        if key in attributes:
            return read_json_messages(attributes[key], "user")
    values = attributes.get("ai.values", attributes.get("ai.value"))
    texts = [parse_json(one) for one in (values if isinstance(values, list) else [values])]
    return [text_message("user", text) for text in texts if isinstance(text, str) and text]


def _output_messages(attributes: Attributes) -> list[Message]:
    """Return the answer as one message: reasoning, text or object, files and tool calls, as far as there are any."""
    parts: list[dict[str, Any]] = []
    reasoning = attributes.get("ai.response.reasoning")
    if isinstance(reasoning, str) and reasoning:
        parts.append({"type": "reasoning", "content": reasoning})
    for name in ("text", "object"):
        text = attributes.get(f"ai.response.{name}", attributes.get(f"ai.result.{name}"))
        if isinstance(text, str) and text:
            parts.append(text_part(text))
    for key in ("ai.response.files", "ai.response.toolCalls", "ai.result.toolCalls"):
        listed = parse_json(attributes.get(key))
        if isinstance(listed, list):
            kind = "file" if key.endswith("files") else "tool-call"
            parts += read_parts([{**one, "type": kind} for one in listed if isinstance(one, dict)])
    return [{"role": "assistant", "parts": parts}] if parts else []


DIALECT = Dialect("vercel_legacy", detect, read, consumed=_CONSUMED, dropped_events=_FIRST_CHUNK)
