"""Rubbish sent to a server with its default limits: each kind has one documented outcome, and nothing else suffers.

See "Bad requests" and "Spans that are refused alone" in docs/ingest.md.
"""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
import zstandard
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.fuzz.run import peak_mib

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20
DAY_NS = 86_400 * 10**9
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MOST_MIB = 600
"""The bound that docs/ingest.md states for the process, whatever is sent."""

Spoil = Callable[[Span], None]


@pytest.fixture(scope="module")
def server(shared_launch: Any) -> Any:
    """A server with the limits it has by default."""
    return shared_launch()


def make_request(spoil: Spoil, number: int) -> tuple[ExportTraceServiceRequest, str]:
    """Return a request of a spoilt span and a sound one, and the trace id of both."""
    request, now = ExportTraceServiceRequest(), time.time_ns()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = f"rubbish-{number}"
    trace_id = number.to_bytes(16, "big")
    spans = group.scope_spans.add().spans
    for span_id in (b"\x01" * 8, b"\x02" * 8):
        span = spans.add(trace_id=trace_id, span_id=span_id, name="chat", start_time_unix_nano=now - 2_000_000)
        span.end_time_unix_nano = now - 1_000_000
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
    spoil(spans[0])
    return request, trace_id.hex()


def add_text(size: int) -> Spoil:
    def spoil(span: Span) -> None:
        span.attributes.add(key="gen_ai.output.messages").value.string_value = "x" * size

    return spoil


def add_bytes(size: int) -> Spoil:
    def spoil(span: Span) -> None:
        span.attributes.add(key="a").value.array_value.values.add().bytes_value = b"x" * size

    return spoil


def nest(levels: int) -> Spoil:
    def spoil(span: Span) -> None:
        value: AnyValue = span.attributes.add(key="deep").value
        for _ in range(levels):
            value = value.array_value.values.add()
        value.int_value = 1

    return spoil


def put(**fields: Any) -> Spoil:
    def spoil(span: Span) -> None:
        for name, value in fields.items():
            setattr(span, name, value() if callable(value) else value)

    return spoil


def put_numbers(span: Span) -> None:
    for name, value in (("gen_ai.usage.cost", float("nan")), ("gen_ai.usage.input_tokens", float("inf"))):
        span.attributes.add(key=name).value.double_value = value


REFUSED = [
    (add_text(10 * MIB), "attribute_too_long"),
    (add_bytes(10 * MIB), "attribute_too_long"),
    (nest(33), "too_deep"),
    (put(trace_id=bytes(16)), "zero_trace_id"),
    (put(span_id=bytes(8)), "zero_span_id"),
    (put(trace_id=b"\x01"), "bad_trace_id"),
    (put(start_time_unix_nano=lambda: time.time_ns() + 2 * DAY_NS), "clock_in_future"),
    (put(end_time_unix_nano=2**64 - 1), "clock_in_future"),
    (lambda span: [span.attributes.add(key=f"a{n}") for n in range(1_025)], "too_many_attributes"),
    (lambda span: [span.events.add(name="e") for _ in range(1_025)], "too_many_events"),
]  # fmt: skip


class TestOneBadSpan:
    @pytest.mark.parametrize(("spoil", "reason"), REFUSED, ids=[f"{n}-{one[1]}" for n, one in enumerate(REFUSED)])
    def test_it_is_refused_alone_over_http_and_grpc(self, server: Any, spoil: Spoil, reason: str) -> None:
        number = 1_000 + 10 * [one[0] for one in REFUSED].index(spoil)
        request, trace_id = make_request(spoil, number)
        headers = {"content-type": "application/x-protobuf"}
        answer = httpx.post(
            f"{server.url}/v1/traces", content=request.SerializeToString(), headers=headers, trust_env=False, timeout=60
        )
        assert answer.status_code == 200, answer.content
        told = ExportTraceServiceResponse.FromString(answer.content).partial_success
        assert (told.rejected_spans, reason in told.error_message) == (1, True), told
        assert server.get(f"/api/v1/traces/{trace_id}")["spans"][0]["span_id"] == "02" * 8

        request, trace_id = make_request(spoil, number + 1)
        with grpc.insecure_channel(server.grpc_address) as channel:
            export: Any = channel.unary_unary(EXPORT)
            told_raw = export(request.SerializeToString(), timeout=60)
        told = ExportTraceServiceResponse.FromString(told_raw).partial_success
        assert (told.rejected_spans, reason in told.error_message) == (1, True), told
        assert len(server.get(f"/api/v1/traces/{trace_id}")["spans"]) == 1

        service = f"rubbish-{number}"
        ledger = server.get("/api/v1/ledger", service=service, **{"from": "now-1h"})
        assert (ledger["received"], ledger["stored"], ledger["rejected"]) == (2, 1, {reason: 1})

    def test_text_that_is_no_utf_8_is_refused_alone(self, server: Any) -> None:
        request, trace_id = make_request(add_text(9), 2_000)
        body = request.SerializeToString().replace(b"xxxxxxxxx", b"\xff\xfe\xc3\x28xxxxx")
        headers = {"content-type": "application/x-protobuf"}
        answer = httpx.post(f"{server.url}/v1/traces", content=body, headers=headers, trust_env=False)
        told = ExportTraceServiceResponse.FromString(answer.content).partial_success
        assert (answer.status_code, told.rejected_spans, "malformed_span" in told.error_message) == (200, 1, True)
        assert len(server.get(f"/api/v1/traces/{trace_id}")["spans"]) == 1

    @pytest.mark.parametrize(
        ("number", "spoil", "complete"),
        [
            (3_001, put(end_time_unix_nano=5), False),
            (3_002, put_numbers, True),
            (3_003, add_text(3 * MIB), True),
            (3_004, nest(20), True),
        ],
        ids=["ends before it starts", "not a number", "3 MiB of text", "20 levels"],
    )
    def test_what_can_be_kept_is_kept(self, server: Any, number: int, spoil: Spoil, complete: bool) -> None:
        request, trace_id = make_request(spoil, number)
        headers = {"content-type": "application/x-protobuf"}
        body = request.SerializeToString()
        answer = httpx.post(f"{server.url}/v1/traces", content=body, headers=headers, trust_env=False, timeout=60)
        assert (answer.status_code, answer.content) == (200, b"")
        (span, _) = sorted(server.get(f"/api/v1/traces/{trace_id}")["spans"], key=lambda one: one["span_id"])
        assert (span["complete"], span["cost_usd"], span["input_tokens"]) == (complete, None, None)


class TestBadRequests:
    BOMB = b"\x0a" * (150 * MIB)

    @pytest.mark.parametrize(
        ("encoding", "body", "status"),
        [
            ("gzip", gzip.compress, 413),
            ("deflate", zlib.compress, 413),
            ("zstd", zstandard.compress, 413),
            ("gzip", lambda bomb: gzip.compress(gzip.compress(bomb)), 400),
            ("gzip", lambda _: b"no gzip at all", 400),
            (None, lambda bomb: bomb[: 21 * MIB], 413),
            (None, lambda _: b"\xff" * 1_000, 400),
            (None, lambda _: bytes(1_000), 400),
        ],
    )
    def test_they_are_refused_in_the_requests_own_encoding(
        self, server: Any, encoding: str | None, body: Callable[[bytes], bytes], status: int
    ) -> None:
        for content_type in ("application/x-protobuf", "application/json"):
            headers = {"content-type": content_type} | ({"content-encoding": encoding} if encoding else {})
            content = body(self.BOMB)
            answer = httpx.post(
                f"{server.url}/v1/traces", content=content, headers=headers, trust_env=False, timeout=60
            )
            assert answer.status_code == status, answer.content
            told = answer.json() if "json" in content_type else Status.FromString(answer.content)
            message = told["message"] if isinstance(told, dict) else told.message
            assert message
            assert answer.headers["content-type"].startswith(content_type)

    def test_json_that_nests_without_end_is_refused(self, server: Any) -> None:
        headers = {"content-type": "application/json"}
        body = b'{"resourceSpans":' + b"[" * 100_000
        answer = httpx.post(f"{server.url}/v1/traces", content=body, headers=headers, trust_env=False)
        assert answer.status_code == 400

    def test_all_of_it_took_little_memory_and_no_bad_input_was_an_error_of_ours(self, server: Any) -> None:
        assert peak_mib(server.process.pid) < MOST_MIB
        assert "Traceback" not in server.log.read_text()
        assert server.get("/api/v1/ledger", **{"from": "now-1h"})["stored"] > 0
