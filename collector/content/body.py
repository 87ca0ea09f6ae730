"""What of a span has no column of its own, as one JSON object."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from collector.dialects.span import NormalSpan

_DEEPEST = 96


def content_to_json(span: NormalSpan) -> bytes:
    """Return ``input_messages``, ``output_messages``, ``retrieved_documents``, ``attributes``, ``status_message``
    and, where there are any, ``events`` of a span as a JSON object.

    Never fails: halves of surrogate pairs become U+FFFD, integers beyond 64 bits texts, bytes ``{"base64": …}``,
    NaN and Infinity null, and what is nested deeper than 96 levels null.
    """
    content: dict[str, Any] = {
        "input_messages": span.input_messages,
        "output_messages": span.output_messages,
        "retrieved_documents": span.retrieved_documents,
        "attributes": span.attributes,
        "status_message": span.status_message,
    }
    if span.events:
        content["events"] = span.events
    return to_json(content)


def to_json(content: dict[str, Any]) -> bytes:
    """Return any decoded object as JSON, with what JSON cannot say written as :func:`content_to_json` says."""
    try:
        return orjson.dumps(content, default=_bytes_to_json)
    except TypeError:
        # Rare: integers beyond 64 bits, halves of surrogate pairs or nesting beyond what JSON writers take.
        return orjson.dumps(_to_writable(content, _DEEPEST), default=_bytes_to_json)


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
