"""OTLP/gRPC with the real exporter and a real server: what is acknowledged is there, what is refused says why."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

pytestmark = pytest.mark.timeout(300)

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def make_spans(count: int) -> list[ReadableSpan]:
    tracer = TracerProvider(resource=Resource({"service.name": "grpc-bot"})).get_tracer("test")
    spans = [tracer.start_span("chat", attributes={"gen_ai.operation.name": "chat"}) for _ in range(count)]
    for one in spans:
        one.end()
    return [one for one in spans if isinstance(one, ReadableSpan)]


def trace_id(one: ReadableSpan) -> int:
    context = one.get_span_context()
    assert context is not None
    return context.trace_id


def send(address: str, spans: list[ReadableSpan], **more: Any) -> SpanExportResult:
    exporter = OTLPSpanExporter(endpoint=address, insecure=True, **more)
    try:
        return exporter.export(spans)
    finally:
        exporter.shutdown()


def message(number: int) -> bytes:
    """Two spans of a trace of its own."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for index in (1, 2):
        scope.spans.add(
            trace_id=number.to_bytes(16, "big"),
            span_id=index.to_bytes(8, "big"),
            name="chat",
            start_time_unix_nano=time.time_ns() - 10**9,
            end_time_unix_nano=time.time_ns(),
        )
    return bytes(request.SerializeToString())


class TestRealExporter:
    @pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
    def test_what_it_sends_is_there(self, launch: Any, compression: grpc.Compression) -> None:
        server = launch()
        spans = make_spans(20)
        assert send(server.grpc_address, spans, compression=compression) is SpanExportResult.SUCCESS
        for one in spans:
            found = server.get(f"/api/v1/traces/{trace_id(one):032x}")
            assert [span["service"] for span in found["spans"]] == ["grpc-bot"]

    def test_it_needs_a_key_without_dev(self, launch: Any, wait_for: Any) -> None:
        server = launch("up", "--no-console")
        spans = make_spans(1)
        assert send(server.grpc_address, spans) is SpanExportResult.FAILURE
        wait_for(lambda: "First admin key" in server.log.read_text(), 30, "the first key")
        key = re.findall(r"cst_adm_\w+", server.log.read_text())[0]
        for headers in ({"authorization": f"Bearer {key}"}, f"authorization=Bearer%20{key}", {"x-api-key": key}):
            assert send(server.grpc_address, spans, headers=headers) is SpanExportResult.SUCCESS

    def test_it_loses_nothing_when_it_is_told_to_come_back(self, launch: Any) -> None:
        server = launch(CUSTODES_INGEST__MAX_CONCURRENT="1", CUSTODES_INGEST__MAX_SPANS_PER_S="40")
        batches = [make_spans(40) for _ in range(3)]
        with ThreadPoolExecutor(3) as senders:
            results = list(senders.map(lambda one: send(server.grpc_address, one, timeout=30), batches))
        assert results == [SpanExportResult.SUCCESS] * 3
        assert server.get("/api/v1/ledger")["stored"] == 120


class TestRefused:
    def test_it_says_why_and_the_log_has_no_traceback(self, launch: Any) -> None:
        server = launch(CUSTODES_INGEST__MAX_BODY_BYTES="100000", CUSTODES_INGEST__MAX_SPANS_PER_S="1")
        with grpc.insecure_channel(server.grpc_address) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)

            def refusal(body: bytes) -> Any:
                with pytest.raises(grpc.RpcError) as caught:
                    call(body, timeout=20)
                return caught.value

            assert refusal(b"\xff" * 50).code() is grpc.StatusCode.INVALID_ARGUMENT
            assert refusal(bytes(200_000)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert call(message(1), timeout=20) == b""
            overloaded = refusal(message(2))
            wait = dict(overloaded.trailing_metadata())["google.rpc.retryinfo-bin"]
            assert overloaded.code() is grpc.StatusCode.UNAVAILABLE
            assert 1 <= RetryInfo.FromString(wait).retry_delay.seconds <= 5
        figures = httpx.get(f"{server.url}/metrics", timeout=10, trust_env=False).text
        assert 'custodes_ingest_refusals_total{limit="key_rate"} 1.0' in figures
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


class TestStop:
    def test_nothing_acknowledged_is_lost_when_it_stops_under_load(self, launch: Any) -> None:
        server = launch()
        acknowledged: set[int] = set()
        numbers = iter(range(1, 1_000_000))
        lock, stopped = threading.Lock(), threading.Event()

        def keep_sending() -> None:
            with grpc.insecure_channel(server.grpc_address) as channel:
                call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
                while not stopped.is_set():
                    with lock:
                        number = next(numbers)
                    try:
                        call(message(number), timeout=10)
                    except grpc.RpcError:
                        stopped.wait(0.05)
                        continue
                    with lock:
                        acknowledged.add(number)

        with ThreadPoolExecutor(8) as senders:
            running = [senders.submit(keep_sending) for _ in range(8)]
            while len(acknowledged) < 200:
                assert not any(one.done() for one in running)
                stopped.wait(0.05)
            assert server.stop() == 0
            stopped.set()
        again = launch(data_dir=None)
        assert again.get("/api/v1/ledger")["stored"] >= 2 * len(acknowledged)
        for number in acknowledged:
            assert len(again.get(f"/api/v1/traces/{number:032x}")["spans"]) == 2
        assert "Traceback" not in server.log.read_text()
