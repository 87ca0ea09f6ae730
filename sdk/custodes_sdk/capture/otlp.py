"""Captured calls to OTLP/JSON, written without any OpenTelemetry package: inference servers pin their own."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from custodes_sdk.capture.reading import read_call, request_header
from custodes_sdk.capture.record import BoundedBytes, CallRecord

CONTENT_TYPE = "application/json"
PATH = "/v1/traces"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_SERVER, _CLIENT = 2, 3
_ERROR = 2


@dataclass(frozen=True, slots=True)
class Origin:
    """Who captures: what every span of a process says about itself.

    ``is_server`` tells spans of the inference server itself from spans of a proxy in front of it.
    """

    service: str
    deployment: str | None = None
    environment: str | None = None
    provider: str = ""
    is_server: bool = False
    capture_text: bool = True


def encode_calls(records: Sequence[CallRecord], origin: Origin) -> bytes:
    """Return an ``ExportTraceServiceRequest`` as JSON with one span per call."""
    resource = {
        "service.name": origin.service,
        "custodes.deployment": origin.deployment,
        "deployment.environment.name": origin.environment,
        "telemetry.sdk.name": "custodes-sdk",
        "telemetry.sdk.language": "python",
    }
    spans = [_to_span(record, origin) for record in records]
    request = {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({name: one for name, one in resource.items() if one})},
                "scopeSpans": [{"scope": {"name": "custodes_sdk.capture"}, "spans": spans}],
            }
        ]
    }
    # Halves of surrogate pairs, which JSON escapes can carry, have no UTF-8; escaped they pass.
    return json.dumps(request, separators=(",", ":")).encode()


def call_to_span(record: CallRecord, origin: Origin) -> dict[str, Any]:
    """Return one call as a span; it joins the trace of a valid ``traceparent`` header."""
    call = read_call(record, capture_text=origin.capture_text)
    attributes = dict(call.attributes)
    if origin.provider:
        attributes["gen_ai.provider.name"] = origin.provider
    trace_id, parent = _parent(record)
    span: dict[str, Any] = {
        "traceId": trace_id,
        "spanId": secrets.token_hex(8),
        "name": f"{call.operation} {call.model}".strip()[:256],
        "kind": _SERVER if origin.is_server else _CLIENT,
        "startTimeUnixNano": str(record.start_ns),
        "endTimeUnixNano": str(record.end_ns),
        "attributes": _attributes(attributes),
        "droppedAttributesCount": call.dropped,
        "status": {"code": _ERROR, "message": call.error_message} if call.error else {},
    }
    if parent is not None:
        span["parentSpanId"] = parent
    return span


def _to_span(record: CallRecord, origin: Origin) -> dict[str, Any]:
    """Return one call as a span, without its bodies when these cannot be written: the other calls go on."""
    try:
        return call_to_span(record, origin)
    except (RecursionError, ValueError, TypeError):
        record.request = record.response = BoundedBytes(0, overflowed=True)
        return call_to_span(record, origin)


def _parent(record: CallRecord) -> tuple[str, str | None]:
    """Return the trace to join and the span to stand below; a fresh trace without a usable header."""
    found = _TRACEPARENT.fullmatch(request_header(record, "traceparent"))
    if found is not None:
        trace_id, span_id = found.groups()
        if trace_id.strip("0") and span_id.strip("0"):
            return trace_id, span_id
    return secrets.token_hex(16), None


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if -(1 << 63) <= value < 1 << 63 else {"stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": str(value)}
