"""A captured call to the attributes of a GenAI span. Source: the OpenTelemetry GenAI semantic conventions.

Runs on the outbox's thread. Nothing a client or a server may have written raises here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from custodes_sdk.capture.encoding import decode_body
from custodes_sdk.capture.parts import (
    Message,
    read_chat_message,
    read_responses_input,
    read_responses_output,
    text_part,
)
from custodes_sdk.capture.record import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, CallRecord
from custodes_sdk.capture.sse import read_events
from custodes_sdk.capture.streams import join_stream, says_something

OPERATIONS = {CHAT: "chat", COMPLETIONS: "text_completion", RESPONSES: "chat", EMBEDDINGS: "embeddings"}
_REQUEST_NUMBERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "n": "choice.count",
}
MAX_ATTRIBUTE_BYTES = 3 * 1024 * 1024
"""The longest text that is sent; the server takes 4 MiB unless it is told otherwise."""

_TEXTS = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "custodes.documents",
)
_SESSION_HEADERS = ("x-custodes-session", "x-session-id")
_USER_HEADERS = ("x-custodes-user", "x-user-id")
_USAGE = {"input_tokens": ("input_tokens", "prompt_tokens"), "output_tokens": ("output_tokens", "completion_tokens")}


@dataclass(slots=True)
class Call:
    """What a captured call says. ``attributes`` hold strings, numbers, booleans and lists of strings.

    ``dropped`` counts what was said and could not be kept (the text of a body over the limit, or one that cannot be
    read), so that the server calls the exchange "not assessed" and not clean.
    """

    operation: str
    model: str
    attributes: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    error_message: str = ""
    dropped: int = 0


def read_call(record: CallRecord, *, capture_text: bool) -> Call:
    """Return everything the bytes of a call say; without ``capture_text`` no text, only figures and names."""
    request, lost_request = _json_body(record.request.joined(), record.request.overflowed, "")
    answer, streamed_ttft, lost_answer = _answer(record)
    model = _text(request.get("model")) or _text(answer.get("model")) or ""
    call = Call(OPERATIONS[record.kind], model)
    found = call.attributes
    found["gen_ai.operation.name"] = call.operation
    _put(found, "gen_ai.request.model", model)
    _put(found, "gen_ai.response.model", _text(answer.get("model")))
    _put(found, "gen_ai.response.id", _text(answer.get("id")))
    for name, attribute in _REQUEST_NUMBERS.items():
        number = request.get(name)
        if isinstance(number, float) and not math.isfinite(number):
            continue
        if isinstance(number, int | float) and not isinstance(number, bool):
            found[f"gen_ai.request.{attribute}"] = number
    if request.get("stream") is True:
        found["gen_ai.request.stream"] = True
    if streamed_ttft is not None:
        found["gen_ai.response.time_to_first_chunk"] = streamed_ttft
    _put(found, "server.address", record.server_address)
    found["url.path"] = record.path
    _read_identity(found, request, record)
    _read_usage(found, answer.get("usage"))
    outputs, reasons = _read_outputs(record.kind, answer)
    if reasons:
        found["gen_ai.response.finish_reasons"] = reasons
    if capture_text:
        _read_texts(found, record.kind, request, outputs)
    lost = [one for one in (lost_request, lost_answer) if one] + _drop_too_long(found)
    call.dropped = len(lost)
    if lost:
        found["custodes.capture.lost"] = lost
    _read_error(call, record, answer, capture_text=capture_text)
    return call


def request_header(record: CallRecord, name: str) -> str:
    """Return a request header, empty when it was not sent."""
    wanted = name.encode()
    value = next((value for key, value in record.request_headers if key.lower() == wanted), b"")
    return value.decode("latin-1").strip()


def _json_body(body: bytes, overflowed: bool, coding: str, side: str = "request") -> tuple[dict[str, Any], str | None]:
    """Return the JSON object of a body, and what was lost of it."""
    if overflowed:
        return {}, f"{side}_too_large"
    try:
        value = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return {}, f"{side}_unreadable"
    return (value, None) if isinstance(value, dict) else ({}, f"{side}_unreadable")


def _answer(record: CallRecord) -> tuple[dict[str, Any], float | None, str | None]:
    """Return the answer's body as one object, seconds to the first token of a stream, and what was lost."""
    if record.response.overflowed:
        return {}, None, "response_too_large"
    plain = decode_body(record.response.joined(), record.content_encoding, record.response.limit)
    if plain is None:
        return {}, None, "response_unreadable"
    if record.content_type != "text/event-stream":
        if record.status is None or (record.failure and not plain):
            return {}, None, None
        answer, lost = _json_body(plain, False, "", "response")
        failed = record.status >= 400
        return answer, None, None if failed else lost
    events = list(read_events(plain))
    first = next((offset for offset, event in events if says_something(record.kind, event)), None)
    ttft = None if first is None else _seconds_to(record, 0 if record.content_encoding else first)
    return join_stream(record.kind, (event for _, event in events)), ttft, None


def _seconds_to(record: CallRecord, offset: int) -> float | None:
    """Return when the piece that holds the byte at ``offset`` passed, in seconds from the start of the call."""
    times = [at for before, at in record.marks if before <= offset]
    return max(0.0, (times[-1] - record.start_ns) / 1e9) if times else None


def _read_identity(found: dict[str, Any], request: Mapping[str, Any], record: CallRecord) -> None:
    metadata = request.get("metadata")
    more: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    conversation = request.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    headers = {name: request_header(record, name) for name in (*_SESSION_HEADERS, *_USER_HEADERS)}
    session = [headers[name] for name in _SESSION_HEADERS]
    session += [_text(more.get("session_id")) or "", _text(more.get("session")) or "", _text(conversation) or ""]
    user = [headers[name] for name in _USER_HEADERS]
    user += [_text(request.get(name)) or "" for name in ("user", "safety_identifier")]
    user += [_text(more.get("user_id")) or ""]
    _put(found, "session.id", next((one for one in session if one), None))
    _put(found, "user.id", next((one for one in user if one), None))


def _read_usage(found: dict[str, Any], usage: object) -> None:
    if not isinstance(usage, dict):
        return
    for name, keys in _USAGE.items():
        count = next((usage[key] for key in keys if _is_count(usage.get(key))), None)
        if count is not None:
            found[f"gen_ai.usage.{name}"] = count
    for key, inner, attribute in (
        ("prompt_tokens_details", "cached_tokens", "cache_read.input_tokens"),
        ("input_tokens_details", "cached_tokens", "cache_read.input_tokens"),
        ("completion_tokens_details", "reasoning_tokens", "reasoning.output_tokens"),
        ("output_tokens_details", "reasoning_tokens", "reasoning.output_tokens"),
    ):
        details = usage.get(key)
        if isinstance(details, dict) and _is_count(details.get(inner)):
            found[f"gen_ai.usage.{attribute}"] = details[inner]


def _read_outputs(kind: str, answer: Mapping[str, Any]) -> tuple[list[Message], list[str]]:
    if kind == RESPONSES:
        outputs = read_responses_output(answer.get("output"))
        return outputs, _responses_reasons(answer) if outputs else []
    outputs = []
    reasons = []
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        said = choice.get("message") if kind == CHAT else choice.get("text")
        message = read_chat_message(said, "assistant")
        reason = _text(choice.get("finish_reason"))
        if reason is not None:
            message["finish_reason"] = reason
            reasons.append(reason)
        outputs.append(message)
    return [one for one in outputs if one["parts"]], reasons


def _responses_reasons(answer: Mapping[str, Any]) -> list[str]:
    status = answer.get("status")
    if status == "completed":
        return ["stop"]
    details = answer.get("incomplete_details")
    reason = _text(details.get("reason")) if isinstance(details, dict) else None
    return [{"max_output_tokens": "length"}.get(reason, reason)] if reason else []


def _read_texts(found: dict[str, Any], kind: str, request: Mapping[str, Any], outputs: list[Message]) -> None:
    inputs: list[Message] = []
    if kind == CHAT and isinstance(request.get("messages"), list):
        inputs = [read_chat_message(one, "user") for one in request["messages"]]
    elif kind == COMPLETIONS:
        prompt = request.get("prompt")
        texts = [prompt] if isinstance(prompt, str) else prompt if isinstance(prompt, list) else []
        inputs = [{"role": "user", "parts": [text_part(one)]} for one in texts if isinstance(one, str)]
    elif kind == RESPONSES:
        inputs = read_responses_input(request.get("input"))
        if isinstance(request.get("instructions"), str) and request["instructions"]:
            found["gen_ai.system_instructions"] = _json([text_part(request["instructions"])])
    if inputs:
        found["gen_ai.input.messages"] = _json(inputs)
    if outputs:
        found["gen_ai.output.messages"] = _json(outputs)
    if isinstance(request.get("tools"), list) and request["tools"]:
        found["gen_ai.tool.definitions"] = _json(request["tools"])
    # vLLM takes the documents of a retrieval in the request itself.
    if isinstance(request.get("documents"), list) and request["documents"]:
        found["custodes.documents"] = _json(request["documents"])


def _read_error(call: Call, record: CallRecord, answer: Mapping[str, Any], *, capture_text: bool) -> None:
    body = answer.get("error")
    if record.status is not None:
        call.attributes["http.response.status_code"] = record.status
    if record.failure is not None:
        call.error = record.failure
    elif body or (record.status is not None and record.status >= 400):
        named = body if isinstance(body, dict) else {}
        call.error = _text(named.get("type")) or _text(named.get("code")) or str(record.status)
        if capture_text:
            call.error_message = (_text(named.get("message")) or _text(answer.get("message")) or "")[:1024]
    if call.error is not None:
        call.attributes["error.type"] = call.error


def _drop_too_long(found: dict[str, Any]) -> list[str]:
    """Take out texts for which the server would refuse the whole span, and return what was lost."""
    long = [name for name in _TEXTS if len(found.get(name, "").encode("utf-8", "replace")) > MAX_ATTRIBUTE_BYTES]
    for name in long:
        del found[name]
    return [f"{name}_too_large" for name in long]


def _put(found: dict[str, Any], name: str, value: str | None) -> None:
    if value:
        found[name] = value


def _text(value: object) -> str | None:
    """Return an identifier or name of bounded length; numbers are written out."""
    if isinstance(value, str):
        return value[:1024] or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
