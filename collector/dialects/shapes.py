"""The shapes in which the APIs of models write messages, recognised by what an object holds.

Request and response bodies, single messages, parts without a message around them, and LangChain's serialised objects:
all end as messages of one shape. Values are structured; text is what somebody said, never JSON to be parsed.
"""

from __future__ import annotations

from typing import Any

from collector.dialects.blobs import blob_part, without_payloads
from collector.dialects.parts import is_part_type, is_plain_text, read_part, read_parts, text_part, tool_call_part
from collector.dialects.reading import parse_json
from collector.dialects.span import Message

# Compared, not looked up: a client may send anything as a role. Answers of tools are read with what they answer.
_SPOKEN_ROLES = ("user", "assistant", "system")
_MESSAGE_KEYS = frozenset({"role", "parts", "finish_reason"})
_PLAIN_ROLES = frozenset({"user", "assistant", "system", "tool"})
# What OpenLLMetry writes for the chunks that LangChain joins to one message.
_NO_ROLE = "unknown"
_ROLES = {
    "human": "user",
    "humanmessage": "user",
    "humanmessagechunk": "user",
    "ai": "assistant",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "systemmessage": "system",
    "developer": "system",
    "function": "tool",
    "functionmessage": "tool",
    "toolmessage": "tool",
}
# Types of objects that stand beside messages, not inside one.
_TYPES_OF_WHOLES = ("message", "function_call", "function_call_output", "constructor")
# What LangChain writes in ``type`` where others write ``role``.
_TYPED_ROLES = frozenset({"human", "ai", "system", "tool", "function", *_ROLES}) - {"model"}
_INPUTS = ("messages", "input", "inputs", "prompt", "prompts", "contents")
_OUTPUTS = ("message", "output", "outputs", "completion", "response", "answer", "result", "output_text")
_CHOICES = ("choices", "candidates", "generations")
_TEXTS = ("text", "combined_chunk_content", "generated_text")


def text_message(role: str, text: str) -> Message:
    """Return a message of one text part."""
    return {"role": role, "parts": [text_part(text)]}


def instructions_in(value: Any) -> list[Message]:
    """Return system instructions, text or parts, as one system message; none where there are none."""
    parts = read_parts(value)
    return [{"role": "system", "parts": parts}] if parts else []


def messages_in(value: Any, role: str) -> list[Message]:
    """Return the messages in a structured value; ``role`` is whose they are where they don't say."""
    if isinstance(value, str):
        return [text_message(role, value)] if value else []
    if isinstance(value, list):
        if value and _is_part(value[0]) and all(_is_part(one) for one in value):
            return [{"role": role, "parts": read_parts(value)}]
        if value and isinstance(value[0], int | float):
            return [{"role": role, "parts": [{"type": "json", "content": value}]}]
        found: list[Message] = []
        for one in value:
            if isinstance(one, dict) and ("role" in one or "parts" in one):
                found.append(_message(one, role))
            else:
                found += messages_in(one, role)
        return found
    if isinstance(value, dict):
        return _messages_of_object(value, role)
    if isinstance(value, bytes):
        return [{"role": role, "parts": [blob_part(value, None)]}]
    return [] if value is None else [text_message(role, str(value))]


def plain_messages(values: list[Any]) -> list[Message] | None:
    """Return messages of plain text in the shape of the conventions, as most are; ``None`` for anything else.

    The same as :func:`messages_in`, for a fraction of the time.
    """
    found: list[Message] = []
    for one in values:
        if not isinstance(one, dict) or one.get("role") not in _SPOKEN_ROLES:
            return None
        parts = one.get("parts")
        if not isinstance(parts, list) or not one.keys() <= _MESSAGE_KEYS:
            return None
        for part in parts:
            if not isinstance(part, dict) or not is_plain_text(part):
                return None
        found.append({"role": one["role"], "parts": parts})
    return found


def _is_part(value: Any) -> bool:
    """Return whether a value is a part of a message rather than one: it has a type and no role, said or implied."""
    if not isinstance(value, dict) or "role" in value or "type" not in value:
        return False
    return value["type"] not in _TYPES_OF_WHOLES and not _typed_role(value)


def _typed_role(value: dict[str, Any]) -> str | None:
    """Return the role that LangChain writes as ``type``, beside ``content`` or ``data``."""
    kind = value.get("type")
    if isinstance(kind, str) and kind.lower() in _TYPED_ROLES and ("content" in value or "data" in value):
        return kind
    return None


def _messages_of_object(value: dict[str, Any], role: str) -> list[Message]:
    """Return the messages of one object: a message, a request body, a response body or the arguments of a call."""
    if "role" in value or "parts" in value:
        return [_message(value, role)]
    for read in (_langchain, _choices, _lone_part, _wrapped):
        if (found := read(value, role)) is not None:
            return found
    if isinstance(value.get("content"), list | str) or "tool_calls" in value:
        return [_message(value, role)]
    for name in _TEXTS:
        if isinstance(value.get(name), str):
            return [text_message(role, value[name])]
    return [{"role": role, "parts": [{"type": "json", "content": without_payloads(value)}]}] if value else []


def _langchain(value: dict[str, Any], role: str) -> list[Message] | None:
    """Return the messages of an object of LangChain's: with its class in ``id``, or a message with a typed role."""
    fields = value.get("kwargs")
    if isinstance(fields, dict) and ("lc" in value or "id" in value):
        path = value.get("id")
        name = str(path[-1]) if isinstance(path, list) and path else ""
        return [_message({**fields, "role": name}, role)] if name.lower() in _ROLES else messages_in(fields, role)
    if (kind := _typed_role(value)) is not None:
        below = value.get("data")
        return [_message({**(below if isinstance(below, dict) else value), "role": kind}, role)]
    return None


def _choices(value: dict[str, Any], role: str) -> list[Message] | None:
    """Return the messages of OpenAI's choices, Gemini's candidates or LangChain's generations."""
    listed = next((value[name] for name in _CHOICES if isinstance(value.get(name), list)), None)
    return None if listed is None else _messages_of_choices(listed, role)


def _lone_part(value: dict[str, Any], role: str) -> list[Message] | None:
    """Return the message of one part, as the Responses API lists calls beside messages."""
    if not is_part_type(value.get("type")):
        return None
    part = read_part(value)
    return [{"role": "tool" if part["type"] == "tool_call_response" else role, "parts": [part]}]


def _wrapped(value: dict[str, Any], role: str) -> list[Message] | None:
    """Return the messages in a body's own member for them, with its instructions first; ``None`` without one."""
    for wrapper in _OUTPUTS + _INPUTS if role == "assistant" else _INPUTS + _OUTPUTS:
        inside = value.get(wrapper)
        if isinstance(inside, list | str | dict) and (inside or wrapper == "messages"):
            told = value.get("instructions", value.get("system")) if wrapper in _INPUTS else None
            before = instructions_in(parse_json(told)) if isinstance(told, list | str) else []
            return before + messages_in(inside, role)
    return None


def _messages_of_choices(choices: list[Any], role: str) -> list[Message]:
    """Return the messages of OpenAI's choices, Gemini's candidates or LangChain's generations."""
    found: list[Message] = []
    for choice in choices:
        if isinstance(choice, list):
            found += _messages_of_choices(choice, role)
        elif isinstance(choice, dict):
            names = ("message", "delta", "content", "text")
            found += messages_in(next((choice[name] for name in names if choice.get(name)), None), role)
    return found


def _message(value: dict[str, Any], role: str) -> Message:
    own_role = value.get("role")
    if isinstance(own_role, str) and own_role and own_role != _NO_ROLE:
        role = own_role
    if role not in _PLAIN_ROLES:
        role = _ROLES.get(role.lower(), role.lower())
    listed = value.get("parts")
    parts = read_parts(listed if isinstance(listed, list) else value.get("content"))
    message: Message = {"role": role, "parts": parts}
    # A role and its content is all that most messages have.
    if len(value) > len(message) or not ("content" in value or "parts" in value):
        _add_rest(message, value)
    return message


def _add_rest(message: Message, value: dict[str, Any]) -> None:
    """Add what the chat API keeps beside the content: refusal, sound, calls, the call that is answered, a name."""
    parts = message["parts"]
    refusal, audio, calls = value.get("refusal"), value.get("audio"), value.get("tool_calls")
    if isinstance(refusal, str) and refusal:
        parts.append({"type": "refusal", "content": refusal})
    if isinstance(audio, dict):
        parts.append(read_part({"type": "audio", "audio": audio}))
    if isinstance(calls, list):
        parts += [tool_call_part(call) for call in calls if isinstance(call, dict)]
    if message["role"] == "tool" and "tool_call_id" in value:
        answer = {"type": "tool_call_response", "id": value["tool_call_id"], "response": _plain(parts)}
        message["parts"] = [answer]
    if isinstance(value.get("name"), str):
        message["name"] = value["name"]


def _plain(parts: list[dict[str, Any]]) -> Any:
    """Return the text of a tool's answer when it is only text, else its parts."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["content"]
    return parts or None
