"""Cloudflare AI Gateway: one span for each request, with the bodies as JSON.

``gen_ai.prompt_json`` and ``gen_ai.completion_json`` are the messages or the whole bodies, in the shape of whatever
API was called. Sessions and users come under names that each application chooses itself; where the request names a
user, that is read. Source: the OpenTelemetry page of the AI Gateway's documentation.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.messages import read_finish_reasons_of, read_json_messages
from collector.dialects.operations import known_operation
from collector.dialects.otel_genai import OPERATION
from collector.dialects.reading import Dialect, Reading, Shape, first_amount, first_text, parse_json
from collector.otlp.spans import RawSpan, Value

PROMPT = "gen_ai.prompt_json"
COMPLETION = "gen_ai.completion_json"
_PROVIDER = ("gen_ai.model.provider",)
_COST = ("gen_ai.usage.cost",)
_MARKS = frozenset({PROMPT, COMPLETION, *_PROVIDER})


def detect(shape: Shape) -> bool:
    """Return whether the span carries one of the gateway's own attributes."""
    return not shape.keys.isdisjoint(_MARKS)


def read(span: RawSpan) -> Reading:
    """Return what the gateway says of one request."""
    attributes = span.attributes
    request, answer = parse_json(attributes.get(PROMPT)), parse_json(attributes.get(COMPLETION))
    body = request if isinstance(request, dict) else {}
    operation = known_operation(first_text(attributes, (OPERATION,))) or _operation(body, answer)
    embedding = operation == "embeddings"
    return Reading(
        operation=operation,
        provider=first_text(attributes, _PROVIDER),
        input_messages=_messages(attributes.get(PROMPT), request, "user") or None,
        output_messages=None if embedding else _messages(attributes.get(COMPLETION), answer, "assistant") or None,
        cost_usd=first_amount(attributes, _COST),
        user_id=first_text(body, ("user", "safety_identifier")),
        finish_reasons=read_finish_reasons_of(answer),
    )


def _messages(value: Value, parsed: Any, role: str) -> list[dict[str, Any]]:
    """Return the messages in a body; the text as it came is needed only where it could not be parsed."""
    return read_json_messages(value if isinstance(parsed, str) else parsed, role)


def _operation(body: dict[str, Any], answer: Any) -> str | None:
    """Return which kind of API was called, as far as its bodies tell."""
    if isinstance(answer, dict):
        first = answer["data"][:1] if isinstance(answer.get("data"), list) else []
        if first and isinstance(first[0], dict) and "embedding" in first[0]:
            return "embeddings"
    if isinstance(body.get("prompt"), str | list) and "messages" not in body:
        return "text_completion"
    return "chat" if body or answer else None


DIALECT = Dialect("cloudflare", detect, read, consumed=frozenset({PROMPT, COMPLETION}))
