"""Hand-made OTLP requests in both encodings."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.otlp.body import Encoding
from collector.otlp.decode import decode_request
from collector.otlp.spans import DecodedRequest
from custodes.kernel.settings import IngestSettings

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"


def to_json_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _named(value)}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return {"arrayValue": {"values": [to_json_value(one) for one in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": to_json_value(one)} for key, one in value.items()]}}
    return {} if value is None else {"stringValue": value}


def _named(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def fill_value(target: AnyValue, value: Any) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for one in value:
            fill_value(target.array_value.values.add(), one)
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        for key, one in value.items():
            fill_value(target.kvlist_value.values.add(key=key).value, one)
    elif value is not None:
        target.string_value = value


def to_protobuf(spans: list[dict[str, Any]], resource: dict[str, Any]) -> bytes:
    request = ExportTraceServiceRequest()
    block = request.resource_spans.add()
    for key, value in resource.items():
        fill_value(block.resource.attributes.add(key=key).value, value)
    scope = block.scope_spans.add()
    scope.scope.name = "test"
    for one in spans:
        span = scope.spans.add(
            trace_id=bytes.fromhex(one["trace_id"]),
            span_id=bytes.fromhex(one["span_id"]),
            parent_span_id=bytes.fromhex(one["parent_span_id"]),
            name=one["name"],
            kind=one["kind"],
            start_time_unix_nano=one["start_ns"],
            end_time_unix_nano=one["end_ns"],
            dropped_attributes_count=one["dropped_attributes"],
            dropped_events_count=one["dropped_events"],
        )
        for key, value in one["attributes"].items():
            fill_value(span.attributes.add(key=key).value, value)
        for name, time_ns, dropped in one["events"]:
            span.events.add(name=name, time_unix_nano=time_ns, dropped_attributes_count=dropped)
    return request.SerializeToString()


def to_json(spans: list[dict[str, Any]], resource: dict[str, Any]) -> bytes:
    def pairs(values: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"key": key, "value": to_json_value(value)} for key, value in values.items()]

    listed = [
        {
            "traceId": one["trace_id"],
            "spanId": one["span_id"],
            "parentSpanId": one["parent_span_id"],
            "name": one["name"],
            "kind": one["kind"],
            "startTimeUnixNano": str(one["start_ns"]),
            "endTimeUnixNano": str(one["end_ns"]),
            "droppedAttributesCount": one["dropped_attributes"],
            "droppedEventsCount": one["dropped_events"],
            "attributes": pairs(one["attributes"]),
            "events": [
                {"name": name, "timeUnixNano": str(time_ns), "droppedAttributesCount": dropped}
                for name, time_ns, dropped in one["events"]
            ],
        }
        for one in spans
    ]
    scopes = [{"scope": {"name": "test"}, "spans": listed}]
    return orjson.dumps({"resourceSpans": [{"resource": {"attributes": pairs(resource)}, "scopeSpans": scopes}]})


@pytest.fixture
def span_fields(now_ns: int) -> Callable[..., dict[str, Any]]:
    """Make the fields of one span; any can be given."""

    def make(**fields: Any) -> dict[str, Any]:
        return {
            "trace_id": TRACE_ID,
            "span_id": SPAN_ID,
            "parent_span_id": "",
            "name": "chat",
            "kind": 3,
            "start_ns": now_ns - 2_000_000_000,
            "end_ns": now_ns - 1_000_000_000,
            "dropped_attributes": 0,
            "dropped_events": 0,
            "attributes": {},
            "events": [],
            **fields,
        }

    return make


@pytest.fixture(params=list(Encoding), ids=lambda one: one.name.lower())
def encoding(request: pytest.FixtureRequest) -> Encoding:
    """Each encoding in turn."""
    chosen: Encoding = request.param
    return chosen


@pytest.fixture
def decode(encoding: Encoding, now_ns: int) -> Callable[..., DecodedRequest]:
    """Write spans in the encoding under test and decode them again; keyword arguments are settings."""

    def run(spans: list[dict[str, Any]], resource: dict[str, Any] | None = None, **settings: Any) -> DecodedRequest:
        write = to_json if encoding is Encoding.JSON else to_protobuf
        body = write(spans, {"service.name": "bot"} if resource is None else resource)
        return decode_request(body, encoding, IngestSettings(**settings), now_ns)

    return run
