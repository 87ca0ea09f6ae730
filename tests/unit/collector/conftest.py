"""Spans for the collector's tests, raw and normal, and a clock that stands still."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.body import Encoding
from collector.otlp.spans import RawSpan

NOW_NS = 1_795_300_000_000_000_000


@pytest.fixture
def now_ns() -> int:
    """The present of these tests: a few hours after the recorded requests."""
    return NOW_NS


@pytest.fixture
def raw_span() -> Callable[..., RawSpan]:
    """Make a raw span; any field can be given."""

    def make(**fields: Any) -> RawSpan:
        start_ns = fields.get("start_ns", NOW_NS - 2_000_000_000)
        defaults: dict[str, Any] = {
            "resource": {"service.name": "bot"},
            "scope": "test",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "span_id": "b7ad6b7169203331",
            "parent_span_id": None,
            "name": "chat gpt",
            "kind": 3,
            "start_ns": start_ns,
            "end_ns": start_ns + 1_000_000_000,
            "complete": True,
            "status": 0,
            "status_message": "",
            "attributes": {},
            "events": [],
            "dropped_attributes": 0,
            "dropped_events": 0,
        }
        return RawSpan(**{**defaults, **fields})

    return make


@pytest.fixture
def chat_span(raw_span: Callable[..., RawSpan]) -> Callable[..., NormalSpan]:
    """Make a normal span of one chat; ``prompt``, ``response`` and any raw field can be given."""

    def make(prompt: str | None = "Hello?", response: str | None = "Hi.", **fields: Any) -> NormalSpan:
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt",
            **fields.pop("attributes", {}),
        }
        if prompt is not None:
            attributes["gen_ai.input.messages"] = [{"role": "user", "parts": [{"type": "text", "content": prompt}]}]
        if response is not None:
            parts = [{"type": "text", "content": response}]
            attributes["gen_ai.output.messages"] = [{"role": "assistant", "parts": parts}]
        return normalise(raw_span(attributes=attributes, **fields))

    return make


@pytest.fixture
def retrieval_span(raw_span: Callable[..., RawSpan]) -> Callable[..., NormalSpan]:
    """Make a normal retrieval span that found ``texts``."""

    def make(*texts: str, **fields: Any) -> NormalSpan:
        attributes: dict[str, Any] = {"openinference.span.kind": "RETRIEVER"}
        for index, text in enumerate(texts):
            attributes[f"retrieval.documents.{index}.document.content"] = text
        return normalise(raw_span(name="search", attributes=attributes, **{"span_id": "1111111111111111", **fields}))

    return make


def to_any_value(value: Any) -> dict[str, Any]:
    """Return a plain value as an ``AnyValue`` in OTLP/JSON."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return {"arrayValue": {"values": [to_any_value(one) for one in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": to_any_value(one)} for key, one in value.items()]}}
    return {} if value is None else {"stringValue": value}


def to_pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Return attributes in OTLP/JSON."""
    return [{"key": key, "value": to_any_value(value)} for key, value in attributes.items()]


@pytest.fixture
def write_logs() -> Callable[..., bytes]:
    """Write log records as one request; a record is its OTLP/JSON with plain ``attributes`` and ``body``."""

    def make(records: list[dict[str, Any]], encoding: Encoding = Encoding.JSON, **resource: Any) -> bytes:
        listed = [
            {
                **one,
                **({"attributes": to_pairs(one["attributes"])} if "attributes" in one else {}),
                **({"body": to_any_value(one["body"])} if "body" in one else {}),
            }
            for one in records
        ]
        attributes = to_pairs({"service.name": "bot", **resource})
        scopes = [{"scope": {"name": "test"}, "logRecords": listed}]
        document = {"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": scopes}]}
        if encoding is Encoding.JSON:
            return orjson.dumps(document)
        for one in listed:
            for key in ("traceId", "spanId"):
                if key in one:
                    one[key] = base64.b64encode(bytes.fromhex(one[key])).decode()
        return bytes(ParseDict(document, ExportLogsServiceRequest()).SerializeToString())

    return make


@pytest.fixture
def write_metrics() -> Callable[..., bytes]:
    """Write metrics, given in OTLP/JSON with plain ``attributes`` on their points, as one request."""

    def make(metrics: list[dict[str, Any]], encoding: Encoding = Encoding.JSON, **resource: Any) -> bytes:
        for metric in metrics:
            for kind in metric.values():
                for point in kind.get("dataPoints", []) if isinstance(kind, dict) else []:
                    if isinstance(point, dict) and isinstance(point.get("attributes"), dict):
                        point["attributes"] = to_pairs(point["attributes"])
        attributes = to_pairs({"service.name": "bot", **resource})
        scopes = [{"scope": {"name": "test"}, "metrics": metrics}]
        document = {"resourceMetrics": [{"resource": {"attributes": attributes}, "scopeMetrics": scopes}]}
        if encoding is Encoding.JSON:
            return orjson.dumps(document)
        return bytes(ParseDict(document, ExportMetricsServiceRequest()).SerializeToString())

    return make
