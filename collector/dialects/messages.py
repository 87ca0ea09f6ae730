"""Messages in any of the shapes clients use, to ``[{"role", "parts": [{"type", …}]}]``.

Understood: the OpenTelemetry GenAI schema (parts), the OpenAI shape (content as text or list, tool calls),
the Anthropic shape (content blocks), whole request and response bodies holding such messages, and plain
text. Parts that are no text are kept as they came, with their type, so nothing is dropped silently.

Half a JSON text is no message: judged as text it would be braces and names with a little of what was said, under
a role nobody gave. Where an attribute holds JSON by convention it is kept as unreadable instead.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.reading import looks_like_json, parse_json
from collector.dialects.span import UNREADABLE, Message
from collector.otlp.spans import Value

REDACTED = "__REDACTED__"
_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool", "developer": "system"}
_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
_WRAPPERS = ("messages", "input", "prompt", "contents")


def text_part(text: str) -> dict[str, Any]:
    """Return a text part; the mark OpenInference puts in place of hidden text becomes a ``redacted`` part."""
    if text == REDACTED:
        return {"type": "redacted"}
    return {"type": "text", "content": text}


def text_message(role: str, text: str) -> Message:
    """Return a message of one text part."""
    return {"role": role, "parts": [text_part(text)]}


def read_messages(value: Value, role: str) -> list[Message]:
    """Return the messages in an attribute value; ``role`` is whose they are where they don't say.

    The value may be structured, JSON text or plain text. Nothing usable gives an empty list.
    """
    return _messages(parse_json(value), role)


def read_json_messages(value: Value, role: str) -> list[Message]:
    """Return the messages in an attribute that holds a list or an object by convention, else plain text.

    What begins a list or an object and cannot be parsed is one message with an unreadable part.
    """
    parsed = parse_json(value)
    if looks_like_json(parsed):
        return [_unreadable_message(value, role)]
    if isinstance(parsed, list) and any(isinstance(one, str) for one in parsed):
        return [message for one in parsed for message in read_json_messages(one, role)]
    return _messages(parsed, role)


def read_json_instructions(value: Value) -> list[Message]:
    """Return system instructions (a list of parts, or text) as one system message; empty without any.

    What begins a list or an object and cannot be parsed is an unreadable part.
    """
    parsed = parse_json(value)
    return [_unreadable_message(value, "system")] if looks_like_json(parsed) else _instructions(parsed)


def read_finish_reasons_of(messages: Value) -> list[str] | None:
    """Return the ``finish_reason`` of each message or choice that has one; ``None`` without any."""
    parsed = parse_json(messages)
    if isinstance(parsed, dict) and isinstance(parsed.get("choices"), list):
        parsed = parsed["choices"]
    if not isinstance(parsed, list):
        return None
    reasons = [one.get("finish_reason") for one in parsed if isinstance(one, dict)]
    return [reason[:64] for reason in reasons if isinstance(reason, str) and reason] or None


def _unreadable_message(value: Value, role: str) -> Message:
    return {"role": role, "parts": [{"type": UNREADABLE, "content": value}]}


def _instructions(value: Any) -> list[Message]:
    parts = _parts(value)
    return [{"role": "system", "parts": parts}] if parts else []


def _messages(value: Any, role: str) -> list[Message]:
    if isinstance(value, str):
        return [text_message(role, value)] if value else []
    if isinstance(value, list):
        if value and all(isinstance(one, dict) and "role" not in one and "type" in one for one in value):
            parts = _parts(value)
            return [{"role": role, "parts": parts}] if parts else []
        found: list[Message] = []
        for one in value:
            found += _messages(one, role)
        return found
    if isinstance(value, dict):
        return _messages_of_object(value, role)
    if isinstance(value, bytes):
        return [{"role": role, "parts": [{"type": "blob", "content": value}]}]
    return [] if value is None else [text_message(role, str(value))]


def _messages_of_object(value: dict[str, Any], role: str) -> list[Message]:
    """Return the messages of one object: a message, a request body or a response body."""
    if "role" in value or "parts" in value:
        return [_message(value, role)]
    if isinstance(value.get("choices"), list):
        found: list[Message] = []
        for choice in value["choices"]:
            if isinstance(choice, dict):
                found += _messages(choice.get("message", choice.get("delta", choice.get("text"))), role)
        return found
    for wrapper in _WRAPPERS:
        if isinstance(value.get(wrapper), list | str):
            instructions = value.get("instructions", value.get("system"))
            before = _instructions(parse_json(instructions)) if isinstance(instructions, list | str) else []
            return before + _messages(value[wrapper], role)
    if isinstance(value.get("output"), list | str):
        return _messages(value["output"], role)
    if isinstance(value.get("content"), list | str) or "tool_calls" in value:
        return [_message(value, role)]
    if isinstance(value.get("text"), str):
        return [text_message(role, value["text"])]
    return [{"role": role, "parts": [{"type": "json", "content": value}]}]


def _message(value: dict[str, Any], role: str) -> Message:
    own_role = value.get("role")
    role = own_role if isinstance(own_role, str) and own_role else role
    role = _ROLES.get(role.lower(), role.lower())
    listed = value.get("parts")
    parts = _parts(listed if isinstance(listed, list) else value.get("content"))
    refusal = value.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append({"type": "refusal", "content": refusal})
    calls = value.get("tool_calls")
    parts += [_tool_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if role == "tool" and "tool_call_id" in value:
        parts = [{"type": "tool_call_response", "id": value["tool_call_id"], "response": _plain(parts)}]
    message: Message = {"role": role, "parts": parts}
    if isinstance(value.get("name"), str):
        message["name"] = value["name"]
    return message


def _plain(parts: list[dict[str, Any]]) -> Any:
    """Return the text of a tool's answer when it is only text, else its parts."""
    if len(parts) == 1 and parts[0].get("type") == "text":
        return parts[0]["content"]
    return parts


def _parts(content: Any) -> list[dict[str, Any]]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [text_part(content)]
    if isinstance(content, dict):
        return [_part(content)]
    if isinstance(content, list):
        return [_part(one) if isinstance(one, dict) else text_part(str(one)) for one in content if one is not None]
    return [text_part(str(content))]


def _part(part: dict[str, Any]) -> dict[str, Any]:
    """Return one part of any schema; an unknown type is kept whole."""
    kind = part.get("type")
    if kind is None and isinstance(part.get("text"), str):
        return text_part(part["text"])
    # The mark of unreadable content is ours to set: whoever could send it could keep a message from being judged.
    if not isinstance(kind, str) or kind == UNREADABLE:
        return {**part, "type": "generic"}
    if kind in _TEXT_TYPES:
        text = part.get("content", part.get("text"))
        if isinstance(text, dict):
            text = text.get("value")
        return text_part(text) if isinstance(text, str) else {**part, "type": "generic"}
    if kind == "refusal":
        return {"type": "refusal", "content": str(part.get("content", part.get("refusal", "")))}
    if kind == "tool_use":
        return {"type": "tool_call", "id": part.get("id"), "name": part.get("name"), "arguments": part.get("input")}
    if kind == "tool_result":
        return {"type": "tool_call_response", "id": part.get("tool_use_id"), "response": part.get("content")}
    return part


def _tool_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    named = function if isinstance(function, dict) else call
    arguments = parse_json(named.get("arguments"))
    return {"type": "tool_call", "id": call.get("id"), "name": named.get("name"), "arguments": arguments}
