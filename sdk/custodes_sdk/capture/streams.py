"""Streamed answers put together again: what the same call would have answered at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from custodes_sdk.capture.record import CHAT, RESPONSES

Event = dict[str, Any]
_KEPT = ("id", "model", "created", "usage", "error", "service_tier")


def join_stream(kind: str, events: Iterable[Event]) -> dict[str, Any]:
    """Return the body of the unstreamed answer that ``events`` add up to, as far as they go."""
    return _join_responses(events) if kind == RESPONSES else _join_choices(events, chat=kind == CHAT)


def says_something(kind: str, event: Event) -> bool:
    """Return whether an event carries a part of the answer: the first such event is the first token."""
    if kind == RESPONSES:
        return str(event.get("type", "")).endswith(".delta")
    for choice in _choices(event):
        delta = choice.get("delta") if kind == CHAT else choice
        if isinstance(delta, dict) and any(delta.get(name) for name in _SPEAKING):
            return True
    return False


_SPEAKING = ("content", "text", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")


def _choices(event: Event) -> list[dict[str, Any]]:
    choices = event.get("choices")
    return [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []


def _join_choices(events: Iterable[Event], *, chat: bool) -> dict[str, Any]:
    body: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        body.update({name: event[name] for name in _KEPT if event.get(name) is not None})
        for choice in _choices(event):
            index = choice.get("index")
            joined = choices.setdefault(index if isinstance(index, int) else 0, {"pieces": {}, "calls": {}})
            if choice.get("finish_reason"):
                joined["finish_reason"] = choice["finish_reason"]
            delta = choice.get("delta") if chat else choice
            if isinstance(delta, dict):
                _add_delta(joined, delta)
    body["choices"] = [_finished_choice(index, choices[index], chat=chat) for index in sorted(choices)]
    return body


def _add_delta(joined: dict[str, Any], delta: dict[str, Any]) -> None:
    for name in ("content", "text", "reasoning_content", "reasoning", "refusal"):
        if isinstance(delta.get(name), str):
            joined["pieces"].setdefault(name, []).append(delta[name])
    if isinstance(delta.get("role"), str):
        joined["role"] = delta["role"]
    calls = delta.get("tool_calls")
    for position, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict):
            index = call.get("index", position)
            _add_call(joined["calls"].setdefault(index if isinstance(index, int) else position, {}), call)


def _add_call(joined: dict[str, Any], call: dict[str, Any]) -> None:
    if call.get("id"):
        joined["id"] = call["id"]
    function = call.get("function")
    if isinstance(function, dict):
        if function.get("name"):
            joined["name"] = function["name"]
        if isinstance(function.get("arguments"), str):
            joined.setdefault("arguments", []).append(function["arguments"])


def _finished_choice(index: int, joined: dict[str, Any], *, chat: bool) -> dict[str, Any]:
    pieces = {name: "".join(texts) for name, texts in joined["pieces"].items()}
    choice: dict[str, Any] = {"index": index, "finish_reason": joined.get("finish_reason")}
    if not chat:
        return {**choice, "text": pieces.get("text", "")}
    message: dict[str, Any] = {"role": joined.get("role", "assistant"), **pieces}
    if joined["calls"]:
        message["tool_calls"] = [
            {
                "id": call.get("id"),
                "function": {"name": call.get("name"), "arguments": "".join(call.get("arguments", ()))},
            }
            for _, call in sorted(joined["calls"].items())
        ]
    return {**choice, "message": message}


def _join_responses(events: Iterable[Event]) -> dict[str, Any]:
    """Return the response object of the last event that carries a whole one, else its pieces."""
    body: dict[str, Any] = {}
    texts: dict[tuple[int, int], list[str]] = {}
    done: list[Any] = []
    for event in events:
        kind = str(event.get("type", ""))
        if isinstance(event.get("response"), dict):
            body = event["response"]
        if kind == "response.output_text.delta" and isinstance(event.get("delta"), str):
            place = (_number(event.get("output_index")), _number(event.get("content_index")))
            texts.setdefault(place, []).append(event["delta"])
        elif kind == "response.output_item.done":
            done.append(event.get("item"))
        elif kind == "error" or "error" in event:
            body = {**body, "error": event.get("error") or event}
    if body.get("output"):
        return body
    if not done and texts:
        content = [{"type": "output_text", "text": "".join(texts[place])} for place in sorted(texts)]
        done = [{"type": "message", "role": "assistant", "content": content}]
    return {**body, "output": done}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
