"""Messages in any of the shapes clients use, to ``[{"role", "parts": [{"type", …}]}]``.

Understood: the OpenTelemetry GenAI schema (parts), the OpenAI shapes (chat, completions and responses), the
Anthropic, Gemini and Bedrock shapes, LangChain's serialised messages and generations, whole request and response
bodies holding such messages, what Python prints of them, and plain text. Parts that are no text are kept as
references or as they came, with their type, so nothing is dropped silently.

Half a JSON text is no message: judged as text it would be braces and names with a little of what was said, under
a role nobody gave. Where an attribute holds JSON by convention it is kept as unreadable instead.
"""

from __future__ import annotations

from typing import Any

import orjson

from collector.dialects.hidden import is_hidden
from collector.dialects.parts import text_part
from collector.dialects.python_literal import read_python_literal
from collector.dialects.reading import looks_like_json, parse_json
from collector.dialects.shapes import instructions_in, messages_in, plain_messages, text_message
from collector.dialects.span import UNREADABLE, Message
from collector.otlp.spans import Value

__all__ = [
    "decode_json",
    "parse_loosely",
    "read_call_messages",
    "read_finish_reasons_of",
    "read_json_instructions",
    "read_json_messages",
    "read_messages",
    "read_words",
    "text_message",
    "text_part",
]

_ARGUMENTS = ("question", "query", "user_input", "user_message", "text", "args", "kwargs")


MAX_MESSAGES = 10_000
"""A list of more is no conversation but an attempt to keep the server busy; it is kept, unread."""


def parse_loosely(value: Value) -> Any:
    """Return a structured value: as it is, or parsed from JSON or from what Python prints; other text stays text."""
    parsed = parse_json(value)
    if isinstance(parsed, str) and looks_like_json(parsed):
        literal = read_python_literal(parsed)
        return parsed if literal is None else literal
    return parsed


def decode_json(value: Value) -> Any:
    """Return what an attribute that is always JSON holds: of text in quotes the text itself, though it be JSON again.

    ``null`` is nothing. What is no JSON stays as it is.
    """
    if isinstance(value, str):
        if value[:1] == '"':
            inner = value[1:-1]
            if len(value) > 1 and value[-1] == '"' and '"' not in inner and "\\" not in inner:
                return inner
            decoded = parse_json(f"[{value}]")
            return decoded[0] if isinstance(decoded, list) and len(decoded) == 1 else value
        if value == "null":
            return None
    return parse_loosely(value)


def read_messages(value: Value, role: str) -> list[Message]:
    """Return the messages in an attribute value; ``role`` is whose they are where they don't say.

    The value may be structured, JSON text or plain text. Nothing usable gives an empty list.
    """
    parsed = parse_loosely(value)
    if isinstance(parsed, list) and len(parsed) > MAX_MESSAGES:
        return [_unreadable_message(value, role)]
    return messages_in(parsed, role)


def read_json_messages(value: Value, role: str) -> list[Message]:
    """Return the messages in an attribute that holds a list or an object by convention, else plain text.

    What begins a list or an object and cannot be parsed is one message with an unreadable part.
    """
    if isinstance(value, str) and value[:1] == "[" and (plain := _read_plain(value)) is not None:
        return plain
    parsed = parse_loosely(value)
    if isinstance(parsed, list):
        if len(parsed) > MAX_MESSAGES:
            return [_unreadable_message(value, role)]
        if (plain := plain_messages(parsed)) is not None:
            return plain
        if any(isinstance(one, str) for one in parsed):
            return [message for one in parsed for message in read_json_messages(one, role)]
    elif looks_like_json(parsed) and not is_hidden(parsed):
        return [_unreadable_message(value, role)]
    return messages_in(parsed, role)


def _read_plain(text: str) -> list[Message] | None:
    """Return the messages in JSON of the shape nearly all have; such messages are flat, so nothing need be measured."""
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return plain_messages(parsed) if isinstance(parsed, list) and len(parsed) <= MAX_MESSAGES else None


def read_call_messages(value: Value, role: str) -> list[Message]:
    """Return the messages in the arguments or the result of a traced function, else plain text.

    What no shape of an API explains is searched for the text among the arguments: the only one, or one whose name
    says so. The rest is kept as JSON.
    """
    found = read_json_messages(parse_loosely(value), role)
    if len(found) != 1 or [part["type"] for part in found[0]["parts"]] != ["json"]:
        return found
    arguments = found[0]["parts"][0].get("content")
    if not isinstance(arguments, dict):
        return found
    names = list(arguments) if len(arguments) == 1 else [name for name in _ARGUMENTS if name in arguments]
    named = [arguments[name] for name in names if isinstance(arguments[name], str | list | dict)]
    inside = [message for one in named for message in _arguments(one, role)]
    return inside or found


def read_words(value: Value, role: str) -> list[Message]:
    """Return what a span of a model call holds as text or as JSON, without saying which.

    JSON in which nothing says who spoke is what was said: models answer in JSON when asked to.
    """
    found = read_call_messages(value, role)
    if isinstance(value, str) and len(found) == 1 and found[0]["parts"][:1] and found[0]["parts"][0]["type"] == "json":
        return [text_message(role, value)]
    return found


def _arguments(value: Any, role: str) -> list[Message]:
    if isinstance(value, dict):
        return read_call_messages(value, role) if value else []
    return messages_in(value, role)


def read_json_instructions(value: Value) -> list[Message]:
    """Return system instructions (a list of parts, or text) as one system message; empty without any.

    What begins a list or an object and cannot be parsed is an unreadable part.
    """
    if value is None:
        return []
    parsed = parse_loosely(value)
    if looks_like_json(parsed) and not is_hidden(parsed):
        return [_unreadable_message(value, "system")]
    return instructions_in(parsed)


def read_finish_reasons_of(messages: Value) -> list[str] | None:
    """Return why each message, choice, candidate or generation ended; ``None`` where none says."""
    parsed = parse_json(messages)
    if isinstance(parsed, dict):
        listed = (parsed.get(name) for name in ("choices", "candidates", "generations"))
        parsed = next((one for one in listed if isinstance(one, list)), [parsed])
    if not isinstance(parsed, list):
        return None
    flat = [inner for one in parsed for inner in (one if isinstance(one, list) else (one,))]
    reasons = [_finish_reason(one) for one in flat if isinstance(one, dict)]
    return [reason[:64] for reason in reasons if reason] or None


def _finish_reason(value: dict[str, Any]) -> str | None:
    for holder in (value, value.get("generation_info"), value.get("response_metadata")):
        if isinstance(holder, dict):
            for name in ("finish_reason", "stop_reason", "finishReason", "done_reason"):
                reason = holder.get(name)
                if isinstance(reason, str) and reason:
                    return reason
    return None


def _unreadable_message(value: Value, role: str) -> Message:
    return {"role": role, "parts": [{"type": UNREADABLE, "content": value}]}
