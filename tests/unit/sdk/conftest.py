"""A Custodes server as the SDK sees it, which can be up, down, hanging or talking nonsense; and a fake vLLM."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class FakeCustodes:
    """A server on a free port. ``mode``: ``ok``, ``busy``, ``hang``, ``garbage``, ``page``, ``refuse`` or ``large``."""

    url: str = ""
    mode: str = "ok"
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, timeout_s: float = 10.0) -> None:
        """Wait until ``count`` requests have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.requests) >= count, timeout_s), len(self.requests)

    def spans(self) -> list[dict[str, Any]]:
        """Every span that came, with ``name``, ``kind``, ``ids``, ``attributes``, ``resource`` and ``status``."""
        found: list[dict[str, Any]] = []
        for path, headers, body in self.requests:
            if path != "/v1/traces":
                continue
            plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            found += read_json(plain) if headers["content-type"] == "application/json" else read_protobuf(plain)
        return found


def read_json(body: bytes) -> list[dict[str, Any]]:
    found = []
    for resource in json.loads(body)["resourceSpans"]:
        named = {one["key"]: value_of(one["value"]) for one in resource["resource"]["attributes"]}
        for scope in resource["scopeSpans"]:
            found += [
                {
                    "name": span["name"],
                    "kind": span["kind"],
                    "trace_id": span["traceId"],
                    "span_id": span["spanId"],
                    "parent": span.get("parentSpanId", ""),
                    "start": int(span["startTimeUnixNano"]),
                    "end": int(span["endTimeUnixNano"]),
                    "attributes": {one["key"]: value_of(one["value"]) for one in span["attributes"]},
                    "status": span["status"].get("code", 0),
                    "message": span["status"].get("message", ""),
                    "dropped": span["droppedAttributesCount"],
                    "resource": named,
                }
                for span in scope["spans"]
            ]
    return found


def value_of(value: dict[str, Any]) -> Any:
    (kind, inner), *_ = value.items()
    if kind == "arrayValue":
        return [value_of(one) for one in inner["values"]]
    return int(inner) if kind == "intValue" else inner


def read_protobuf(body: bytes) -> list[dict[str, Any]]:
    found = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        named = {one.key: any_value(one.value) for one in resource.resource.attributes}
        for scope in resource.scope_spans:
            found += [
                {
                    "name": span.name,
                    "kind": span.kind,
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "attributes": {one.key: any_value(one.value) for one in span.attributes},
                    "status": span.status.code,
                    "resource": named,
                    "scope": scope.scope.name,
                }
                for span in scope.spans
            ]
    return found


def any_value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    inner = getattr(value, kind)
    return [any_value(one) for one in inner.values] if kind == "array_value" else inner


@pytest.fixture
def custodes() -> Iterator[FakeCustodes]:
    """A running fake server."""
    fake = FakeCustodes()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if fake.mode == "hang":
                fake.release.wait(30)
            status, kind, answer, more = answer_of(fake.mode, headers["content-type"], len(body))
            if fake.mode == "ok" or status < 300:
                with fake.arrived:
                    fake.requests.append((self.path, headers, body))
                    fake.arrived.notify_all()
            self.send_response(status)
            for name, value in {"content-type": kind, "content-length": str(len(answer)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield fake
    fake.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


def answer_of(mode: str, content_type: str, size: int) -> tuple[int, str, bytes, dict[str, str]]:
    if mode == "busy":
        return 503, content_type, b"", {"retry-after": "1"}
    if mode == "garbage":
        return 200, content_type, b"\xff\xfe{{{", {}
    if mode == "page":
        return 200, "text/html", b"<html>Log in</html>", {}
    if mode == "refuse":
        return 401, content_type, b"", {}
    if mode == "large" and size > 4_000:
        return 413, content_type, b"", {}
    return 200, content_type, b"{}" if content_type == "application/json" else b"", {}


@pytest.fixture
def closed_port() -> str:
    """An address where nothing listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def wait_until() -> Wait:
    """Poll until something holds, for at most ten seconds."""

    def wait(holds: Callable[[], bool]) -> None:
        for _ in range(1000):
            if holds():
                return
            threading.Event().wait(0.01)
        raise AssertionError("it did not happen within ten seconds")

    return wait


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A tracer provider of the host's, installed for one test; its own spans are at ``provider.own``."""
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    made: Any = TracerProvider(resource=Resource({"service.name": "host"}), shutdown_on_exit=False)
    made.own = InMemorySpanExporter()
    made.add_span_processor(SimpleSpanProcessor(made.own))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", made)
    yield made
    made.shutdown()


@pytest.fixture
def sdk(provider: Any, custodes: FakeCustodes) -> Iterator[Any]:
    """The SDK, set up on the host's provider to send to the fake server."""
    import custodes_sdk

    custodes_sdk.init(custodes.url, service="bot", deployment="bot-v1", instrument=False)
    yield custodes_sdk
    custodes_sdk.shutdown(1)
