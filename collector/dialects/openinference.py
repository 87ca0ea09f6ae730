"""OpenInference: messages and documents flattened into numbered attributes.

``input.value`` and ``output.value`` repeat the messages as raw JSON of the API; they are read only where no
messages were captured, so nothing counts twice. Source: openinference-semantic-conventions.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.documents import MAX_DOCUMENTS, read_document
from collector.dialects.hidden import is_hidden
from collector.dialects.messages import (
    read_finish_reasons_of,
    read_json_messages,
    read_messages,
    text_message,
)
from collector.dialects.reading import (
    Dialect,
    Reader,
    Reading,
    Shape,
    first_amount,
    first_count,
    first_event_ms,
    first_text,
    numbered,
    parse_json,
    read_finish_reasons,
    span_to_shape,
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
    "CHAIN": "span",
    "PROMPT": "span",
    "DECISION": "span",
    "EVALUATOR": "span",
}
PROVIDER = ("llm.provider", "llm.system")
REQUEST_MODEL = ("llm.request.model_name", "llm.model_name")
MODEL = ("llm.response.model_name", *REQUEST_MODEL, "embedding.model_name", "reranker.model_name")
PARAMETERS = "llm.invocation_parameters"
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
    "embedding.embeddings.",
)
_PLAIN_ROLES = ("user", "assistant", "system")
_MODALITIES = ("image", "audio", "video", "document")
# LlamaIndex wraps its calls in further spans of kind LLM: those without any of these only repeat them.
_WRAPPING_SCOPE = "openinference.instrumentation.llama_index"
_SIGNS_OF_A_CALL = ("llm.input_messages.", "llm.output_messages.", "llm.prompts.", "llm.choices.", "llm.token_count.",
                    "llm.finish_reason")  # fmt: skip
FINISH_REASON = "llm.finish_reason"
OUTPUT_VALUE = "output.value"
_CONSUMED = frozenset({"input.value", OUTPUT_VALUE, "input.mime_type", "output.mime_type"})


def detect(shape: Shape) -> bool:
    """Return whether the span states an OpenInference kind: without it, it is not OpenInference."""
    return KIND in shape.keys


def read(span: RawSpan) -> Reading:
    """Return what the span says in OpenInference's attributes."""
    return reader_for(span_to_shape(span))(span)


def reader_for(shape: Shape) -> Reader:
    """Return a reader for spans of ``shape``: only where there are numbered attributes a tree of them is built."""
    flattened = tuple(sorted(key for key in shape.keys if key.startswith(_PREFIXES)))
    provider, model, request_model = shape.present(PROVIDER), shape.present(MODEL), shape.present(REQUEST_MODEL)
    session, user = shape.present(SESSION), shape.present(USER)
    input_tokens, output_tokens, cost = (shape.present(keys) for keys in (INPUT_TOKENS, OUTPUT_TOKENS, COST))
    asked_first = shape.present(REQUEST_MODEL[:1])
    has_parameters, has_reason, has_output = (key in shape.keys for key in (PARAMETERS, FINISH_REASON, OUTPUT_VALUE))
    wraps = shape.scope == _WRAPPING_SCOPE and not _is_call(shape)
    is_streamed = not shape.events.isdisjoint(FIRST_TOKEN)

    def read_shape(span: RawSpan) -> Reading:
        attributes = span.attributes
        tree = unflatten({key: attributes[key] for key in flattened}, "") if flattened else {}
        kind = str(attributes[KIND]).upper()
        inputs = _input_messages(tree, attributes)
        # What an embedding gives back are vectors.
        outputs = [] if kind == "EMBEDDING" else _output_messages(tree, attributes)
        llm = tree.get("llm", {})
        operation = OPERATIONS_BY_KIND.get(kind)
        if kind == "LLM":
            operation = "text_completion" if "prompts" in llm or "choices" in llm else "span" if wraps else "chat"
        asked = first_text(attributes, asked_first) if asked_first else None
        if asked is None and has_parameters:
            asked = _asked_model(attributes)
        reading = Reading(operation=operation, input_messages=inputs or None, output_messages=outputs or None)
        reading.retrieved_documents = (_documents(tree) or None) if tree else None
        reading.model = first_text(attributes, model) or asked
        reading.request_model = asked or first_text(attributes, request_model)
        reading.provider = first_text(attributes, provider)
        if input_tokens:
            reading.input_tokens = first_count(attributes, input_tokens)
        if output_tokens:
            reading.output_tokens = first_count(attributes, output_tokens)
        if cost:
            reading.cost_usd = first_amount(attributes, cost)
        reading.session_id = first_text(attributes, session)
        reading.user_id = first_text(attributes, user)
        if has_reason:
            reading.finish_reasons = read_finish_reasons(attributes[FINISH_REASON])
        if reading.finish_reasons is None and has_output and kind == "LLM":
            reading.finish_reasons = read_finish_reasons_of(attributes[OUTPUT_VALUE])
        if is_streamed:
            reading.ttft_ms = first_event_ms(span, FIRST_TOKEN)
        return reading

    return read_shape


def _asked_model(attributes: Attributes) -> str | None:
    """Return the model the call was made with: ``llm.model_name`` becomes the one that answered, or is never set."""
    parameters = parse_json(attributes.get(PARAMETERS))
    return first_text(parameters, ("model", "model_name")) if isinstance(parameters, dict) else None


def _is_call(shape: Shape) -> bool:
    """Return whether a LlamaIndex span of kind LLM has messages, usage or an end of its own."""
    return shape.has_prefix(*_SIGNS_OF_A_CALL) or not shape.events.isdisjoint(FIRST_TOKEN)


def _input_messages(tree: dict[str, Any], attributes: Attributes) -> list[Message]:
    llm = tree.get("llm", {})
    messages = [_message(one, "user") for one in numbered(llm.get("input_messages"))]
    prompts = [_flat_text(one, "prompt") for one in numbered(llm.get("prompts"))]
    messages += [text_message("user", text) for text in prompts if text]
    if not messages and "embedding" in tree:
        nodes = numbered(tree["embedding"].get("embeddings"))
        embedded = [_flat_text(one, "embedding") for one in nodes]
        messages = [text_message("user", text) for text in embedded if text]
    return messages or _fallback(attributes, "input", "user")


def _output_messages(tree: dict[str, Any], attributes: Attributes) -> list[Message]:
    llm = tree.get("llm", {})
    messages = [_message(one, "assistant") for one in numbered(llm.get("output_messages"))]
    choices = [_flat_text(one, "completion") for one in numbered(llm.get("choices"))]
    messages += [text_message("assistant", text) for text in choices if text]
    return messages or _fallback(attributes, "output", "assistant")


def _fallback(attributes: Attributes, side: str, role: str) -> list[Message]:
    """Return the messages in ``input.value`` or ``output.value``, which is JSON only where its media type says so."""
    value = attributes.get(f"{side}.value")
    if isinstance(value, str) and is_hidden(value):
        return []
    media_type = attributes.get(f"{side}.mime_type")
    is_json = isinstance(media_type, str) and "json" in media_type.lower()
    return read_json_messages(value, role) if is_json else read_messages(value, role)


def _flat_text(node: object, name: str) -> str | None:
    below = node.get(name) if isinstance(node, dict) else None
    text = below.get("text") if isinstance(below, dict) else None
    return text if isinstance(text, str) else None


def _message(node: object, role: str) -> Message:
    """Return one flattened message by first giving it the shape of the API it was taken from."""
    flat = node.get("message") if isinstance(node, dict) else None
    flat = flat if isinstance(flat, dict) else {}
    plain = flat.get("content")
    if len(flat) == len(("role", "content")) and isinstance(plain, str) and plain and flat.get("role") in _PLAIN_ROLES:
        return text_message(flat["role"], plain)
    calls = [_tool_call(one) for one in numbered(flat.get("tool_calls"))]
    nodes = numbered(flat.get("contents"))
    contents = [_content(one) for one in nodes if not _is_call_content(one)]
    # Anthropic's instrumentation lists calls among the contents too, where their order shows.
    calls = calls or [_tool_call(one) for one in nodes if _is_call_content(one)]
    shaped: dict[str, Any] = {
        "role": flat.get("role") or role,
        "content": contents or (plain if isinstance(plain, str) else None),
        "tool_calls": calls,
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
    for modality in _MODALITIES:
        if isinstance(content.get(modality), dict):
            inner = content[modality].get(modality, content[modality])
            uri = inner.get("url") if isinstance(inner, dict) else inner
            return {"type": "uri", "modality": modality, "uri": uri}
    return {**content, "type": kind if isinstance(kind, str) else "generic"}


def _is_call_content(node: object) -> bool:
    """Return whether one of the contents is a tool call, written beside the content's type as calls of messages are."""
    return isinstance(node, dict) and isinstance(node.get("tool_call"), dict)


def _tool_call(node: object) -> dict[str, Any]:
    call = node.get("tool_call") if isinstance(node, dict) else None
    return call if isinstance(call, dict) else {}


def _documents(tree: dict[str, Any]) -> list[Document]:
    nodes = numbered(tree.get("retrieval", {}).get("documents"))
    nodes += numbered(tree.get("reranker", {}).get("output_documents"))
    flat = [node.get("document") for node in nodes[:MAX_DOCUMENTS] if isinstance(node, dict)]
    return [document for one in flat if (document := read_document(one)) is not None]


DIALECT = Dialect("openinference", detect, read, reader_for, consumed=_CONSUMED, consumed_prefixes=_PREFIXES)
