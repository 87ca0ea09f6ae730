"""Pydantic AI: its agent runs, and the older formats of its calls.

Calls follow the GenAI conventions since version 2 of the format, tool answers under ``result``. Agent runs repeat all
messages and, as ``gen_ai.aggregated_usage.*``, the usage of their calls; older formats gave them no operation name.
Source: pydantic-ai-slim 2.68.0.
"""

from __future__ import annotations

from collector.dialects.event_messages import split_events
from collector.dialects.messages import read_json_messages, text_message
from collector.dialects.reading import Dialect, Reading, Shape, first_text
from collector.dialects.span import Message
from collector.otlp.spans import RawSpan

SCOPE = "pydantic-ai"
ALL_MESSAGES = "pydantic_ai.all_messages"
ALL_EVENTS = "all_messages_events"
EVENTS = "events"
# Repeats the instructions and the definitions of tools, which have attributes of their own.
PARAMETERS = "model_request_parameters"
FINAL_RESULT = "final_result"
OPERATION = "gen_ai.operation.name"
_AGENT = frozenset({ALL_MESSAGES, ALL_EVENTS, FINAL_RESULT, "agent_name"})
_AGENT_MODEL = ("model_name",)


def detect(shape: Shape) -> bool:
    """Return whether Pydantic AI made the span."""
    return shape.scope == SCOPE or ALL_MESSAGES in shape.keys


def read(span: RawSpan) -> Reading:
    """Return what agent runs and the older formats say in names of their own."""
    attributes = span.attributes
    reading = Reading()
    if ALL_MESSAGES in attributes:
        said = read_json_messages(attributes[ALL_MESSAGES], "user")
        reading.input_messages, reading.output_messages = _split(said)
    elif ALL_EVENTS in attributes or EVENTS in attributes:
        before, after = split_events(attributes.get(ALL_EVENTS, attributes.get(EVENTS)))
        reading.input_messages, reading.output_messages = before or None, after or None
    if (result := first_text(attributes, (FINAL_RESULT,))) is not None:
        reading.output_messages = [text_message("assistant", result)]
    if OPERATION not in attributes:
        if not _AGENT.isdisjoint(attributes):
            reading.operation = "invoke_agent"
        elif "gen_ai.tool.name" in attributes:
            reading.operation = "execute_tool"
    if reading.operation == "invoke_agent" or attributes.get(OPERATION) == "invoke_agent":
        reading.model = reading.request_model = first_text(attributes, _AGENT_MODEL)
    return reading


def _split(messages: list[Message]) -> tuple[list[Message] | None, list[Message] | None]:
    """Return all messages but the last answers, and these."""
    last = len(messages)
    while last and messages[last - 1]["role"] == "assistant":
        last -= 1
    return messages[:last] or None, messages[last:] or None


DIALECT = Dialect(
    "pydantic_ai",
    detect,
    read,
    consumed=frozenset({ALL_MESSAGES, ALL_EVENTS, EVENTS, FINAL_RESULT, PARAMETERS}),
)
