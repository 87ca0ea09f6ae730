"""Parts of messages in any schema, to the one of the OpenTelemetry GenAI conventions.

Text, refusals, reasoning, tool calls and their answers get one shape each. Pictures, sound, films and files become
``uri``, ``blob`` or ``file`` parts with their modality, whatever API they were written for (OpenAI, Anthropic,
Gemini, Bedrock, LangChain, Pydantic AI). What is unknown is kept whole, with its type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collector.dialects.blobs import blob_part, file_part, is_reference, modality_of, reference_part, without_payloads
from collector.dialects.hidden import is_hidden
from collector.dialects.reading import parse_json
from collector.dialects.span import UNREADABLE

_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
_MODALITIES = {
    "image": "image",
    "image_url": "image",
    "image-url": "image",
    "input_image": "image",
    "audio": "audio",
    "audio_url": "audio",
    "audio-url": "audio",
    "input_audio": "audio",
    "video": "video",
    "video_url": "video",
    "video-url": "video",
    "document": "document",
    "document-url": "document",
    "file": None,
    "input_file": None,
    "binary": None,
    "media": None,
    "blob": None,
    "uri": None,
}
_FOLDERS = ("source", "image_url", "input_audio", "audio", "file", "image", "video", "document", "video_url", "data")
_URIS = ("url", "uri", "image_url", "file_url", "file_uri", "fileUri")
_PAYLOADS = ("data", "base64", "file_data", "content", "bytes", "image")
_REMOTE = ("https://", "http://", "s3://", "gs://")
_FILES = ("file_id", "fileId", "id")
# What else such a part may say about what it holds; the words of a recording stay beside it and are not judged.
_DESCRIPTIONS = ("transcript", "filename", "title")
_MIME_TYPES = ("mime_type", "media_type", "mimeType", "mediaType")
# Gemini and Bedrock name the kind of a part by the member that holds it.
_NAMELESS_MEDIA = ("inline_data", "inlineData", "file_data", "fileData", "image", "video", "document", "audio")


# With which hidden text and references to files begin; checked first, for nearly no text does.
_BEGINNINGS = ("_", "<", "[", "*", "redacted-by-", "@@@", "data:", "DATA:", "Data:")
_UNUSUAL = frozenset(beginning[0] for beginning in _BEGINNINGS)


MAX_PARTS = 10_000
"""A message of more parts is kept, unread."""


def text_part(text: str) -> dict[str, Any]:
    """Return a text part; a mark that stands for hidden text becomes a ``redacted`` part, a data URI a blob."""
    if text.startswith(_BEGINNINGS):
        if is_hidden(text):
            return {"type": "redacted"}
        if is_reference(text):
            return reference_part(text, None)
    return {"type": "text", "content": text}


def read_parts(value: Any) -> list[dict[str, Any]]:
    """Return the parts in the content of a message: text, one part or a list of either."""
    if isinstance(value, list):
        if len(value) > MAX_PARTS:
            return [{"type": UNREADABLE, "content": value}]
        return [
            (one if is_plain_text(one) else read_part(one)) if isinstance(one, dict) else text_part(str(one))
            for one in value
            if one is not None
        ]
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [text_part(value)]
    return [read_part(value) if isinstance(value, dict) else text_part(str(value))]


def is_plain_text(part: dict[str, Any]) -> bool:
    """Return whether a part is text in our own shape already, as nearly all are that clients send."""
    if len(part) != len(("type", "content")) or part.get("type") != "text":
        return False
    text = part.get("content")
    return isinstance(text, str) and text[:1] not in _UNUSUAL


def read_part(part: dict[str, Any]) -> dict[str, Any]:
    """Return one part of any schema; an unknown type is kept whole."""
    kind = part.get("type")
    if kind == "text" and isinstance(text := part.get("content"), str):
        return text_part(text)
    if kind is None:
        return _nameless(part)
    # The mark of unreadable content is ours to set: whoever could send it could keep a message from being judged.
    if not isinstance(kind, str) or kind == UNREADABLE:
        return {**without_payloads(part), "type": "generic"}
    if kind in _TEXT_TYPES:
        return _text(part)
    reader = _READERS.get(kind)
    if reader is not None:
        return reader(part)
    if kind in _MODALITIES:
        return _media(part, kind)
    kept: dict[str, Any] = without_payloads(part)
    return kept


def is_part_type(kind: Any) -> bool:
    """Return whether ``kind`` is a type of part that is known here."""
    return isinstance(kind, str) and (kind in _TEXT_TYPES or kind in _READERS or kind in _MODALITIES)


def tool_call_part(call: dict[str, Any]) -> dict[str, Any]:
    """Return a tool call of OpenAI's or LangChain's shape; arguments written as JSON are parsed."""
    function = call.get("function", call.get("custom"))
    named = function if isinstance(function, dict) else call
    arguments = named.get("arguments", named.get("args", named.get("input")))
    identifier = call.get("call_id", call.get("id", call.get("tool_call_id")))
    return {"type": "tool_call", "id": identifier, "name": named.get("name"), "arguments": parse_json(arguments)}


def _text(part: dict[str, Any]) -> dict[str, Any]:
    text = part.get("content", part.get("text"))
    if isinstance(text, dict):
        text = text.get("value")
    if isinstance(text, str):
        return text_part(text)
    # A text part whose text was left out, as clients send that capture no content.
    return {"type": "redacted"} if len(part) == 1 else {**without_payloads(part), "type": "generic"}


def _refusal(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "refusal", "content": str(part.get("content", part.get("refusal", "")))}


def _tool_call(part: dict[str, Any]) -> dict[str, Any]:
    """Return a tool call of the conventions, and one with LangChain's ``args``, with its arguments parsed."""
    if "args" in part or "function" in part:
        return tool_call_part(part)
    arguments = part.get("arguments")
    return {**part, "arguments": parse_json(arguments)} if isinstance(arguments, str) else part


def _tool_use(part: dict[str, Any]) -> dict[str, Any]:
    identifier = part.get("id", part.get("toolUseId"))
    return {"type": "tool_call", "id": identifier, "name": part.get("name"), "arguments": part.get("input")}


def _tool_answer(part: dict[str, Any]) -> dict[str, Any]:
    """Return a tool's answer under ``response``, whatever it was called, without large payloads."""
    answer: dict[str, Any] = {"type": "tool_call_response"}
    identifier = next((part[name] for name in ("id", "tool_use_id", "call_id", "toolUseId") if name in part), None)
    answer["id"] = identifier
    if "name" in part:
        answer["name"] = part["name"]
    response = next((part[name] for name in ("response", "result", "output", "content") if name in part), None)
    if isinstance(response, list) and all(isinstance(one, dict) and "type" in one for one in response):
        response = read_parts(response)
    answer["response"] = without_payloads(response)
    return answer


def _sdk_tool_call(part: dict[str, Any]) -> dict[str, Any]:
    """Return a tool call as the Vercel AI SDK writes it."""
    arguments = parse_json(part.get("input", part.get("args")))
    return {
        "type": "tool_call",
        "id": part.get("toolCallId"),
        "name": part.get("toolName"),
        "arguments": arguments,
    }


def _sdk_tool_answer(part: dict[str, Any]) -> dict[str, Any]:
    """Return a tool's answer as the Vercel AI SDK writes it: a value, with its type around it since version 5."""
    output = part.get("output", part.get("result"))
    if isinstance(output, dict) and "type" in output and "value" in output:
        output = output["value"]
    answer = {"type": "tool_call_response", "id": part.get("toolCallId"), "response": without_payloads(output)}
    return {**answer, "name": part["toolName"]} if isinstance(part.get("toolName"), str) else answer


def _reasoning(part: dict[str, Any]) -> dict[str, Any]:
    content = next((part[name] for name in ("content", "thinking", "reasoning", "text") if part.get(name)), None)
    if content is None and isinstance(part.get("summary"), list):
        texts = [one.get("text") for one in part["summary"] if isinstance(one, dict)]
        content = "\n".join(text for text in texts if isinstance(text, str))
    return {"type": "reasoning", "content": content} if isinstance(content, str) else {**part, "type": "reasoning"}


def _media(part: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return what a part with a picture, sound, film or file refers to; without any reference, the part as it is."""
    fields = dict(part)
    for folder in _FOLDERS:
        below = part.get(folder)
        if isinstance(below, dict):
            fields.update(below)
            if isinstance(below.get("source"), dict):
                fields.update(below["source"])
    read = _reference(fields, part, kind)
    if read is None:
        return {**without_payloads(part), "type": kind}
    read.update({name: fields[name] for name in _DESCRIPTIONS if isinstance(fields.get(name), str)})
    return read


def _reference(fields: dict[str, Any], part: dict[str, Any], kind: str) -> dict[str, Any] | None:
    mime_type = _first(fields, _MIME_TYPES)
    said = part.get("modality")
    modality = said if isinstance(said, str) and said else _MODALITIES[kind] or modality_of(mime_type)
    if (uri := _first(fields, _URIS)) is not None:
        return reference_part(uri, modality, mime_type)
    payload = next((fields[name] for name in _PAYLOADS if isinstance(fields.get(name), str | bytes)), None)
    if payload:
        mime_type = mime_type or _format_of(fields, modality)
        if isinstance(payload, str) and (is_reference(payload) or payload.startswith(_REMOTE)):
            return reference_part(payload, modality, mime_type)
        return blob_part(payload, modality, mime_type)
    if (file_id := _first(fields, _FILES)) is not None:
        return file_part(file_id, modality, mime_type)
    return None


def _format_of(fields: dict[str, Any], modality: str) -> str | None:
    written = fields.get("format")
    return (
        f"{modality}/{written}" if isinstance(written, str) and written.isalnum() and modality != "document" else None
    )


def _first(fields: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if isinstance(value := fields.get(name), str) and value), None)


def _nameless(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part without a type, as Gemini and Bedrock write them."""
    text = part.get("text")
    if isinstance(text, str):
        return {"type": "reasoning", "content": text} if part.get("thought") is True else text_part(text)
    for name in _NAMELESS_MEDIA:
        if isinstance(part.get(name), dict):
            return _media({"source": part[name]}, name if name in _MODALITIES else "media")
    for name, reader in _NAMELESS.items():
        if isinstance(part.get(name), dict):
            return reader(part[name])
    return {**without_payloads(part), "type": "generic"}


_READERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "refusal": _refusal,
    "tool_call": _tool_call,
    "function_call": tool_call_part,
    "tool_use": _tool_use,
    "tool_result": _tool_answer,
    "tool_call_response": _tool_answer,
    "function_call_output": _tool_answer,
    "tool-call": _sdk_tool_call,
    "tool-result": _sdk_tool_answer,
    "thinking": _reasoning,
    "reasoning": _reasoning,
}
_NAMELESS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "function_call": tool_call_part,
    "functionCall": tool_call_part,
    "function_response": _tool_answer,
    "functionResponse": _tool_answer,
    "toolUse": _tool_use,
    "toolResult": _tool_answer,
}
