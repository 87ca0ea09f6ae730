"""LiteLLM's proxy and SDK, both generations of its OpenTelemetry callback.

The first puts a call's attributes on ``Received Proxy Server Request`` or, where asked to, on ``litellm_request``;
``raw_gen_ai_request`` below it repeats request and answer as the provider saw them, in Python's notation, and its
``llm.*`` are not kept. The second has a ``chat`` span of its own and adds ``litellm.*``. Messages are those of the
GenAI conventions in name; their shape may be OpenAI's. Guardrails, authentication and database spans are no calls of a
model. Source: litellm 1.109.
"""

from __future__ import annotations

from collector.dialects.messages import read_json_messages
from collector.dialects.operations import known_operation
from collector.dialects.otel_genai import OPERATION, OUTPUT
from collector.dialects.parts import tool_call_part
from collector.dialects.reading import (
    Dialect,
    Reading,
    Shape,
    first_amount,
    first_text,
    numbered,
    parse_json,
    unflatten,
)
from collector.dialects.span import Message
from collector.otlp.spans import Attributes, RawSpan

_SCOPE = "litellm"
_GUARDRAIL = ("litellm.guardrail.name", "guardrail_name")
# The names of LiteLLM's functions, which the first generation gives where an operation is asked for.
_CALL_TYPES = {
    "completion": "chat",
    "responses": "chat",
    "anthropic_messages": "chat",
    "generate_content": "generate_content",
    "text_completion": "text_completion",
    "embedding": "embeddings",
    "embeddings": "embeddings",
    "rerank": "retrieval",
}
_MODEL = ("gen_ai.response.model", "litellm.provider.model", "gen_ai.request.model")
_COST = ("litellm.cost.total", "gen_ai.cost.total_cost", "gen_ai.usage.cost")
_SESSION = (
    "gen_ai.conversation.id",
    "litellm.metadata.session_id",
    "litellm.metadata.litellm_session_id",
    "metadata.session_id",
    "metadata.litellm_session_id",
)
_USER = (
    "litellm.end_user.id",
    "litellm.metadata.user_api_key_end_user_id",
    "litellm.metadata.user_id",
    "litellm.metadata.user_api_key_user_id",
    "metadata.user_api_key_end_user_id",
    "llm.user",
    "metadata.user_id",
    "metadata.user_api_key_user_id",
)
_CALLS = "gen_ai.completion."
_CALLED = "gen_ai.completion.0.function_call.name"
_MARKS = frozenset({"hidden_params", "litellm.call_id", *_GUARDRAIL})


def detect(shape: Shape) -> bool:
    """Return whether LiteLLM made the span; its scope can be renamed, its own attributes cannot."""
    return shape.scope == _SCOPE or not shape.keys.isdisjoint(_MARKS) or shape.has_prefix("litellm.")


def read(span: RawSpan) -> Reading:
    """Return what LiteLLM says beyond the conventions: cost, end user, session and the model that really answered."""
    attributes = span.attributes
    cost = first_amount(attributes, _COST)
    return Reading(
        operation=_operation(span),
        model=first_text(attributes, _MODEL),
        output_messages=_called(attributes) if _CALLED in attributes and OUTPUT in attributes else None,
        cost_usd=_hidden_cost(attributes) if cost is None else cost,
        session_id=first_text(attributes, _SESSION),
        user_id=first_text(attributes, _USER),
    )


def detect_raw(shape: Shape) -> bool:
    """Return whether the span repeats a request and its answer as the provider saw them."""
    return shape.scope == _SCOPE and shape.has_prefix("llm.") and not shape.has_prefix("gen_ai.")


def read_raw(_: RawSpan) -> Reading:
    """Return that the span is no call of its own: the one above it has everything in a better form."""
    return Reading(operation="span")


def _operation(span: RawSpan) -> str | None:
    attributes = span.attributes
    if first_text(attributes, _GUARDRAIL) is not None:
        return "apply_guardrail"
    named = first_text(attributes, (OPERATION, "llm.request.type"))
    if named is None:
        return None
    # The asynchronous functions have an "a" before their names. Whatever has another name manages or checks things.
    return _CALL_TYPES.get(named) or _CALL_TYPES.get(named.removeprefix("a")) or known_operation(named) or "span"


def _called(attributes: Attributes) -> list[Message] | None:
    """Return the answer with the calls of tools, which the first generation puts beside messages that lack them."""
    calls = [one.get("function_call") for one in numbered(unflatten(attributes, _CALLS)) if isinstance(one, dict)]
    parts = [tool_call_part(call) for call in calls if isinstance(call, dict)]
    outputs = read_json_messages(attributes.get(OUTPUT), "assistant") or [{"role": "assistant", "parts": []}]
    if all(part["type"] != "tool_call" for message in outputs for part in message["parts"]):
        outputs[0]["parts"] += parts
    return outputs


def _hidden_cost(attributes: Attributes) -> float | None:
    hidden = parse_json(attributes.get("hidden_params"))
    return first_amount(hidden, ("response_cost",)) if isinstance(hidden, dict) else None


DIALECT = Dialect("litellm", detect, read, consumed_prefixes=(_CALLS,))
RAW = Dialect("litellm", detect_raw, read_raw, consumed_prefixes=("llm.",))
