"""From the messages of an exchange as they are stored to the turns that trainers read. Pure.

A conversation is given whole or not at all: a model that is taught to answer half a conversation learns to make the
other half up. So what no trainer's format can hold (a picture, hidden text, a tool's answer without its call) is a
reason to leave the exchange out, not the part. Reasoning alone is dropped: no format here has a place for it, and
clients do not send it back either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

Role = Literal["system", "user", "assistant", "tool"]
Mask = Callable[[str], str]

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_TEXT = frozenset({"text", "refusal"})
_JOINED = frozenset({"system", "user"})
"""Roles whose messages in a row are one turn: many chat templates insist that turns alternate."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool that the model asked for. ``arguments`` are any JSON value."""

    id: str
    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. Only the assistant has ``calls``; a ``tool`` turn answers the call ``call_id`` of tool ``name``."""

    role: Role
    text: str
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a conversation cannot be given to a trainer."""

    reason: str


def read_turns(messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...] | Unusable:
    """Return the turns up to the answer: it ends with the user's, or with what tools gave back.

    Messages of the system or of the user in a row are joined by line breaks. Where nobody has the user's role, roles
    that are unknown stand for it, as they do for detectors.
    """
    has_user = any(message.get("role") == "user" for message in messages)
    turns: list[Turn] = []
    waiting: dict[str, str] = {}
    for message in messages:
        role = _ROLES.get(str(message.get("role")), None if has_user else "user")
        if role is None:
            return Unusable("has a role that no trainer knows")
        read = _read_message(role, message, len(turns))
        if isinstance(read, Unusable):
            return read
        for turn in read:
            answered = _answer(turn, waiting)
            if isinstance(answered, Unusable):
                return answered
            if turns and turn.role in _JOINED and turns[-1].role == turn.role:
                turns[-1] = replace(turns[-1], text=f"{turns[-1].text}\n{turn.text}")
            else:
                turns.append(answered)
    if waiting:
        return Unusable("calls a tool that never answers")
    if not any(turn.role == "user" for turn in turns) or turns[-1].role not in ("user", "tool"):
        return Unusable("does not end with a question")
    return tuple(turns)


def calls_a_tool(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether any message asks for a tool: then its text is not the whole answer."""
    parts = (part for message in messages for part in _parts(message))
    return any(part.get("type") == "tool_call" for part in parts)


def mask_turns(turns: Sequence[Turn], mask: Mask) -> tuple[Turn, ...]:
    """Return the turns with every text masked, what tools are given included."""
    return tuple(
        replace(
            turn,
            text=mask(turn.text),
            calls=tuple(replace(call, arguments=_mask_value(call.arguments, mask)) for call in turn.calls),
        )
        for turn in turns
    )


def _read_message(role: Role, message: Mapping[str, Any], place: int) -> list[Turn] | Unusable:
    """Return the turns of one message: what tools gave back are turns of their own, whoever's message they are in."""
    texts: list[str] = []
    calls: list[Call] = []
    answers: list[Turn] = []
    for part in _parts(message):
        kind = part.get("type")
        if kind in _TEXT and isinstance(part.get("content"), str):
            texts.append(part["content"])
        elif kind == "tool_call" and role == "assistant" and isinstance(part.get("name"), str):
            identifier = str(part.get("id") or f"call_{place}_{len(calls)}")
            calls.append(Call(identifier, part["name"], part.get("arguments")))
        elif kind == "tool_call_response":
            answers.append(Turn("tool", _to_text(part.get("response")), call_id=str(part.get("id") or "")))
        elif kind == "redacted":
            return Unusable("is not whole")
        elif kind != "reasoning":
            return Unusable("holds more than text")
    text = "\n".join(one for one in texts if one)
    if role == "tool":
        return answers or ([Turn("tool", text)] if text else [])
    own = [Turn(role, text, tuple(calls))] if text.strip() or calls else []
    return [*answers, *own]


def _answer(turn: Turn, waiting: dict[str, str]) -> Turn | Unusable:
    """Return the turn with the call it answers; ``waiting`` holds id and tool of every call without an answer yet."""
    if turn.role != "tool":
        if waiting:
            return Unusable("calls a tool that never answers")
        waiting.update({call.id: call.name for call in turn.calls})
        return turn
    # A client that names no ids answers in the order of the calls.
    call_id = turn.call_id or next(iter(waiting), "")
    if call_id not in waiting:
        return Unusable("holds a tool's answer without its call")
    return replace(turn, call_id=call_id, name=waiting.pop(call_id))


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    parts = message.get("parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, dict) and one.get("type") == "text" for one in value):
        return "\n".join(str(one.get("content", "")) for one in value)
    return orjson.dumps(value).decode()


def _mask_value(value: Any, mask: Mask) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {name: _mask_value(one, mask) for name, one in value.items()}
    if isinstance(value, list):
        return [_mask_value(one, mask) for one in value]
    return value
