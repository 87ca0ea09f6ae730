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

_ALIASES = {
    "chat.completions": "chat",
    "chat_model": "chat",
    "llm": "chat",
    "completion": "text_completion",
    "response": "chat",
    "embedding": "embeddings",
    "retrieve": "retrieval",
    "retriever": "retrieval",
    "reranker": "retrieval",
    "rerank": "retrieval",
    "tool": "execute_tool",
    "agent": "invoke_agent",
    "workflow": "invoke_workflow",
    "guard": "apply_guardrail",
    "guardrail": "apply_guardrail",
    "guardrail.run": "apply_guardrail",
}


def known_operation(name: str | None) -> str | None:
    """Return the conventional name for ``name``, in either case; ``None`` when the conventions know nothing like it."""
    if name is None:
        return None
    if name in OPERATIONS:
        return name
    name = name.lower()
    name = _ALIASES.get(name, name)
    return name if name in OPERATIONS else None
