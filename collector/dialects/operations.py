"""The operation names of the OpenTelemetry GenAI conventions, and what Custodes does with each kind."""

from __future__ import annotations

OPERATIONS = frozenset(
    {
        "chat",
        "generate_content",
        "text_completion",
        "embeddings",
        "retrieval",
        "fetch_response",
        "create_agent",
        "invoke_agent",
        "invoke_workflow",
        "execute_tool",
        "plan",
        "apply_guardrail",
        "create_memory",
        "update_memory",
        "upsert_memory",
        "search_memory",
        "delete_memory",
        "create_memory_store",
        "delete_memory_store",
    }
)

EXCHANGES = frozenset({"chat", "generate_content", "text_completion"})
"""Leaf inference calls: what is scored."""

COUNTED = EXCHANGES | {"embeddings", "retrieval"}
"""Operations whose tokens and cost are their own rather than a sum over children."""

_ALIASES = {"chat.completions": "chat", "completion": "text_completion", "response": "chat", "embedding": "embeddings"}


def known_operation(name: str | None) -> str | None:
    """Return the conventional name for ``name``; ``None`` when it names nothing the conventions know."""
    if name is None:
        return None
    name = _ALIASES.get(name, name)
    return name if name in OPERATIONS else None
