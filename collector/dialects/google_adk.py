"""Google's Agent Development Kit: requests and responses of Gemini's shape as JSON on ``call_llm`` spans.

Agents, tools and ``generate_content`` spans follow the GenAI conventions. A ``generate_content`` span below a
``call_llm`` tells the same call again. Where capturing content is off, the attributes hold ``{}``.
Source: google-adk 2.13.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.messages import read_json_instructions, read_json_messages
from collector.dialects.otel_genai import (
    FINISH_REASONS,
    INPUT_TOKENS,
    OPERATION,
    OUTPUT_TOKENS,
    REQUEST_MODEL,
    RESPONSE_MODEL,
)
from collector.dialects.reading import (
    Dialect,
    Reading,
    Shape,
    first_count,
    first_text,
    looks_like_json,
    parse_json,
    read_finish_reasons,
)
from collector.dialects.span import Message
from collector.otlp.spans import RawSpan, Value

_SCOPE = "gcp.vertex.agent"
_PREFIX = "gcp.vertex.agent."
REQUEST = "gcp.vertex.agent.llm_request"
RESPONSE = "gcp.vertex.agent.llm_response"
_SESSION = ("gen_ai.conversation.id", "gcp.vertex.agent.session_id")
_USER = ("user.id", "gcp.vertex.agent.user_id")
_RESPONSE_INPUT_TOKENS = ("prompt_token_count",)
_RESPONSE_OUTPUT_TOKENS = ("candidates_token_count", "thoughts_token_count")


def detect(shape: Shape) -> bool:
    """Return whether the kit made the span."""
    return shape.scope == _SCOPE or shape.has_prefix(_PREFIX)


def read(span: RawSpan) -> Reading:
    """Return what the span says in ``gcp.vertex.agent.*``."""
    attributes = span.attributes
    request, response = parse_json(attributes.get(REQUEST)), parse_json(attributes.get(RESPONSE))
    request_body = request if isinstance(request, dict) else {}
    response_body = response if isinstance(response, dict) else {}
    usage = response_body.get("usage_metadata")
    usage = usage if isinstance(usage, dict) else {}
    reason = response_body.get("finish_reason")
    asked = first_text(attributes, (REQUEST_MODEL,)) or first_text(request_body, ("model",))
    return Reading(
        operation=_operation(span, bool(request_body)),
        model=first_text(attributes, (RESPONSE_MODEL,)) or first_text(response_body, ("model_version",)) or asked,
        request_model=asked,
        input_messages=_input_messages(attributes.get(REQUEST), request, request_body) or None,
        output_messages=_output_messages(attributes.get(RESPONSE), response, response_body) or None,
        input_tokens=_tokens(first_count(attributes, INPUT_TOKENS), usage, _RESPONSE_INPUT_TOKENS),
        output_tokens=_tokens(first_count(attributes, OUTPUT_TOKENS), usage, _RESPONSE_OUTPUT_TOKENS),
        session_id=first_text(attributes, _SESSION),
        user_id=first_text(attributes, _USER),
        finish_reasons=read_finish_reasons(attributes.get(FINISH_REASONS))
        or ([reason.lower()[:64]] if isinstance(reason, str) and reason else None),
    )


def _operation(span: RawSpan, asked: bool) -> str | None:
    if OPERATION in span.attributes:
        return None
    return "generate_content" if asked or span.name.startswith("call_llm") else "span"


def _tokens(told: int | None, usage: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """Return what the span says, else the sum of the counts in the response's own usage."""
    counts = [count for name in names if (count := first_count(usage, (name,))) is not None]
    return sum(counts) if told is None and counts else told


def _input_messages(value: Value, request: Any, body: dict[str, Any]) -> list[Message]:
    if looks_like_json(request):
        return read_json_messages(value, "user")
    config = body.get("config")
    told = config.get("system_instruction") if isinstance(config, dict) else None
    before = read_json_instructions(told.get("parts", told) if isinstance(told, dict) else told)
    contents = body.get("contents")
    return before + read_json_messages(contents if isinstance(contents, list) else None, "user")


def _output_messages(value: Value, response: Any, body: dict[str, Any]) -> list[Message]:
    if looks_like_json(response):
        return read_json_messages(value, "assistant")
    content = body.get("content")
    if not isinstance(content, dict) or not content.get("parts"):
        return []
    return read_json_messages({"role": "model", **content}, "assistant")


DIALECT = Dialect("google_adk", detect, read, consumed=frozenset({REQUEST, RESPONSE}))
