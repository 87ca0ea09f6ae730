"""Messages that an attribute holds as a list of the GenAI events of old: ``gen_ai.user.message`` and its kin.

Pydantic AI and Logfire wrote them so in version 1 of their formats.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.messages import read_json_messages
from collector.dialects.reading import looks_like_json, parse_json
from collector.dialects.span import Message
from collector.otlp.spans import Value

_NAME = "event.name"
_CHOICE = "gen_ai.choice"


def split_events(value: Value) -> tuple[list[Message], list[Message]]:
    """Return the messages before the answer and those of the answer, from a list of events, structured or in JSON.

    The answer is what choices say; without any, what the assistant said last. A list that cannot be parsed is one
    unreadable message on each side.
    """
    events = parse_json(value)
    if looks_like_json(events):
        return read_json_messages(value, "user"), read_json_messages(value, "assistant")
    if not isinstance(events, list):
        return [], []
    known = [event for event in events if isinstance(event, dict)]
    chosen = [event for event in known if event.get(_NAME) == _CHOICE]
    if chosen:
        before = [event for event in known if event.get(_NAME) != _CHOICE]
    else:
        last = len(known)
        while last and _role(known[last - 1]) == "assistant":
            last -= 1
        before, chosen = known[:last], known[last:]
    inputs = [message for event in before for message in _read(event, _role(event))]
    outputs = [message for event in chosen for message in _read(event, "assistant")]
    return inputs, outputs


def _role(event: dict[str, Any]) -> str:
    role = event.get("role")
    if isinstance(role, str) and role:
        return role
    named = str(event.get(_NAME, "")).split(".")
    return named[1] if len(named) == len(("gen_ai", "role", "message")) else "assistant"


def _read(event: dict[str, Any], role: str) -> list[Message]:
    inner = event.get("message")
    body = inner if isinstance(inner, dict) else event
    if isinstance(inner, str):
        body = {"content": inner}
    fields: dict[str, Any] = {"role": role}
    fields |= {name: body[name] for name in ("content", "parts", "tool_calls", "refusal", "name") if name in body}
    if role == "tool":
        fields["tool_call_id"] = body.get("id", body.get("tool_call_id"))
    return [message for message in read_json_messages(fields, role) if message["parts"]]
