"""OTLP/JSON to raw spans, straight into the same builder as protobuf.

``json_format`` is not used: it is fifty times slower and reads ids as base64. Here ids may be hex of either
case or base64, 64-bit integers may be numbers or strings, enumerations numbers or names; unknown fields are
ignored and ``null`` means absent, as in the proto3 JSON mapping.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from collector.otlp.builder import RequestBuilder, SpanRefused
from collector.otlp.loose_json import NestedTooDeepError, loads_loosely
from collector.otlp.spans import Attributes, DecodedRequest, RawEvent, Value
from custodes.kernel.errors import MalformedError
from custodes.kernel.settings import IngestSettings

_HEX = re.compile(r"[0-9a-fA-F]*")
_KINDS = {
    "SPAN_KIND_UNSPECIFIED": 0,
    "SPAN_KIND_INTERNAL": 1,
    "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": 3,
    "SPAN_KIND_PRODUCER": 4,
    "SPAN_KIND_CONSUMER": 5,
}
_STATUSES = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_INT64 = 1 << 63
_DOUBLES = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def decode_json(body: bytes, settings: IngestSettings, now_ns: int) -> DecodedRequest:
    """Return the spans of an ``ExportTraceServiceRequest`` in JSON.

    Raises ``MalformedError`` when the bytes are no JSON object of that shape down to the lists of spans,
    and ``TooLargeError`` when there are more spans than a request may hold. A span that is broken inside
    is refused alone.
    """
    builder = RequestBuilder(settings, now_ns)
    for resource_spans in _objects(_parse(body), "resourceSpans"):
        resource_block = resource_spans.get("resource")
        resource = _read_resource(builder, resource_block if isinstance(resource_block, dict) else {})
        for scope_spans in _objects(resource_spans, "scopeSpans"):
            scope_block = scope_spans.get("scope")
            name = scope_block.get("name") if isinstance(scope_block, dict) else ""
            scope = name if isinstance(name, str) else ""
            for span in _list(scope_spans, "spans"):
                builder.count_span()
                try:
                    _add_span(builder, resource, scope, span)
                except SpanRefused as refusal:
                    builder.refuse(resource, refusal.reason)
    return builder.build()


def _parse(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        document = loads_loosely(body)
    except NestedTooDeepError as error:
        raise MalformedError(
            "the body nests lists and objects deeper than can be read, about a thousand levels; send flatter values"
        ) from error
    except ValueError as error:
        raise MalformedError(
            "the body is not valid JSON; check the exporter's protocol, and that Content-Type says "
            "application/json only for JSON"
        ) from error
    if not isinstance(document, dict):
        raise MalformedError("the body is JSON but not an object; send an OTLP ExportTraceServiceRequest")
    return document


def _list(holder: dict[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedError(f"{key!r} must be a list, not {type(value).__name__}; see the OTLP/JSON encoding")
    return value


def _objects(holder: dict[str, Any], key: str) -> list[dict[str, Any]]:
    values = _list(holder, key)
    for value in values:
        if not isinstance(value, dict):
            raise MalformedError(f"{key!r} must hold objects, not {type(value).__name__}; see the OTLP/JSON encoding")
    return values


def _add_span(builder: RequestBuilder, resource: Attributes, scope: str, span: Any) -> None:
    if not isinstance(span, dict):
        raise SpanRefused("malformed_span")
    status = span.get("status")
    status = status if isinstance(status, dict) else {}
    builder.add(
        resource=resource,
        scope=scope,
        trace_id=_read_id(span.get("traceId"), 16),
        span_id=_read_id(span.get("spanId"), 8),
        parent_span_id=_read_id(span.get("parentSpanId"), 8),
        name=_read_text(builder, span.get("name")),
        kind=_read_enum(span.get("kind"), _KINDS),
        start_ns=_read_int(span.get("startTimeUnixNano")),
        end_ns=_read_int(span.get("endTimeUnixNano")),
        status=_read_enum(status.get("code"), _STATUSES),
        status_message=_read_text(builder, status.get("message")),
        attributes=_read_attributes(builder, span.get("attributes")),
        events=_read_events(builder, span.get("events")),
        dropped_attributes=_read_int(span.get("droppedAttributesCount")),
    )


def _read_id(value: object, size: int) -> str:
    """Return an id as lower-case hex; any other length than ``2 * size`` tells the builder it is unusable."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SpanRefused("malformed_span")
    if len(value) == 2 * size and _HEX.fullmatch(value):
        return value.lower()
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return decoded.hex() if len(decoded) == size else ""


def _read_int(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, bool):
        raise SpanRefused("malformed_span")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and len(value) <= 20:
        try:
            value = int(value, 10)
        except ValueError as error:
            raise SpanRefused("malformed_span") from error
    if isinstance(value, int) and -_INT64 <= value < 2 * _INT64:
        return value
    raise SpanRefused("malformed_span")


def _read_double(value: object) -> float:
    if isinstance(value, str):
        if value in _DOUBLES:
            return _DOUBLES[value]
        try:
            return float(value)
        except ValueError as error:
            raise SpanRefused("malformed_span") from error
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise SpanRefused("malformed_span") from error
    raise SpanRefused("malformed_span")


def _read_enum(value: object, names: dict[str, int]) -> int:
    if isinstance(value, str) and value in names:
        return names[value]
    return _read_int(value)


def _read_text(builder: RequestBuilder, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SpanRefused("malformed_span")
    return builder.check_text(value)


def _read_resource(builder: RequestBuilder, block: dict[str, Any]) -> Attributes:
    """Return what can be read of a resource: a broken or oversized value is left out, its spans are not at fault."""
    pairs = block.get("attributes")
    resource: Attributes = {}
    for pair in pairs[: builder.max_attributes] if isinstance(pairs, list) else []:
        try:
            key, value = _read_pair(builder, pair, 1)
        except SpanRefused:
            continue
        resource[key] = value
    return resource


def _read_attributes(builder: RequestBuilder, pairs: object) -> Attributes:
    listed = _elements(pairs)
    builder.check_count(len(listed), "too_many_attributes")
    return dict(_read_pair(builder, pair, 1) for pair in listed)


def _read_events(builder: RequestBuilder, events: object) -> list[RawEvent]:
    listed = _elements(events)
    builder.check_count(len(listed), "too_many_events")
    return [_read_event(builder, event) for event in listed]


def _read_event(builder: RequestBuilder, event: object) -> RawEvent:
    if not isinstance(event, dict):
        raise SpanRefused("malformed_span")
    name, time_ns = _read_text(builder, event.get("name")), _read_int(event.get("timeUnixNano"))
    return RawEvent(name, time_ns, _read_attributes(builder, event.get("attributes")))


def _elements(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise SpanRefused("malformed_span")
    return value


def _read_pair(builder: RequestBuilder, pair: object, depth: int) -> tuple[str, Value]:
    if not isinstance(pair, dict):
        raise SpanRefused("malformed_span")
    key = pair.get("key", "")
    if not isinstance(key, str):
        raise SpanRefused("malformed_span")
    return key, _read_value(builder, pair.get("value"), depth)


def _read_value(builder: RequestBuilder, value: object, depth: int) -> Value:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise SpanRefused("malformed_span")
    for kind, content in value.items():
        if kind in _KINDS_OF_VALUE and content is not None:
            return _KINDS_OF_VALUE[kind](builder, content, depth)
    return None


def _read_string(builder: RequestBuilder, content: object, depth: int) -> Value:
    text = _read_text(builder, content)
    if depth > 1:
        builder.add_nested(len(text))
    return text


def _read_int64(builder: RequestBuilder, content: object, depth: int) -> Value:
    number = _read_int(content)
    if number >= _INT64:
        raise SpanRefused("malformed_span")
    return number


def _read_bool(builder: RequestBuilder, content: object, depth: int) -> Value:
    if not isinstance(content, bool):
        raise SpanRefused("malformed_span")
    return content


def _read_bytes(builder: RequestBuilder, content: object, depth: int) -> Value:
    if not isinstance(content, str):
        raise SpanRefused("malformed_span")
    try:
        data = builder.check_bytes(base64.b64decode(content, validate=True))
    except (binascii.Error, ValueError) as error:
        raise SpanRefused("malformed_span") from error
    if depth > 1:
        builder.add_nested(len(data))
    return data


def _read_array(builder: RequestBuilder, content: object, depth: int) -> Value:
    values = _values(content)
    builder.open_nested(depth, len(values))
    return [_read_value(builder, one, depth + 1) for one in values]


def _read_kvlist(builder: RequestBuilder, content: object, depth: int) -> Value:
    pairs = _values(content)
    builder.open_nested(depth, len(pairs))
    return dict(_read_pair(builder, pair, depth + 1) for pair in pairs)


def _values(content: object) -> list[Any]:
    if not isinstance(content, dict):
        raise SpanRefused("malformed_span")
    return _elements(content.get("values"))


_KINDS_OF_VALUE: dict[str, Callable[[RequestBuilder, object, int], Value]] = {
    "stringValue": _read_string,
    "intValue": _read_int64,
    "doubleValue": lambda _builder, content, _depth: _read_double(content),
    "boolValue": _read_bool,
    "bytesValue": _read_bytes,
    "arrayValue": _read_array,
    "kvlistValue": _read_kvlist,
}
