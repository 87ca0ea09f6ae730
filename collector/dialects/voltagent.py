"""VoltAgent: agents, models, tools and memory by ``span.type``, with names that have no prefix of their own.

The exchange is the agent's own span, which has no ``span.type`` but an ``entity.type``: it alone has the prompt, the
answer and the usage of all its calls. The span of a model below it covers all of these calls too, has the usage of
the last one and no answer; it is an exchange only where it has one, as when VoltAgent makes a title.
Source: @voltagent/core 2.10.
"""

from __future__ import annotations

from collector.dialects.documents import read_documents
from collector.dialects.messages import read_call_messages, read_json_messages, text_message
from collector.dialects.reading import (
    Dialect,
    Reading,
    Shape,
    first_amount,
    first_count,
    first_text,
    parse_json,
    read_finish_reasons,
)
from collector.dialects.span import Message
from collector.otlp.spans import Attributes, RawSpan

_SCOPE = "@voltagent/core"
_MARKS = frozenset({"voltagent.operation_id", "voltagent.conversation_id"})
_OPERATIONS = {
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "retriever": "retrieval",
    "embedding": "embeddings",
    "workflow": "invoke_workflow",
    "guardrail": "apply_guardrail",
}
_MODEL = ("llm.model", "ai.model.name")
_PROVIDER = ("llm.provider", "ai.model.provider")
_INPUT_TOKENS = ("llm.usage.prompt_tokens", "usage.prompt_tokens")
_OUTPUT_TOKENS = ("llm.usage.completion_tokens", "usage.completion_tokens")
_COST = ("usage.cost",)
_SESSION = ("voltagent.conversation_id", "conversation.id")
_FINISH_REASON = ("llm.finish_reason", "ai.response.finish_reason")
_MESSAGES = ("llm.messages", "agent.messages")
_REPEATED = ("agent.messages.ui", "agent.instructions", "agent.stateSnapshot")
_CONSUMED = frozenset({*_MESSAGES, *_REPEATED, "input", "output"})


def detect(shape: Shape) -> bool:
    """Return whether VoltAgent made the span; its scope can be renamed."""
    return shape.scope == _SCOPE or not shape.keys.isdisjoint(_MARKS)


def read(span: RawSpan) -> Reading:
    """Return what the span says in VoltAgent's names."""
    attributes = span.attributes
    operation = _operation(attributes)
    model = first_text(attributes, _MODEL)
    return Reading(
        operation=operation,
        provider=first_text(attributes, _PROVIDER),
        model=model,
        request_model=model,
        input_messages=_input_messages(attributes, operation) or None,
        output_messages=None if operation == "retrieval" else _output_messages(attributes, operation) or None,
        retrieved_documents=read_documents(attributes.get("output")) or None if operation == "retrieval" else None,
        input_tokens=first_count(attributes, _INPUT_TOKENS),
        output_tokens=first_count(attributes, _OUTPUT_TOKENS),
        cost_usd=first_amount(attributes, _COST),
        session_id=first_text(attributes, _SESSION),
        finish_reasons=read_finish_reasons(first_text(attributes, _FINISH_REASON)),
    )


def _operation(attributes: Attributes) -> str:
    kind = first_text(attributes, ("span.type",))
    if kind is None:
        entity = first_text(attributes, ("entity.type",))
        return "chat" if entity == "agent" else _OPERATIONS.get(entity or "", "span")
    if kind == "llm":
        return "chat" if "output" in attributes else "span"
    return _OPERATIONS.get(kind, "span")


def _input_messages(attributes: Attributes, operation: str) -> list[Message]:
    for key in _MESSAGES:
        if key in attributes:
            return read_json_messages(attributes[key], "user")
    return read_call_messages(attributes.get("input"), "tool" if operation == "execute_tool" else "user")


def _output_messages(attributes: Attributes, operation: str) -> list[Message]:
    """Return the output: what a model or an agent answered is text, also when it is JSON."""
    output = attributes.get("output")
    if isinstance(output, str) and operation == "chat":
        return [text_message("assistant", output)] if output else []
    return read_call_messages(parse_json(output), "tool" if operation == "execute_tool" else "assistant")


DIALECT = Dialect("voltagent", detect, read, consumed=_CONSUMED)
