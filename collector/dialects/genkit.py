"""Genkit: what goes into an action and what comes out of it as JSON, with the kind of action in ``subtype``.

Actions of the subtype ``model`` are the calls; flows and the ``generate`` action around them repeat their messages.
Documents given to ``generate`` are named in the request of the model, and written out in a part of the last message
that says so: that part is no words of the user.
Source: @genkit-ai/core 1.42.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.documents import MAX_DOCUMENTS
from collector.dialects.messages import read_call_messages, read_json_messages
from collector.dialects.parts import read_part
from collector.dialects.reading import (
    Dialect,
    Reading,
    Shape,
    first_amount,
    first_count,
    first_text,
    looks_like_json,
    parse_json,
    read_finish_reasons,
)
from collector.dialects.span import Document, Message
from collector.otlp.spans import RawSpan, Value

INPUT = "genkit:input"
OUTPUT = "genkit:output"
SUBTYPE = "genkit:metadata:subtype"
_SCOPE = "genkit-tracer"
_NAME = ("genkit:name",)
_SESSION = ("genkit:sessionId", "genkit:metadata:sessionId", "genkit:metadata:session:id")
_OPERATIONS = {
    "model": "chat",
    "background-model": "chat",
    "embedder": "embeddings",
    "retriever": "retrieval",
    "reranker": "retrieval",
    "tool": "execute_tool",
    "flow": "invoke_workflow",
    "agent": "invoke_agent",
}


def detect(shape: Shape) -> bool:
    """Return whether Genkit made the span."""
    return shape.scope == _SCOPE or shape.has_prefix("genkit:")


def read(span: RawSpan) -> Reading:
    """Return what the span says in ``genkit:*``."""
    attributes = span.attributes
    operation = _OPERATIONS.get(first_text(attributes, (SUBTYPE,)) or "", "span")
    given, made = parse_json(attributes.get(INPUT)), parse_json(attributes.get(OUTPUT))
    answer = made if isinstance(made, dict) else {}
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    names_model = operation in ("chat", "embeddings")
    provider, _, model = (first_text(attributes, _NAME) or "").partition("/") if names_model else ("", "", "")
    return Reading(
        operation=operation,
        provider=provider if model else None,
        model=model or provider or None,
        request_model=model or provider or None,
        input_messages=_input_messages(attributes.get(INPUT), given, operation) or None,
        output_messages=_output_messages(attributes.get(OUTPUT), made, operation) or None,
        retrieved_documents=_retrieved(operation, given, answer),
        input_tokens=first_count(usage, ("inputTokens",)),
        output_tokens=first_count(usage, ("outputTokens",)),
        session_id=first_text(attributes, _SESSION),
        finish_reasons=read_finish_reasons(answer.get("finishReason")) if operation == "chat" else None,
    )


def _input_messages(value: Value, given: Any, operation: str) -> list[Message]:
    if isinstance(given, dict):
        if isinstance(given.get("messages"), list):
            return _messages(given["messages"], "user")
        if operation == "retrieval":
            query = given.get("query")
            return _messages([query] if isinstance(query, dict) else query, "user")
        if operation == "embeddings":
            return _messages(given.get("input"), "user")
    return _others(value, given, "tool" if operation == "execute_tool" else "user", operation)


def _output_messages(value: Value, made: Any, operation: str) -> list[Message]:
    if operation in ("retrieval", "embeddings"):
        return []
    if isinstance(made, dict):
        candidates = made.get("candidates")
        if isinstance(candidates, list):
            return _messages([one.get("message") for one in candidates if isinstance(one, dict)], "assistant")
        if isinstance(made.get("message"), dict):
            return _messages([made["message"]], "assistant")
    return _others(value, made, "tool" if operation == "execute_tool" else "assistant", operation)


def _others(value: Value, parsed: Any, role: str, operation: str) -> list[Message]:
    if looks_like_json(parsed) or operation == "chat":
        return read_json_messages(value, role)
    return read_call_messages(parsed, role)


def _messages(listed: Any, role: str) -> list[Message]:
    """Return messages whose content has Genkit's parts, which name their kind by the member that holds it."""
    found: list[Message] = []
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict):
            content = one.get("content")
            if isinstance(content, list):
                content = [_part(part) if isinstance(part, dict) else part for part in content]
            found += read_json_messages({"role": one.get("role") or role, "content": content}, role)
        elif isinstance(one, str):
            found += read_json_messages({"role": role, "content": one}, role)
    return found


def _is_context(part: Any) -> bool:
    """Return whether a part of a message is what Genkit itself put there: the documents, written out."""
    metadata = part.get("metadata") if isinstance(part, dict) else None
    return isinstance(metadata, dict) and metadata.get("purpose") == "context"


def _context_of(given: Any) -> list[Document] | None:
    """Return the documents a model was given: those named in its request, else the text they were written into."""
    if not isinstance(given, dict):
        return None
    messages = given.get("messages")
    contents = [one.get("content") for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    parts = [part for content in contents if isinstance(content, list) for part in content if _is_context(part)]
    return _documents(given.get("docs", given.get("context"))) or _documents([{"content": [part]} for part in parts])


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if _is_context(part):
        return {"type": "context", "content": part.get("text")}
    request, response, media = part.get("toolRequest"), part.get("toolResponse"), part.get("media")
    if isinstance(request, dict):
        identifier, arguments = request.get("ref"), request.get("input")
        return {"type": "tool_call", "id": identifier, "name": request.get("name"), "arguments": arguments}
    if isinstance(response, dict):
        return {"type": "tool_call_response", "id": response.get("ref"), "response": response.get("output")}
    if isinstance(media, dict):
        return read_part({"type": "media", "url": media.get("url"), "mime_type": media.get("contentType")})
    if isinstance(part.get("reasoning"), str):
        return {"type": "reasoning", "content": part["reasoning"]}
    return part


def _retrieved(operation: str, given: Any, answer: dict[str, Any]) -> list[Document] | None:
    if operation == "chat":
        return _context_of(given)
    return _documents(answer.get("documents")) if operation == "retrieval" else None


def _documents(listed: Any) -> list[Document] | None:
    """Return documents, whose content is a list of parts."""
    found: list[Document] = []
    for one in listed[:MAX_DOCUMENTS] if isinstance(listed, list) else []:
        content = one.get("content") if isinstance(one, dict) else None
        parts = content if isinstance(content, list) else []
        texts = [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
        metadata = one.get("metadata") if isinstance(one, dict) else None
        metadata = metadata if isinstance(metadata, dict) else {}
        identifier = first_text(metadata, ("id", "docId"))
        if texts or identifier:
            score = first_amount(metadata, ("score",))
            found.append({"id": identifier, "content": "\n".join(texts) or None, "score": score})
    return found or None


DIALECT = Dialect("genkit", detect, read, consumed=frozenset({INPUT, OUTPUT}))
