"""The texts of an exchange, taken from messages as they are stored.

A pure function over the stored shape, so the worker that scores and the API that shows call the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collector.dialects.span import UNREADABLE

_OTHER_ROLES = frozenset({"system", "user", "tool"})
_KNOWN_ROLES = _OTHER_ROLES | {"assistant"}
_TEXT_TYPES = frozenset({"text", "refusal"})
_SILENT_TYPES = ("text", "redacted")


@dataclass(frozen=True, slots=True)
class ExchangeText:
    """What detectors read: ``None`` where no text arrived (hidden, dropped or not captured).

    ``answers`` are the texts of the answering messages that have any, in order; ``response`` is these joined by line
    breaks. Whether they are parts of one answer or several answers cannot be told from the messages.
    ``unreadable`` names those of ``prompt``, ``response`` and ``contexts`` that arrived, whole or in part, in a
    form nothing can be read from: what is given for them is not all there was.
    """

    prompt: str | None
    response: str | None
    contexts: tuple[str, ...]
    unreadable: frozenset[str] = frozenset()
    answers: tuple[str, ...] = ()


def extract_exchange(
    input_messages: Sequence[Mapping[str, Any]],
    output_messages: Sequence[Mapping[str, Any]],
    retrieved_documents: Sequence[Mapping[str, Any]],
) -> ExchangeText:
    """Return the prompt, the response and the context documents of one exchange.

    The prompt is the last turn of the user: the run of user messages nearest the end. Earlier turns were
    the prompt of earlier exchanges, and counting them again in each later one would let a single message
    colour a whole conversation; the full conversation stays in the stored messages. System text is the
    application's own and never part of the prompt. Where no message has the user's role, those of roles
    unknown here stand for it. The response is all text the model wrote, refusals included, reasoning and
    tool calls not.
    """
    said = (_texts(message) for message in output_messages if message.get("role") not in _OTHER_ROLES)
    answers = tuple(joined for texts in said if (joined := "\n".join(text for text in texts if text)))
    sides = (("prompt", input_messages), ("response", output_messages), ("contexts", retrieved_documents))
    return ExchangeText(
        prompt=_last_user_turn(input_messages),
        response=_join([answers]),
        contexts=document_texts(retrieved_documents),
        unreadable=frozenset(name for name, values in sides if holds_unreadable(values)),
        answers=answers,
    )


def holds_unreadable(values: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether any of these messages or documents is marked as unreadable."""
    for value in values:
        if UNREADABLE in value:
            return True
        parts = value.get("parts")
        if isinstance(parts, list):
            for part in parts:
                if isinstance(part, dict) and part.get("type") == UNREADABLE:
                    return True
    return False


def says_something(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether any message holds more than hidden or empty text: text, a call, a picture."""
    for message in messages:
        parts = message.get("parts")
        for part in parts if isinstance(parts, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in _SILENT_TYPES or (kind == "text" and part.get("content")):
                return True
    return False


def document_texts(documents: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the contents of documents, in order and each text once."""
    contents = (document.get("content") for document in documents)
    return tuple(dict.fromkeys(text for text in contents if isinstance(text, str) and text.strip()))


def _last_user_turn(messages: Sequence[Mapping[str, Any]]) -> str | None:
    turn: list[list[str]] = []
    for message in reversed(messages):
        if message.get("role") != "user":
            if turn:
                break
        elif texts := _texts(message):
            turn.append(texts)
    if not turn and all(message.get("role") != "user" for message in messages):
        turn = [_texts(message) for message in reversed(messages) if message.get("role") not in _KNOWN_ROLES]
    return _join(reversed(turn))


def _texts(message: Mapping[str, Any]) -> list[str]:
    parts = message.get("parts")
    if not isinstance(parts, list):
        return []
    return [
        part["content"]
        for part in parts
        if isinstance(part, dict) and part.get("type") in _TEXT_TYPES and isinstance(part.get("content"), str)
    ]


def _join(groups: Iterable[Sequence[str]]) -> str | None:
    text = "\n".join(text for texts in groups for text in texts if text)
    return text if text.strip() else None
