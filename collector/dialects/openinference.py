"""OpenInference: messages and documents flattened into numbered attributes.

``input.value`` and ``output.value`` repeat the messages as raw JSON of the API; they are read only where no
messages were captured, so nothing counts twice. Source: openinference-semantic-conventions.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.documents import MAX_DOCUMENTS, read_document
from collector.dialects.messages import (
    REDACTED,
    read_finish_reasons_of,
    read_json_messages,
    read_messages,
    text_message,
)
from collector.dialects.reading import (
    Dialect,
    Reading,
    first_amount,
    first_count,
    first_event_ms,
    first_text,
    numbered,
    read_finish_reasons,
    unflatten,
)
from collector.dialects.span import Document, Message
from collector.otlp.spans import Attributes, RawSpan

KIND = "openinference.span.kind"
OPERATIONS_BY_KIND = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "RETRIEVER": "retrieval",
    "RERANKER": "retrieval",
    "TOOL": "execute_tool",
    "AGENT": "invoke_agent",
    "GUARDRAIL": "apply_guardrail",
}
PROVIDER = ("llm.provider", "llm.system")
REQUEST_MODEL = ("llm.request.model_name", "llm.model_name")
MODEL = ("llm.response.model_name", *REQUEST_MODEL, "embedding.model_name", "reranker.model_name")
INPUT_TOKENS = ("llm.token_count.prompt",)
OUTPUT_TOKENS = ("llm.token_count.completion",)
COST = ("llm.cost.total",)
SESSION = ("session.id",)
USER = ("user.id",)
FIRST_TOKEN = frozenset({"First Token Stream Event"})
_PREFIXES = (
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.prompts.",
    "llm.choices.",
    "retrieval.documents.",
    "reranker.output_documents.",
)
_CONSUMED = frozenset({"input.value", "output.value", "input.mime_type", "output.mime_type"})


def detect(span: RawSpan) -> bool:
    """Return whether the span states an OpenInference kind: without it, it is not OpenInference."""
    return KIND in span.attributes


def read(span: RawSpan) -> Reading:
    """Return what the span says in OpenInference's attributes."""
    attributes = span.attributes
    tree = unflatten({k: v for k, v in attributes.items() if k.startswith(_PREFIXES)}, "")
    kind = str(attributes.get(KIND, "")).upper()
    inputs, outputs = _input_messages(tree, attributes), _output_messages(tree, attributes)
    documents = _documents(tree)
    completion_api = kind == "LLM" and ("prompts" in tree.get("llm", {}) or "choices" in tree.get("llm", {}))
    return Reading(
        operation="text_completion" if completion_api else OPERATIONS_BY_KIND.get(kind),
        provider=first_text(attributes, PROVIDER),
        model=first_text(attributes, MODEL),
        request_model=first_text(attributes, REQUEST_MODEL),
        input_messages=inputs or None,
        output_messages=outputs or None,
        retrieved_documents=documents or None,
        input_tokens=first_count(attributes, INPUT_TOKENS),
        output_tokens=first_count(attributes, OUTPUT_TOKENS),
        cost_usd=first_amount(attributes, COST),
        session_id=first_text(attributes, SESSION),
        user_id=first_text(attributes, USER),
        finish_reasons=read_finish_reasons(attributes.get("llm.finish_reason"))
        or (read_finish_reasons_of(attributes.get("output.value")) if kind == "LLM" else None),
        ttft_ms=first_event_ms(span, FIRST_TOKEN),
        consumed=_CONSUMED,
        consumed_prefixes=_PREFIXES,
    )


def _input_messages(tree: dict[str, Any], attributes: Attributes) -> list[Message]:
    llm = tree.get("llm", {})
    messages = [_message(one, "user") for one in numbered(llm.get("input_messages"))]
    prompts = [_completion_text(one, "prompt") for one in numbered(llm.get("prompts"))]
    messages += [text_message("user", text) for text in prompts if text]
    return messages or _fallback(attributes, "input", "user")


def _output_messages(tree: dict[str, Any], attributes: Attributes) -> list[Message]:
    llm = tree.get("llm", {})
    messages = [_message(one, "assistant") for one in numbered(llm.get("output_messages"))]
    choices = [_completion_text(one, "completion") for one in numbered(llm.get("choices"))]
    messages += [text_message("assistant", text) for text in choices if text]
    return messages or _fallback(attributes, "output", "assistant")


def _fallback(attributes: Attributes, side: str, role: str) -> list[Message]:
    """Return the messages in ``input.value`` or ``output.value``, which is JSON only where its media type says so."""
    value = attributes.get(f"{side}.value")
    if value == REDACTED:
        return []
    media_type = attributes.get(f"{side}.mime_type")
    is_json = isinstance(media_type, str) and "json" in media_type.lower()
    return read_json_messages(value, role) if is_json else read_messages(value, role)


def _completion_text(node: object, name: str) -> str | None:
    below = node.get(name) if isinstance(node, dict) else None
    text = below.get("text") if isinstance(below, dict) else None
    return text if isinstance(text, str) else None


def _message(node: object, role: str) -> Message:
    """Return one flattened message by first giving it the shape of the API it was taken from."""
    flat = node.get("message") if isinstance(node, dict) else None
    flat = flat if isinstance(flat, dict) else {}
    contents = [_content(one) for one in numbered(flat.get("contents"))]
    plain = flat.get("content")
    shaped: dict[str, Any] = {
        "role": flat.get("role") or role,
        "content": contents or (plain if isinstance(plain, str) else None),
        "tool_calls": [_tool_call(one) for one in numbered(flat.get("tool_calls"))],
        "name": flat.get("name"),
    }
    if isinstance(flat.get("tool_call_id"), str):
        shaped["tool_call_id"] = flat["tool_call_id"]
    return read_messages(shaped, role)[0]


def _content(node: object) -> dict[str, Any]:
    """Return one content of a message: text, or a reference to an image, sound, film or document."""
    content = node.get("message_content") if isinstance(node, dict) else None
    content = dict(content) if isinstance(content, dict) else {}
    kind = content.pop("type", None)
    if "text" in content:
        return {"type": "text", "text": content["text"]}
    if isinstance(content.get("image"), dict):
        url = content["image"].get("image")
        uri = url.get("url") if isinstance(url, dict) else url
        return {"type": "uri", "modality": "image", "uri": uri}
    return {**content, "type": kind if isinstance(kind, str) else "generic"}


def _tool_call(node: object) -> dict[str, Any]:
    call = node.get("tool_call") if isinstance(node, dict) else None
    return call if isinstance(call, dict) else {}


def _documents(tree: dict[str, Any]) -> list[Document]:
    nodes = numbered(tree.get("retrieval", {}).get("documents"))
    nodes += numbered(tree.get("reranker", {}).get("output_documents"))
    flat = [node.get("document") for node in nodes[:MAX_DOCUMENTS] if isinstance(node, dict)]
    return [document for one in flat if (document := read_document(one)) is not None]


DIALECT = Dialect("openinference", detect, read)
