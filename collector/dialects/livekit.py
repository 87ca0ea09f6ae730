"""LiveKit Agents: ``lk.*``, with ``lk.pii.*`` for what people said, around the GenAI conventions.

The call of a model is ``llm_request``. ``llm_node`` above it repeats its text, ``llm_request_run`` below it is one
attempt; both name the model, and neither counts unless it states an operation itself. Speech spans name a model too.
Source: livekit-agents 1.8.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.messages import read_json_messages, text_message
from collector.dialects.otel_genai import INPUT_TOKENS, OPERATION, OUTPUT_TOKENS
from collector.dialects.parts import read_parts
from collector.dialects.reading import Dialect, Reading, Shape, first_amount, first_count, first_text, parse_json
from collector.dialects.span import Message
from collector.otlp.spans import Attributes, RawSpan, Value

_SCOPE = "livekit-agents"
_CALL = "llm_request"
_ITEMS = ("message", "function_call", "function_call_output")
_CHAT = ("lk.pii.chat_ctx", "lk.chat_ctx")
_USER_TEXTS = ("lk.pii.user_input", "lk.user_input", "lk.pii.user_transcript", "lk.user_transcript")
_SPOKEN = ("lk.pii.input_text", "lk.input_text")
_RESPONSE = ("lk.pii.response.text", "lk.response.text")
_CALLS = ("lk.pii.response.function_calls", "lk.response.function_calls")
_SESSION = ("gen_ai.conversation.id", "lk.pii.room_name", "lk.room_name")
_USER = ("lk.pii.participant_identity", "lk.participant_identity")
_TTFT_S = ("gen_ai.response.time_to_first_chunk", "lk.response.ttft")
_METRICS = "lk.llm_metrics"
_CONSUMED = frozenset({*_CHAT, *_USER_TEXTS, *_SPOKEN, *_RESPONSE, *_CALLS})


def detect(shape: Shape) -> bool:
    """Return whether LiveKit Agents made the span."""
    return shape.scope == _SCOPE or shape.has_prefix("lk.")


def read(span: RawSpan) -> Reading:
    """Return what the span says in ``lk.*``."""
    attributes = span.attributes
    metrics = parse_json(attributes.get(_METRICS))
    metrics = metrics if isinstance(metrics, dict) else {}
    ttft_s = first_amount(attributes, _TTFT_S)
    if ttft_s is None:
        ttft_s = first_amount(metrics, ("ttft",))
    return Reading(
        operation=_operation(span),
        input_messages=_input_messages(attributes) or None,
        output_messages=_output_messages(attributes) or None,
        input_tokens=first_count(attributes, INPUT_TOKENS) or first_count(metrics, ("prompt_tokens",)),
        output_tokens=first_count(attributes, OUTPUT_TOKENS) or first_count(metrics, ("completion_tokens",)),
        session_id=first_text(attributes, _SESSION),
        user_id=first_text(attributes, _USER),
        ttft_ms=None if ttft_s is None else ttft_s * 1000.0,
    )


def _operation(span: RawSpan) -> str | None:
    if OPERATION in span.attributes:
        return None
    if span.name == _CALL:
        return "chat"
    return "execute_tool" if span.name == "function_tool" else "span"


def _input_messages(attributes: Attributes) -> list[Message]:
    for key in _CHAT:
        if key in attributes:
            return _chat(attributes[key])
    if (said := first_text(attributes, _USER_TEXTS)) is not None:
        return [text_message("user", said)]
    spoken = first_text(attributes, _SPOKEN)
    return [text_message("assistant", spoken)] if spoken is not None else []


def _chat(value: Value) -> list[Message]:
    """Return the messages among the entries of a chat context; its other entries say when agents took over."""
    parsed: Any = parse_json(value)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("items"), list):
        return read_json_messages(value, "user")
    items = [one for one in parsed["items"] if isinstance(one, dict) and one.get("type") in _ITEMS]
    return [message for one in items for message in read_json_messages(_without_id(one), "assistant")]


def _without_id(item: dict[str, Any]) -> dict[str, Any]:
    """Return an entry without the id of the entry itself, which is not that of the call it tells of."""
    return {key: value for key, value in item.items() if key != "id"}


def _output_messages(attributes: Attributes) -> list[Message]:
    parts: list[dict[str, Any]] = []
    if (text := first_text(attributes, _RESPONSE)) is not None:
        parts += read_parts(text)
    for key in _CALLS:
        listed = parse_json(attributes.get(key))
        for one in listed if isinstance(listed, list) else []:
            call = parse_json(one)
            parts += read_parts({**call, "type": "function_call"} if isinstance(call, dict) else None)
    return [{"role": "assistant", "parts": parts}] if parts else []


DIALECT = Dialect("livekit", detect, read, consumed=_CONSUMED)
