"""Messages of the OpenAI APIs as messages of the OpenTelemetry GenAI schema: ``{"role", "parts": [{"type", …}]}``.

Images, sound and files stay as references: an address as ``uri``, inline bytes as ``blob`` with their kind and size
but without the bytes. Nothing is dropped silently, and nothing here raises: a value of an unknown shape becomes a
``generic`` part.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

_TEXT = frozenset({"text", "input_text", "output_text", "summary_text"})
_MEDIA = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "video",
    "file": "document",
    "input_file": "document",
}

Part = dict[str, Any]
Message = dict[str, Any]


def text_part(text: str) -> Part:
    """Return a text part."""
    return {"type": "text", "content": text}


def read_chat_message(message: object, role: str) -> Message:
    """Return one chat message; ``role`` is whose it is when it does not say."""
    if not isinstance(message, dict):
        return {"role": role, "parts": read_content(message)}
    own = message.get("role")
    parts: list[Part] = []
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name]:
            parts.append({"type": "reasoning", "content": message[name]})
            break
    parts += read_content(message.get("content"))
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        parts.append({"type": "refusal", "content": message["refusal"]})
    calls = message.get("tool_calls")
    parts += [read_tool_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if isinstance(message.get("function_call"), dict):
        parts.append(read_tool_call(message["function_call"]))
    if message.get("tool_call_id") is not None:
        answer = parts[0]["content"] if len(parts) == 1 and parts[0]["type"] == "text" else parts
        parts = [{"type": "tool_call_response", "id": message["tool_call_id"], "response": answer}]
    found: Message = {"role": own if isinstance(own, str) and own else role, "parts": parts}
    if isinstance(message.get("name"), str):
        found["name"] = message["name"]
    return found


def read_content(content: object) -> list[Part]:
    """Return the parts of a message's content: text, or a list of parts."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [text_part(content)]
    if isinstance(content, list):
        return [_part(one) for one in content if one is not None]
    return [_part(content)]


def read_tool_call(call: dict[str, Any]) -> Part:
    """Return a tool call in either shape: with a ``function`` inside, or flat."""
    function = call.get("function")
    named = function if isinstance(function, dict) else call
    arguments = named.get("arguments")
    if isinstance(arguments, str):
        # A streamed call that was cut off has half a JSON text; it is kept as it is.
        with contextlib.suppress(ValueError):
            arguments = json.loads(arguments)
    return {
        "type": "tool_call",
        "id": call.get("id", call.get("call_id")),
        "name": named.get("name"),
        "arguments": arguments,
    }


def read_responses_input(value: object) -> list[Message]:
    """Return the messages of a Responses API ``input``: text, or a list of messages and tool results."""
    if isinstance(value, str):
        return [{"role": "user", "parts": [text_part(value)]}] if value else []
    if not isinstance(value, list):
        return []
    return [_responses_message(one, "user") for one in value]


def read_responses_output(value: object) -> list[Message]:
    """Return the output of the Responses API as one assistant message; empty when there is none."""
    if not isinstance(value, list):
        return []
    parts = [part for one in value for part in _responses_message(one, "assistant")["parts"]]
    return [{"role": "assistant", "parts": parts}] if parts else []


def _responses_message(value: object, role: str) -> Message:
    if not isinstance(value, dict):
        return {"role": role, "parts": read_content(value)}
    kind = value.get("type", "message")
    if kind == "function_call":
        return {"role": "assistant", "parts": [read_tool_call({**value, "id": value.get("call_id", value.get("id"))})]}
    if kind == "function_call_output":
        part = {"type": "tool_call_response", "id": value.get("call_id"), "response": value.get("output")}
        return {"role": "tool", "parts": [part]}
    if kind == "reasoning":
        texts = [one.get("text", "") for one in value.get("summary") or () if isinstance(one, dict)]
        return {"role": "assistant", "parts": [{"type": "reasoning", "content": text} for text in texts if text]}
    if kind == "message":
        return read_chat_message(value, role)
    return {"role": role, "parts": [_part(value)]}


def _part(part: object) -> Part:
    if isinstance(part, str):
        return text_part(part)
    if not isinstance(part, dict):
        return {"type": "generic", "content": part}
    kind = part.get("type")
    if isinstance(part.get("text"), str) and (kind in _TEXT or kind is None):
        return text_part(part["text"])
    if kind == "refusal":
        return {"type": "refusal", "content": str(part.get("refusal", ""))}
    if kind in _MEDIA:
        return _media(part, _MEDIA[kind])
    return {**part, "type": "generic", "kind": kind}


def _media(part: Part, modality: str) -> Part:
    """Return a reference to what is no text; bytes that travel inside the request are measured and left out."""
    inner = part.get(str(part["type"]), part)
    source = inner if isinstance(inner, str) else None
    if isinstance(inner, dict):
        source = next(
            (inner[name] for name in ("url", "image_url", "file_data", "data") if isinstance(inner.get(name), str)),
            None,
        )
        if source is None:
            return {"type": "file", "modality": modality, "file_id": inner.get("file_id")}
    if source is None:
        return {"type": "generic", "modality": modality}
    if source.startswith(("http://", "https://")):
        return {"type": "uri", "modality": modality, "uri": source}
    media_type = source[5:].partition(";")[0] if source.startswith("data:") else None
    return {"type": "blob", "modality": modality, "mime_type": media_type, "encoded_bytes": len(source)}
