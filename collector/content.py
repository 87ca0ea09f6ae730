"""The stored form of a span's content: JSON, compressed when that pays.

``codec`` says how the bytes are written, so that later codecs (dictionaries, encryption) can stand beside
the rows that exist: 0 is JSON, 1 is zlib-compressed JSON.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import orjson

from collector.dialects.span import NormalSpan
from custodes.kernel.errors import MalformedError

JSON, ZLIB = 0, 1
_COMPRESS_ABOVE_BYTES = 512
# Level 1 is three times faster than the default here and stores about a tenth more.
_LEVEL = 1
_DEEPEST = 96


def encode_content(span: NormalSpan) -> tuple[int, bytes]:
    """Return codec and bytes of everything of a span that has no column of its own."""
    content: dict[str, Any] = {
        "input_messages": span.input_messages,
        "output_messages": span.output_messages,
        "retrieved_documents": span.retrieved_documents,
        "attributes": span.attributes,
        "status_message": span.status_message,
    }
    if span.events:
        content["events"] = span.events
    try:
        body = orjson.dumps(content, default=_bytes_to_json)
    except TypeError:
        # Rare: integers beyond 64 bits, halves of surrogate pairs or nesting beyond what JSON writers take.
        body = orjson.dumps(_to_writable(content, _DEEPEST), default=_bytes_to_json)
    if len(body) > _COMPRESS_ABOVE_BYTES:
        return ZLIB, zlib.compress(body, _LEVEL)
    return JSON, body


def decode_content(codec: int, body: bytes) -> dict[str, Any]:
    """Return the content object: ``input_messages``, ``output_messages``, ``retrieved_documents``,
    ``attributes``, ``status_message`` and, where there were any, ``events``.

    Raises ``MalformedError`` for a codec this release doesn't know and for bytes that don't decode.
    """
    try:
        if codec == ZLIB:
            body = zlib.decompress(body)
        elif codec != JSON:
            raise MalformedError(f"stored content has codec {codec}, which this release cannot read; upgrade Custodes")
        content = orjson.loads(body)
    except (zlib.error, orjson.JSONDecodeError) as error:
        raise MalformedError(f"stored content with codec {codec} does not decode; the row is damaged") from error
    if not isinstance(content, dict):
        raise MalformedError(f"stored content is a {type(content).__name__}, not an object; the row is damaged")
    return content


def _bytes_to_json(value: object) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"content cannot hold a {type(value).__name__}")


def _to_writable(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 63:
        return str(value)
    if levels == 0 and isinstance(value, dict | list):
        return None
    if isinstance(value, dict):
        return {_to_writable(str(key), 0): _to_writable(one, levels - 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_to_writable(one, levels - 1) for one in value]
    return value
