"""Claude Code and the Claude Agent SDK: names without any prefix, told apart by ``span.type``.

``llm_request`` is the call of a model, ``interaction`` one prompt of the user with everything that followed, ``tool``
a tool. Text is ``<REDACTED>`` unless ``OTEL_LOG_USER_PROMPTS`` and its kin are set; the calls of models have theirs in
detailed traces alone, each new message under a heading such as ``[USER]``. ``input_tokens`` leaves out what came from
or went into the prompt cache; here it is included, as everywhere else. Source: the monitoring page of Claude Code's
documentation, version 2.1.197 itself, and mlflow-tracing 3.17, which reads the same spans.
"""

from __future__ import annotations

import re

from collector.dialects.hidden import is_hidden
from collector.dialects.messages import text_message
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
from collector.otlp.spans import Attributes, RawSpan, Value

TYPE = "span.type"
_SCOPE = "com.anthropic.claude_code"
_PREFIX = "claude_code."
_MARKS = frozenset({"cache_read_tokens", "response.model_output", "new_context", "user_prompt", "query_source"})
_TOOL_MARKS = frozenset({"tool_input", "tool_name", "interaction.sequence"})
_OPERATIONS = {"llm_request": "chat", "interaction": "invoke_agent", "tool": "execute_tool"}
_CACHED = ("cache_read_tokens", "cache_creation_tokens")
_PROMPTS = {"llm_request": ("new_context",), "interaction": ("user_prompt", "new_context"), "tool": ("tool_input",)}
_ANSWERS = {"llm_request": ("response.model_output",), "tool": ("new_context",)}
_TOOL_OUTPUT = frozenset({"tool.output"})
_TOOL_OUTPUTS = ("output", "content", "diff")
_HEADING = re.compile(r"\[(USER|TOOL RESULT[^\]\n]*)\]\n")
_CONSUMED = frozenset({"new_context", "user_prompt", "tool_input", "response.model_output"})


def detect(shape: Shape) -> bool:
    """Return whether Claude Code made the span."""
    if shape.scope.startswith(_SCOPE):
        return True
    return TYPE in shape.keys and not shape.keys.isdisjoint(_MARKS | _TOOL_MARKS)


def read(span: RawSpan) -> Reading:
    """Return what the span says in Claude Code's names."""
    attributes = span.attributes
    kind = (first_text(attributes, (TYPE,)) or span.name).removeprefix(_PREFIX)
    outputs = _texts(attributes, _ANSWERS.get(kind, ()), "tool" if kind == "tool" else "assistant")
    if kind == "tool":
        outputs += [message for event in span.events for message in _tool_output(event.name, event.attributes)]
    model = first_text(attributes, ("model",))
    return Reading(
        operation=_OPERATIONS.get(kind, "span"),
        provider="anthropic" if kind == "llm_request" else None,
        model=model,
        request_model=model,
        input_messages=_texts(attributes, _PROMPTS.get(kind, ()), "tool" if kind == "tool" else "user") or None,
        output_messages=outputs or None,
        input_tokens=_input_tokens(attributes),
        output_tokens=first_count(attributes, ("output_tokens",)),
        cost_usd=first_amount(attributes, ("cost_usd",)),
        session_id=first_text(attributes, ("session.id",)),
        user_id=first_text(attributes, ("user.id",)),
        finish_reasons=read_finish_reasons(attributes.get("stop_reason")),
        ttft_ms=first_amount(attributes, ("ttft_ms",)),
    )


def _input_tokens(attributes: Attributes) -> int | None:
    fresh = first_count(attributes, ("input_tokens",))
    if fresh is None:
        return None
    return fresh + sum(first_count(attributes, (name,)) or 0 for name in _CACHED)


def _texts(attributes: Attributes, names: tuple[str, ...], role: str) -> list[Message]:
    """Return the first of these texts that was captured; JSON around a text alone is taken off."""
    for name in names:
        if (text := _captured(attributes.get(name))) is not None:
            heading = _HEADING.match(text) if name == "new_context" else None
            if heading is None:
                return [text_message(role, text)]
            return [text_message("user" if heading[1] == "USER" else "tool", text[heading.end() :])]
    return []


def _tool_output(name: str, attributes: Attributes) -> list[Message]:
    return _texts(attributes, _TOOL_OUTPUTS, "tool") if name in _TOOL_OUTPUT else []


def _captured(value: Value) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    parsed = parse_json(value) if value[0] == '"' else value
    text = parsed if isinstance(parsed, str) else value
    return None if not text or is_hidden(text) else text


DIALECT = Dialect(
    "claude_code", detect, read, consumed=_CONSUMED, dropped_events=_TOOL_OUTPUT, telling_events=_TOOL_OUTPUT
)
