"""The text in what functions take and return: prompts, answers and pieces of streamed answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TEXT_NAMES = ("response", "answer", "output", "output_text", "text", "content", "completion", "result", "message")
_CHUNK_NAMES = ("delta", "text", "content", "response", "output_text")
_DEEPEST = 4


def prompt_to_text(value: object) -> str | None:
    """Return the prompt in an argument: text, or the last message of a user in a list of chat messages."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        messages = [one for one in value if isinstance(one, Mapping)]
        for message in reversed(messages):
            if message.get("role") in ("user", "human"):
                return _find(message, _TEXT_NAMES, _DEEPEST)
        texts = [one for one in value if isinstance(one, str)]
        return "\n".join(texts) if texts else None
    return _find(value, ("prompt", "question", "query", *_TEXT_NAMES), _DEEPEST)


def answer_to_text(value: object) -> str | None:
    """Return the text of an answer: text itself, an OpenAI answer, or what stands under one of the usual names."""
    return _find(value, _TEXT_NAMES, _DEEPEST)


def chunk_to_text(value: object) -> str | None:
    """Return the text that a piece of a streamed answer adds."""
    return _find(value, _CHUNK_NAMES, _DEEPEST)


def _find(value: object, names: Sequence[str], depth: int) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if value is None or depth == 0 or isinstance(value, bool | int | float):
        return None
    choices = _get(value, "choices")
    if isinstance(choices, Sequence) and not isinstance(choices, str) and choices:
        return _find_in_choice(choices[0], names, depth - 1)
    for name in names:
        text = _find(_get(value, name), names, depth - 1)
        if text is not None:
            return text
    if isinstance(value, list | tuple):
        texts = [text for one in value if (text := _find(one, names, depth - 1)) is not None]
        return "".join(texts) if texts else None
    return None


def _find_in_choice(choice: object, names: Sequence[str], depth: int) -> str | None:
    for name in ("message", "delta", "text"):
        inner = _get(choice, name)
        text = inner if isinstance(inner, str) else _get(inner, "content")
        if text is not None:
            return _find(text, names, depth)
    return None


def _get(value: object, name: str) -> Any:
    """Return a member by name; only what is there already, so that no property of a lazy object is run twice."""
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, list | tuple):
        return None
    found = getattr(value, name, None)
    return None if callable(found) else found
