"""Which attributes of a span may be shown to somebody who may not see captured text.

An allow-list, so that an attribute nobody thought of stays hidden: numbers and booleans always, texts only under names
that the conventions reserve for identifiers, versions and settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_CHARACTERS = 256
"""A longer text is no identifier, whatever its name says."""

_PREFIXES = (
    "gen_ai.usage.",
    "gen_ai.token.",
    "llm.token_count.",
    "llm.usage.",
    "telemetry.",
    "service.",
    "deployment.",
    "server.",
    "network.",
    "os.",
    "host.",
    "k8s.",
    "container.",
    "cloud.",
    "otel.",
    "code.",
    "thread.",
    "custodes.",
    "scope.",
    "resource.telemetry.",
    "resource.service.",
    "resource.deployment.",
    "resource.host.",
    "resource.os.",
    "resource.k8s.",
    "resource.container.",
    "resource.cloud.",
    "resource.custodes.",
)
_NAMES = frozenset(
    {
        "ai.model.id",
        "ai.model.provider",
        "ai.operationId",
        "ai.response.finishReason",
        "ai.response.id",
        "ai.response.model",
        "embedding.model_name",
        "error.type",
        "gen_ai.agent.id",
        "gen_ai.agent.name",
        "gen_ai.conversation.id",
        "gen_ai.data_source.id",
        "gen_ai.operation.name",
        "gen_ai.output.type",
        "gen_ai.provider.name",
        "gen_ai.request.encoding_formats",
        "gen_ai.request.model",
        "gen_ai.request.service_tier",
        "gen_ai.response.finish_reasons",
        "gen_ai.response.id",
        "gen_ai.response.model",
        "gen_ai.response.service_tier",
        "gen_ai.response.system_fingerprint",
        "gen_ai.system",
        "gen_ai.tool.call.id",
        "gen_ai.tool.name",
        "gen_ai.tool.type",
        "gen_ai.workflow.name",
        "http.method",
        "http.request.method",
        "langfuse.environment",
        "langfuse.observation.level",
        "langfuse.observation.model.name",
        "langfuse.observation.type",
        "langfuse.release",
        "langfuse.session.id",
        "langfuse.user.id",
        "langfuse.version",
        "llm.model_name",
        "llm.provider",
        "llm.request.type",
        "llm.response.finish_reason",
        "llm.response.model",
        "llm.system",
        "openai.api.type",
        "openai.response.system_fingerprint",
        "openinference.span.kind",
        "session.id",
        "tool.name",
        "traceloop.span.kind",
        "user.id",
    }
)


def safe_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that cannot hold captured text, in their order."""
    return {name: value for name, value in attributes.items() if _is_safe(name, value)}


def _is_safe(name: str, value: Any) -> bool:
    if value is None or isinstance(value, bool | int | float):
        return True
    named = name in _NAMES or name.startswith(_PREFIXES)
    if isinstance(value, str):
        return named and len(value) <= MAX_CHARACTERS
    if isinstance(value, list):
        return named and all(isinstance(one, str | int | float) and _is_safe(name, one) for one in value)
    return False
