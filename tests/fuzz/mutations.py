"""Structured mutations of recorded requests: still OTLP mostly, but with everything in the wrong place.

A mutated body mixes what real clients sent: attributes wander between spans and dialects, values change type, JSON
inside attributes is cut, nested and encoded again, ids and times take their worst values. Logs and metrics are bent the
same way. Some bodies are then damaged byte by byte, or compressed wrongly; a few hold megabytes. Everything follows
from one seed.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_MAX_BODY, _LARGEST_BODY = 64 * 1024, 4 * 1024 * 1024
_LARGE = 0.01
_HOLDERS: dict[str, type[Message]] = {"/v1/logs": ExportLogsServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}


@dataclass(frozen=True, slots=True)
class Case:
    """One request as a client would send it."""

    path: str
    body: bytes
    content_type: str
    content_encoding: str | None


class Mutator:
    """Makes cases from the recorded bodies of a folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._rng = random.Random(seed)
        self._signals: list[tuple[str, bytes]] = []
        self._traces: list[ExportTraceServiceRequest] = []
        for path in sorted(folder.glob("*.bin")):
            body = path.read_bytes()
            body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            if path.stem.endswith("-logs"):
                self._signals.append(("/v1/logs", body))
            elif path.stem.endswith("-metrics"):
                self._signals.append(("/v1/metrics", body))
            elif body[:1] == b"{":
                self._traces.append(_from_json(json.loads(body)))
            else:
                self._traces.append(ExportTraceServiceRequest.FromString(body))
        spans = [span for request in self._traces for span in _spans(request)]
        self._pairs = [pair for span in spans for pair in span.attributes]
        self._keys = sorted({pair.key for pair in self._pairs})
        self._events = [event for span in spans for event in span.events]
        self._scopes = sorted({s.scope.name for r in self._traces for g in r.resource_spans for s in g.scope_spans})

    def next_case(self) -> Case:
        """Return the next case."""
        rng = self._rng
        if rng.random() < 0.08:
            return self._next_signal()
        request = ExportTraceServiceRequest()
        request.CopyFrom(rng.choice(self._traces))
        if rng.random() < 0.6:
            _renew(request, rng)
        for _ in range(rng.randint(1, 8)):
            self._edit(request)
        if rng.random() < _LARGE:
            self._enlarge(request)
        if rng.random() < 0.3:
            text = json.dumps(self._bend(_to_json(request)), allow_nan=True).encode()
            return self._pack("/v1/traces", self._damage(text), JSON)
        return self._pack("/v1/traces", self._damage(request.SerializeToString()), PROTOBUF)

    def _next_signal(self) -> Case:
        """Return a request of logs or metrics, bent in its structure or damaged in its bytes."""
        rng = self._rng
        path, body = rng.choice(self._signals)
        request = _HOLDERS[path]()
        request.ParseFromString(body)
        for _ in range(rng.randint(0, 4)):
            pairs = _pairs_in(request)
            if pairs:
                pair = rng.choice(pairs)
                pair.value.CopyFrom(self._value(0))
                if rng.random() < 0.2:
                    pair.key = rng.choice(self._keys)
        if rng.random() < 0.5:
            text = json.dumps(self._bend(json_format.MessageToDict(request)), allow_nan=True).encode()
            return self._pack(path, self._damage(text), JSON)
        return self._pack(path, self._damage(request.SerializeToString(), always=rng.random() < 0.5), PROTOBUF)

    def _enlarge(self, request: ExportTraceServiceRequest) -> None:
        """Make a request large: by many spans, by many attributes, or by long texts."""
        rng = self._rng
        spans = list(_spans(request))
        if not spans:
            return
        span, way, times = rng.choice(spans), rng.randrange(3), rng.choice([10, 100, 1_000])
        if way == 0:
            for _ in range(times):
                copy = request.resource_spans[0].scope_spans.add().spans.add()
                copy.CopyFrom(span)
                copy.span_id = rng.randbytes(8)
        elif way == 1:
            for number in range(times):
                pair = span.attributes.add(key=f"{rng.choice(self._keys)}.{number}")
                pair.value.CopyFrom(self._value(0))
        else:
            for pair in span.attributes:
                if pair.value.HasField("string_value"):
                    pair.value.string_value *= times

    def _pack(self, path: str, body: bytes, content_type: str) -> Case:
        rng = self._rng
        body = body[: _LARGEST_BODY if rng.random() < 2 * _LARGE or len(body) > 4 * _MAX_BODY else _MAX_BODY]
        encoding = None
        if rng.random() < 0.15:
            encoding = rng.choice(["gzip", "deflate", "zstd"])
            if encoding == "gzip":
                body = gzip.compress(body, 1)
            elif encoding == "deflate":
                body = zlib.compress(body, 1)
            else:
                body = zstandard.compress(body, 1)
            if rng.random() < 0.5:
                body = self._damage(body, always=True)
        return Case(path, body, content_type, encoding)

    def _damage(self, body: bytes, *, always: bool = False) -> bytes:
        rng = self._rng
        if not always and rng.random() < 0.7:
            return body
        changed = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(changed) + 1)
            size = rng.randrange(24)
            action = rng.randrange(5)
            if action == 0 and at < len(changed):
                changed[at] = rng.randrange(256)
            elif action == 1:
                changed[at:at] = rng.randbytes(size)
            elif action == 2:
                del changed[at : at + size]
            elif action == 3:
                changed[at:at] = changed[at : at + size]
            elif rng.random() < 0.3:
                del changed[at:]
        return bytes(changed)

    def _edit(self, request: ExportTraceServiceRequest) -> None:
        rng = self._rng
        spans = _spans(request)
        if not spans:
            return
        span = rng.choice(spans)
        edits: list[Callable[[ExportTraceServiceRequest, Span], None]] = [
            self._swap_value,
            self._swap_value,
            self._rename,
            self._borrow,
            self._borrow,
            self._spoil_text,
            self._spoil_text,
            self._spoil_ids,
            self._spoil_times,
            self._spoil_events,
            self._spoil_scope,
            self._double,
        ]
        rng.choice(edits)(request, span)

    def _swap_value(self, _: ExportTraceServiceRequest, span: Span) -> None:
        if span.attributes:
            self._rng.choice(span.attributes).value.CopyFrom(self._value(0))

    def _rename(self, _: ExportTraceServiceRequest, span: Span) -> None:
        if span.attributes:
            pair = self._rng.choice(span.attributes)
            if self._rng.random() < 0.7:
                pair.key = self._rng.choice(self._keys)
            else:
                pair.key = pair.key.replace("0", str(self._rng.choice([1, 7, 999_999, -1]))) + self._rng.choice(
                    ["", ".", ".0", ".0.role", "\x00", "." * 200]
                )

    def _borrow(self, _: ExportTraceServiceRequest, span: Span) -> None:
        for _times in range(self._rng.randint(1, 6)):
            span.attributes.add().CopyFrom(self._rng.choice(self._pairs))

    def _spoil_text(self, _: ExportTraceServiceRequest, span: Span) -> None:
        texts = [pair for pair in span.attributes if pair.value.HasField("string_value")]
        if texts:
            value = self._rng.choice(texts).value
            value.string_value = self._spoiled(value.string_value)

    def _spoil_ids(self, _: ExportTraceServiceRequest, span: Span) -> None:
        rng = self._rng
        which = rng.randrange(6)
        if which == 0:
            span.trace_id = rng.choice([b"", bytes(16), b"\x01", rng.randbytes(16), rng.randbytes(17)])
        elif which == 1:
            span.span_id = rng.choice([b"", bytes(8), b"\x01", rng.randbytes(8), rng.randbytes(9)])
        elif which == 2:
            span.parent_span_id = rng.choice([b"", bytes(8), span.span_id, rng.randbytes(8), b"\xff"])
        elif which == 3:
            span.kind = rng.choice([-1, 0, 5, 6, 2**31 - 1])  # type: ignore[assignment]
        elif which == 4:
            span.status.code = rng.choice([-1, 0, 2, 3, 2**31 - 1])  # type: ignore[assignment]
            span.status.message = self._spoiled("Ünfug \x00")
        else:
            span.dropped_attributes_count, span.dropped_events_count = rng.choice([(0, 1), (1, 0), (2**32 - 1,) * 2])

    def _spoil_times(self, _: ExportTraceServiceRequest, span: Span) -> None:
        values = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, span.start_time_unix_nano, span.end_time_unix_nano]
        span.start_time_unix_nano = self._rng.choice(values)
        span.end_time_unix_nano = self._rng.choice(values)

    def _spoil_events(self, _: ExportTraceServiceRequest, span: Span) -> None:
        if self._events:
            event = span.events.add()
            event.CopyFrom(self._rng.choice(self._events))
            event.time_unix_nano = self._rng.choice([0, event.time_unix_nano, 2**64 - 1])
            if event.attributes:
                self._rng.choice(event.attributes).value.CopyFrom(self._value(0))

    def _spoil_scope(self, request: ExportTraceServiceRequest, _: Span) -> None:
        rng = self._rng
        group = rng.choice(request.resource_spans)
        if rng.random() < 0.5 and group.scope_spans:
            rng.choice(group.scope_spans).scope.name = rng.choice(self._scopes)
        else:
            key = rng.choice(["service.name", "service.version", "session.id", "custodes.deployment", "user.id"])
            group.resource.attributes.add(key=key).value.CopyFrom(self._value(0))

    def _double(self, request: ExportTraceServiceRequest, span: Span) -> None:
        scope = request.resource_spans[0].scope_spans
        if scope:
            scope[0].spans.add().CopyFrom(span)

    def _value(self, depth: int) -> AnyValue:
        rng = self._rng
        kind = rng.randrange(9)
        value = AnyValue()
        if kind == 0:
            value.string_value = self._spoiled(rng.choice(["", "text", "[1", "{}", "null", '"\\"{"', "1e999", "-5"]))
        elif kind == 1:
            value.int_value = rng.choice([0, -1, 7, 2**63 - 1, -(2**63)])
        elif kind == 2:
            value.double_value = rng.choice([0.0, -0.5, float("nan"), float("inf"), float("-inf"), 1e300, 2.0**53])
        elif kind == 3:
            value.bool_value = rng.random() < 0.5
        elif kind == 4:
            value.bytes_value = rng.randbytes(rng.randrange(40))
        elif kind == 5 and depth < 4:
            value.array_value.values.extend(self._value(depth + 1) for _ in range(rng.randrange(4)))
        elif kind == 6 and depth < 4:
            for _ in range(rng.randrange(4)):
                key = rng.choice(["role", "content", "type", "parts", "text", "tool_calls", "", "id", "\x00"])
                value.kvlist_value.values.add(key=key).value.CopyFrom(self._value(depth + 1))
        elif kind == 7 and depth == 0:
            inner = value
            for _ in range(rng.choice([5, 20, 40])):
                inner = inner.array_value.values.add()
            inner.int_value = 1
        elif self._pairs:
            value.CopyFrom(rng.choice(self._pairs).value)
        return value

    def _spoiled(self, text: str) -> str:  # noqa: PLR0911 - a table of ways to spoil, one a line
        rng = self._rng
        action = rng.randrange(9)
        if action == 0:
            return text[: rng.randrange(len(text) + 1)]
        if action == 1:
            return json.dumps(text)
        if action == 2:
            return "[" * rng.choice([3, 70, 2_000]) + text
        if action == 3:
            return text.replace('"', "'")
        if action == 4:
            return text.replace("content", rng.choice(["text", "", "parts"])).replace("user", rng.choice(["", "🦉"]))
        if action == 5:
            return text + rng.choice(["\x00", "\ufffe", "\u202e", "\U0001f989" * 50, "NaN", "]", "}"])
        if action == 6:
            try:
                return json.dumps(self._bend(json.loads(text)))
            except (ValueError, RecursionError):
                return text[::-1]
        if action == 7:
            return rng.choice(["__REDACTED__", "Infinity", "2026-11-21T10:00:00Z", "1" * 400, "-1", "true"])
        return text * rng.randint(0, 3)

    def _bend(self, node: Any, depth: int = 0) -> Any:
        """Return JSON with a few nodes replaced by something else."""
        rng = self._rng
        if rng.random() < 0.03 or depth > 40:
            return rng.choice([None, True, 0, -1, 1e308, float("nan"), "", "x", [], {}, [[]], {"values": None}, 2**70])
        if isinstance(node, dict):
            return {key: self._bend(one, depth + 1) for key, one in node.items() if rng.random() > 0.02}
        if isinstance(node, list):
            return [self._bend(one, depth + 1) for one in node]
        return node


def _spans(request: ExportTraceServiceRequest) -> Sequence[Span]:
    return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]


def _pairs_in(message: Message) -> list[KeyValue]:
    """Return every attribute in a message, and those inside its parts."""
    found: list[KeyValue] = []
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for one in value if field.is_repeated else [value]:
            found += [one] if isinstance(one, KeyValue) else _pairs_in(one)
    return found


def _renew(request: ExportTraceServiceRequest, rng: random.Random) -> None:
    """Give every trace another id, so that its spans are new to whoever saw it before."""
    fresh: dict[bytes, bytes] = {}
    for span in _spans(request):
        span.trace_id = fresh.setdefault(span.trace_id, rng.randbytes(16))


def _to_json(request: ExportTraceServiceRequest) -> dict[str, Any]:
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [_pair_to_json(pair) for pair in group.resource.attributes]},
                "scopeSpans": [
                    {"scope": {"name": scope.scope.name}, "spans": [_span_to_json(span) for span in scope.spans]}
                    for scope in group.scope_spans
                ],
            }
            for group in request.resource_spans
        ]
    }


def _span_to_json(span: Span) -> dict[str, Any]:
    return {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_span_id.hex(),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_time_unix_nano),
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": [_pair_to_json(pair) for pair in span.attributes],
        "events": [
            {
                "name": event.name,
                "timeUnixNano": str(event.time_unix_nano),
                "attributes": [_pair_to_json(pair) for pair in event.attributes],
            }
            for event in span.events
        ],
        "status": {"code": span.status.code, "message": span.status.message},
        "droppedAttributesCount": span.dropped_attributes_count,
        "droppedEventsCount": span.dropped_events_count,
    }


def _pair_to_json(pair: KeyValue) -> dict[str, Any]:
    return {"key": pair.key, "value": _value_to_json(pair.value)}


def _value_to_json(value: AnyValue) -> dict[str, Any]:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return {"arrayValue": {"values": [_value_to_json(one) for one in value.array_value.values]}}
    if kind == "kvlist_value":
        return {"kvlistValue": {"values": [_pair_to_json(one) for one in value.kvlist_value.values]}}
    if kind == "bytes_value":
        return {"bytesValue": base64.b64encode(value.bytes_value).decode()}
    if kind is None:
        return {}
    names = {"string_value": "stringValue", "int_value": "intValue", "double_value": "doubleValue"}
    return {names.get(kind, "boolValue"): getattr(value, kind)}


def _from_json(document: dict[str, Any]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for group in document.get("resourceSpans", []):
        made = request.resource_spans.add()
        made.resource.attributes.extend(_pair(one) for one in group.get("resource", {}).get("attributes", []))
        for scope in group.get("scopeSpans", []):
            spans = made.scope_spans.add()
            spans.scope.name = scope.get("scope", {}).get("name", "")
            for one in scope.get("spans", []):
                spans.spans.add(
                    trace_id=bytes.fromhex(one["traceId"]),
                    span_id=bytes.fromhex(one["spanId"]),
                    parent_span_id=bytes.fromhex(one.get("parentSpanId", "")),
                    name=one.get("name", ""),
                    start_time_unix_nano=int(one["startTimeUnixNano"]),
                    end_time_unix_nano=int(one["endTimeUnixNano"]),
                    attributes=[_pair(pair) for pair in one.get("attributes", [])],
                )
    return request


def _pair(pair: dict[str, Any]) -> KeyValue:
    return KeyValue(key=pair["key"], value=_any(pair.get("value", {})))


def _any(value: dict[str, Any]) -> AnyValue:
    made = AnyValue()
    for kind, content in value.items():
        if kind == "stringValue":
            made.string_value = content
        elif kind == "intValue":
            made.int_value = int(content)
        elif kind == "doubleValue":
            made.double_value = float(content)
        elif kind == "boolValue":
            made.bool_value = bool(content)
        elif kind == "arrayValue":
            made.array_value.values.extend(_any(one) for one in content.get("values", []))
        elif kind == "kvlistValue":
            made.kvlist_value.values.extend(_pair(one) for one in content.get("values", []))
    return made
