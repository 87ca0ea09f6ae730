"""Logfire's instrumentation of the OpenAI Agents SDK.

Its spans carry what the SDK's tracing knows under bare names. A call by chat completions has its messages in ``input``
and ``output``; ``request_data`` beside them lists both together, as if the answer had been asked. A call by the
responses API has them in ``events``, which :mod:`collector.dialects.logfire` reads. Source: logfire-sdk 5.4.0.
"""

from __future__ import annotations

from collector.dialects.messages import decode_json, read_call_messages, read_json_messages
from collector.dialects.reading import Dialect, Reading, Shape, first_text
from collector.otlp.spans import RawSpan

SCOPE = "logfire.openai_agents"
TEMPLATE = "logfire.msg_template"
INPUT, OUTPUT = "input", "output"
REQUEST = "request_data"
SESSION = ("group_id",)
# What the SDK calls its spans is told by the beginning of their messages alone.
OPERATIONS_BY_TEMPLATE = {
    "Chat completion": "chat",
    "Responses API": "chat",
    "Agent run:": "invoke_agent",
    "Function:": "execute_tool",
    "Guardrail": "apply_guardrail",
    "OpenAI Agents trace:": "invoke_workflow",
}


def detect(shape: Shape) -> bool:
    """Return whether the span is one of this instrumentation."""
    return shape.scope == SCOPE


def read(span: RawSpan) -> Reading:
    """Return what kind of step the span is, what went in and came out, and the group a trace belongs to."""
    attributes = span.attributes
    template = attributes.get(TEMPLATE)
    beginnings = OPERATIONS_BY_TEMPLATE if isinstance(template, str) else {}
    operation = next((one for start, one in beginnings.items() if str(template).startswith(start)), None)
    given, returned = attributes.get(INPUT), attributes.get(OUTPUT)
    if operation == "chat":
        inputs, outputs = read_json_messages(given, "user"), read_json_messages(returned, "assistant")
    else:
        inputs = read_call_messages(decode_json(given), "user")
        outputs = read_call_messages(decode_json(returned), "assistant")
    return Reading(
        operation=operation,
        input_messages=inputs or None,
        output_messages=outputs or None,
        session_id=first_text(attributes, SESSION),
    )


DIALECT = Dialect("logfire", detect, read, consumed=frozenset({INPUT, OUTPUT, REQUEST}))
