"""GenAI messages on span events: how older conventions, and some clients still, put text beside a span's attributes.

Three forms: ``gen_ai.content.prompt`` and ``gen_ai.content.completion`` with everything in one attribute; one event for
each message (``gen_ai.user.message`` and its kin) and each answer (``gen_ai.choice``); and
``gen_ai.client.inference.operation.details``, whose attributes are those of the current conventions and may be spread
over several events. Source: the GenAI event conventions up to 1.36, and what Strands, Semantic Kernel, Spring AI and
the Azure SDKs send.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.messages import (
    read_finish_reasons_of,
    read_json_instructions,
    read_json_messages,
    text_message,
)
from collector.dialects.parts import read_parts, tool_call_part
from collector.dialects.reading import Dialect, Reading, Shape, first_count, parse_json, read_finish_reasons
from collector.dialects.shapes import messages_in
from collector.dialects.span import Message
from collector.otlp.spans import Attributes, RawSpan, Value

PROMPT = "gen_ai.content.prompt"
COMPLETION = "gen_ai.content.completion"
CHOICE = "gen_ai.choice"
DETAILS = "gen_ai.client.inference.operation.details"
ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
EVENTS = frozenset({PROMPT, COMPLETION, CHOICE, DETAILS, *ROLES})
_CONTENT = ("content", "message", "parts", "gen_ai.event.content")
_BODY = "gen_ai.event.content"
_LIKE_MESSAGES = frozenset({"role", "content", "parts", "messages", "contents", "choices", "message", "tool_calls"})
_LIKE_PARTS = _LIKE_MESSAGES | {"type", "text", "toolUse", "toolResult", "image", "document", "video"}
# No sentence begins like this: JSON of messages does, also when its end was cut off.
_CUT_OFF = ('[{"role"', '[{"parts"', '[{"type"', '[{"text"', '[{"content"', '[{"toolUse"', '[{"toolResult"', '{"role"')


def detect(shape: Shape) -> bool:
    """Return whether any of the span's events carries messages."""
    return not shape.events.isdisjoint(EVENTS)


def read(span: RawSpan) -> Reading:
    """Return the messages on the span's events, in their order, and why each answer ended."""
    if span.attributes.get("gen_ai.operation.name") == "execute_tool":
        return _read_tool(span)
    inputs: list[Message] = []
    outputs: list[Message] = []
    instructions = read_json_instructions(span.attributes.get("gen_ai.system_instructions"))
    reasons: list[str] = []
    choices: list[Attributes] = []
    for event in span.events:
        name, attributes = event.name, event.attributes
        if (role := ROLES.get(name)) is not None:
            inputs += _read_message(_body(attributes), role)
        elif name == CHOICE:
            choices.append(_body(attributes))
        elif name == PROMPT:
            inputs += read_told(attributes.get("gen_ai.prompt"), "user")
        elif name == COMPLETION:
            told = attributes.get("gen_ai.completion")
            outputs += read_told(told, "assistant")
            reasons += read_finish_reasons_of(told) or []
        elif name == DETAILS:
            instructions += read_json_instructions(attributes.get("gen_ai.system_instructions"))
            inputs += read_json_messages(attributes.get("gen_ai.input.messages"), "user")
            told = attributes.get("gen_ai.output.messages")
            outputs += read_json_messages(told, "assistant")
            ended = read_finish_reasons(attributes.get("gen_ai.response.finish_reasons"))
            reasons += ended or read_finish_reasons_of(told) or []
    for body in sorted(choices, key=_place_of) if len(choices) > 1 else choices:
        outputs += _read_message(body, "assistant")
        outputs += read_told(body.get("tool.result"), "tool")
        reasons += _reasons(body)
    if inputs and all(message["role"] != "system" for message in inputs):
        inputs = instructions + inputs
    return Reading(input_messages=inputs or None, output_messages=outputs or None, finish_reasons=reasons or None)


def read_told(value: Value, role: str) -> list[Message]:
    """Return the messages in a text that may be plain, or JSON of messages or of the content of one.

    JSON that looks like neither is what somebody wrote, so it is text: an answer in JSON is an answer. Where JSON of
    messages was cut off, the message is unreadable.
    """
    parsed = parse_json(value)
    if isinstance(parsed, str):
        if parsed.lstrip().startswith(_CUT_OFF):
            return read_json_messages(value, role)
        return [text_message(role, parsed)] if parsed else []
    if isinstance(value, str) and not _is_like_messages(parsed):
        return [text_message(role, value)]
    if isinstance(parsed, list) and all(isinstance(one, dict) and "role" not in one for one in parsed):
        return [{"role": role, "parts": read_parts(parsed)}] if parsed else []
    return messages_in(parsed, role)


def _is_like_messages(parsed: Any) -> bool:
    if isinstance(parsed, dict):
        return not _LIKE_MESSAGES.isdisjoint(parsed)
    if not isinstance(parsed, list) or not parsed:
        return False
    return all(isinstance(one, dict) and not _LIKE_PARTS.isdisjoint(one) for one in parsed)


def _body(attributes: Attributes) -> Attributes:
    """Return what the event says: its attributes, or the object that Azure's clients put in one of them as JSON."""
    if _BODY in attributes:
        body = parse_json(attributes[_BODY])
        if isinstance(body, dict):
            return body
    return attributes


def _read_message(body: Attributes, role: str) -> list[Message]:
    """Return the messages of one event; none when its text was not captured."""
    own_role = body.get("role")
    role = own_role.lower() if isinstance(own_role, str) and own_role else role
    told = next((body[name] for name in _CONTENT if body.get(name)), None)
    found = read_told(told, role)
    calls = parse_json(body.get("tool_calls"))
    if isinstance(calls, list) and calls:
        found = found or [{"role": role, "parts": []}]
        parsed = [parse_json(call) for call in calls]
        found[-1]["parts"] += [tool_call_part(call) for call in parsed if isinstance(call, dict)]
    identifier = body.get("id", body.get("tool_call_id"))
    if role == "tool" and isinstance(identifier, str):
        return [_answer_of(message, identifier) for message in found]
    return found


def _answer_of(message: Message, identifier: str) -> Message:
    """Return what a tool said as the answer to the call of that id, where the message doesn't say so itself."""
    parts = message["parts"]
    if any(part["type"] == "tool_call_response" for part in parts):
        return message
    response = parts[0]["content"] if len(parts) == 1 and parts[0]["type"] == "text" else parts
    return {**message, "parts": [{"type": "tool_call_response", "id": identifier, "response": response}]}


def _read_tool(span: RawSpan) -> Reading:
    """Return the call of a tool and its answer: on a tool's own span both sides are the tool's."""
    inputs: list[Message] = []
    outputs: list[Message] = []
    name = span.attributes.get("gen_ai.tool.name")
    for event in span.events:
        body = _body(event.attributes)
        if event.name == DETAILS:
            inputs += read_json_messages(body.get("gen_ai.input.messages"), "tool")
            outputs += read_json_messages(body.get("gen_ai.output.messages"), "tool")
        elif event.name == CHOICE:
            outputs += _read_message({**body, "role": "tool"}, "tool")
        elif event.name in ROLES:
            arguments = parse_json(body.get("content"))
            call = {"type": "tool_call", "id": body.get("id"), "name": name, "arguments": arguments}
            inputs.append({"role": "tool", "parts": [call]})
    return Reading(input_messages=inputs or None, output_messages=outputs or None)


def _place_of(choice: Attributes) -> int:
    return first_count(choice, ("index",)) or 0


def _reasons(body: Attributes) -> list[str]:
    reason = body.get("finish_reason")
    return [reason[:64]] if isinstance(reason, str) and reason else []


DIALECT = Dialect("otel_genai", detect, read, dropped_events=EVENTS, telling_events=EVENTS)
