"""GenAI events to messages: what the text of an exchange is when it comes as logs and not on the span.

Two generations exist. ``gen_ai.client.inference.operation.details`` has everything of one call in its attributes, as
spans do. Before it, each message was an event of its own (``gen_ai.user.message`` and its kin, in the order of the
conversation) and each answer a ``gen_ai.choice``, whose bodies are maps; the oldest have one event for the prompt and
one for the completion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collector.dialects.exchange import extract_exchange, holds_unreadable
from collector.dialects.messages import (
    read_finish_reasons_of,
    read_json_instructions,
    read_json_messages,
)
from collector.dialects.reading import first_text, parse_json, read_finish_reasons
from collector.dialects.redact import redact_attributes
from collector.dialects.span import Message
from collector.otlp.logs import CHOICE, COMPLETION, INPUT_EVENTS, OPERATION_DETAILS, PROMPT_EVENTS, RawLog
from collector.otlp.spans import Attributes, Value

INPUT_SIDE, OUTPUT_SIDE = 1, 2
"""Flags of :attr:`GenAiEvent.sides`."""

_INPUT = "gen_ai.input.messages"
_OUTPUT = "gen_ai.output.messages"
_INSTRUCTIONS = "gen_ai.system_instructions"
_FINISH_REASONS = "gen_ai.response.finish_reasons"
# Where the oldest clients put the body of a message event, as JSON text.
_CONTENT = "gen_ai.event.content"
_USER = ("user.id", "enduser.id", "gen_ai.user", "gen_ai.request.user")
_PROMPT, _COMPLETION = "gen_ai.prompt", "gen_ai.completion"
_CONSUMED = frozenset({_INPUT, _OUTPUT, _INSTRUCTIONS, _CONTENT, _PROMPT, _COMPLETION})


@dataclass(frozen=True, slots=True)
class GenAiEvent:
    """One event in the stored shape. ``sides`` says which sides of the exchange it has readable messages for.

    ``user_id`` is whose text it is, as far as the event itself tells. ``choice`` is the place of an answer among
    several.
    """

    name: str
    time_ns: int
    input_messages: list[Message]
    output_messages: list[Message]
    finish_reasons: list[str]
    attributes: dict[str, Any]
    dropped_attributes: int
    sides: int = 0
    choice: int = 0
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class EventMessages:
    """What the events of one span say together."""

    input_messages: list[Message]
    output_messages: list[Message]
    finish_reasons: list[str]
    dropped_attributes: int


def read_event(raw: RawLog) -> GenAiEvent:
    """Return ``raw`` in the stored shape. Never fails: what cannot be understood stays in ``attributes``."""
    inputs: list[Message] = []
    outputs: list[Message] = []
    reasons: list[str] = []
    choice = 0
    if raw.name == OPERATION_DETAILS:
        inputs, outputs, reasons = _read_details(raw.attributes)
    elif raw.name in INPUT_EVENTS:
        inputs = _read_message(_body_of(raw), raw.name.split(".")[1])
    elif raw.name in PROMPT_EVENTS:
        inputs = read_json_messages(_first_given(raw.body, raw.attributes.get(_PROMPT)), "user")
    elif raw.name == COMPLETION:
        outputs = read_json_messages(_first_given(raw.body, raw.attributes.get(_COMPLETION)), "assistant")
    elif raw.name == CHOICE:
        outputs, reasons, choice = _read_choice(_body_of(raw))
    attributes = {key: value for key, value in raw.attributes.items() if key not in _CONSUMED}
    if raw.body is not None and not inputs and not outputs:
        attributes["body"] = raw.body
    return GenAiEvent(
        name=raw.name,
        time_ns=raw.time_ns,
        input_messages=inputs,
        output_messages=outputs,
        finish_reasons=reasons,
        attributes=redact_attributes(attributes),
        dropped_attributes=raw.dropped_attributes,
        sides=_sides(inputs, outputs),
        choice=choice,
        user_id=first_text(raw.attributes, _USER) or first_text(raw.resource, _USER),
    )


def combine_events(events: Sequence[GenAiEvent]) -> EventMessages:
    """Return the messages of one span's events, which come in the order in which they happened.

    The latest event of the current generation that has a side in readable form gives that side; without one, the
    events of the old generation do, message by message.
    """
    details = [one for one in events if one.name == OPERATION_DETAILS]
    singles = [one for one in events if one.name != OPERATION_DETAILS]
    answers = sorted((one for one in singles if one.output_messages or one.finish_reasons), key=lambda one: one.choice)
    inputs = _latest([one.input_messages for one in details])
    outputs = _latest([one.output_messages for one in details])
    reasons = next((one.finish_reasons for one in reversed(details) if one.finish_reasons), None)
    return EventMessages(
        input_messages=inputs or [message for one in singles for message in one.input_messages],
        output_messages=outputs or [message for one in answers for message in one.output_messages],
        finish_reasons=reasons or [reason for one in answers for reason in one.finish_reasons],
        dropped_attributes=sum(one.dropped_attributes for one in events),
    )


def choose_messages(own: Sequence[Message], told: Sequence[Message]) -> list[Message]:
    """Return a span's ``own`` messages of one side where these have readable text, else those its events ``told``.

    Where neither has text, whatever is readable comes before what is not.
    """
    sides = [list(side) for side in (own, told) if side]
    readable = [side for side in sides if not holds_unreadable(side)]
    with_text = [side for side in readable if _has_text(side)]
    return next(iter([*with_text, *readable, *sides]), [])


def lacks_text(content: Mapping[str, Any]) -> bool:
    """Return whether a span's stored ``content`` leaves a side of its exchange to be told by events."""
    found = extract_exchange(content.get("input_messages", []), content.get("output_messages", []), [])
    return found.prompt is None or found.response is None or bool(found.unreadable)


def join_content(content: Mapping[str, Any], told: EventMessages) -> dict[str, Any]:
    """Return a span's stored ``content`` with the messages of both sides as :func:`choose_messages` takes them."""
    return {
        **content,
        "input_messages": choose_messages(content.get("input_messages", []), told.input_messages),
        "output_messages": choose_messages(content.get("output_messages", []), told.output_messages),
    }


def _sides(inputs: Sequence[Message], outputs: Sequence[Message]) -> int:
    prompt = any(message["role"] != "system" for message in inputs) and not holds_unreadable(inputs)
    response = bool(outputs) and not holds_unreadable(outputs)
    return (INPUT_SIDE if prompt else 0) | (OUTPUT_SIDE if response else 0)


def _has_text(messages: Sequence[Message]) -> bool:
    found = extract_exchange(messages, messages, [])
    return found.prompt is not None or found.response is not None


def _latest(sides: Sequence[list[Message]]) -> list[Message]:
    given = [side for side in sides if side]
    readable = [side for side in given if not holds_unreadable(side)]
    return (readable or given or [[]])[-1]


def _read_details(attributes: Attributes) -> tuple[list[Message], list[Message], list[str]]:
    inputs = read_json_messages(attributes.get(_INPUT), "user")
    if all(message["role"] != "system" for message in inputs):
        inputs = read_json_instructions(attributes.get(_INSTRUCTIONS)) + inputs
    reasons = read_finish_reasons(attributes.get(_FINISH_REASONS)) or read_finish_reasons_of(attributes.get(_OUTPUT))
    return inputs, read_json_messages(attributes.get(_OUTPUT), "assistant"), reasons or []


def _body_of(raw: RawLog) -> Value:
    return parse_json(_first_given(raw.body, raw.attributes.get(_CONTENT)))  # type: ignore[no-any-return]


def _first_given(body: Value, attribute: Value) -> Value:
    return body if body not in (None, "", {}) else attribute


def _read_message(body: Value, role: str) -> list[Message]:
    """Return the message of one event, whose role is in its name; none when its text was not captured."""
    if not isinstance(body, dict):
        return read_json_messages(body, role)
    message: dict[str, Value] = {**body, "role": body.get("role") or role}
    if message["role"] == "tool" and "id" in body:
        message["tool_call_id"] = body["id"]
    if not any(body.get(key) for key in ("content", "parts", "tool_calls", "refusal")):
        return []
    return read_json_messages(message, role)


def _read_choice(body: Value) -> tuple[list[Message], list[str], int]:
    if not isinstance(body, dict):
        return read_json_messages(body, "assistant"), [], 0
    message = body.get("message")
    inner: Mapping[str, Value] = message if isinstance(message, dict) else body
    reason = body.get("finish_reason")
    index = body.get("index")
    outputs = (
        _read_message(message, "assistant")
        if isinstance(message, str | list)
        else _read_message(
            {key: value for key, value in inner.items() if key not in ("finish_reason", "index")}, "assistant"
        )
    )
    return (
        outputs,
        [reason[:64]] if isinstance(reason, str) and reason else [],
        index if isinstance(index, int) and not isinstance(index, bool) else 0,
    )
