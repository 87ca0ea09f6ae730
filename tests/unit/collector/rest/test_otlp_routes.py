"""OTLP over HTTP: answers in the request's encoding, after the commit, with codes that exporters understand."""

from __future__ import annotations

import asyncio
import base64
import gzip
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import zstandard
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from sqlalchemy import func, select

from collector.app import build_app
from collector.store import StoreOutcome
from custodes.db.tables import span
from custodes.kernel.errors import ConflictError, DatabaseError, OverloadedError

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
PATHS = ["/v1/traces", "/v1/traces/", "/api/public/otel/v1/traces", "/api/public/otel/v1/traces/"]


def body(now_ns: int, *, spans: int = 1, trace_id: bytes = b"\1" * 16) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(spans):
        scope.spans.add(
            trace_id=trace_id,
            span_id=(number + 1).to_bytes(8, "big"),
            name="chat",
            start_time_unix_nano=now_ns - 2_000_000_000,
            end_time_unix_nano=now_ns - 1_000_000_000,
        )
    return bytes(request.SerializeToString())


def stored(server: Any) -> int:
    with server.database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(span)).scalar_one())


class BrokenIntake:
    """An intake that fails in a way of the test's choosing, at once or when committing."""

    def __init__(self, error: Exception, *, later: bool) -> None:
        self.error = error
        self.later = later

    def ingest_plain(self, *_: object) -> Future[StoreOutcome]:
        if not self.later:
            raise self.error
        future: Future[StoreOutcome] = Future()
        future.set_exception(self.error)
        return future


class WaitingIntake:
    """An intake that says when it has a request, and commits when told to."""

    def __init__(self) -> None:
        self.taken: Future[None] = Future()
        self.outcome: Future[StoreOutcome] = Future()

    def ingest_plain(self, *_: object) -> Future[StoreOutcome]:
        self.taken.set_result(None)
        return self.outcome


def limited(server: Any, **limits: Any) -> Any:
    """Return the settings of ``server`` with other limits."""
    return server.settings.model_copy(update={"ingest": server.settings.ingest.model_copy(update=limits)})


class TestAccepted:
    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize(
        "pack",
        [
            lambda data: (data, {}),
            lambda data: (gzip.compress(data), {"content-encoding": "gzip"}),
            lambda data: (zlib.compress(data), {"content-encoding": "deflate"}),
            lambda data: (zstandard.compress(data), {"content-encoding": "zstd"}),
            lambda data: (iter([data[:100], data[100:]]), {}),
        ],
        ids=["plain", "gzip", "deflate", "zstd", "without length"],
    )
    def test_it_is_in_the_database_when_the_answer_is_there(
        self, server: Any, path: str, pack: Callable[[bytes], tuple[bytes, dict[str, str]]]
    ) -> None:
        data, headers = pack(body(server.now_ns, spans=3))
        answer = server.client("ingester").post(path, content=data, headers=PROTOBUF | headers)
        assert (answer.status_code, stored(server)) == (200, 3)
        assert answer.headers["content-type"] == "application/x-protobuf"
        assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")

    def test_it_belongs_to_the_project_of_the_key(self, local_server: Any) -> None:
        client = local_server.client("ingester", project="second")
        client.post("/v1/traces", content=body(local_server.now_ns), headers=PROTOBUF)
        with local_server.database.read() as tx:
            assert tx.execute(select(span.c.project_id)).scalar_one() == "second"

    def test_refused_spans_are_named_and_the_others_kept(self, local_server: Any) -> None:
        data = body(local_server.now_ns) + body(local_server.now_ns, trace_id=bytes(16))
        answer = local_server.client("ingester").post("/v1/traces", content=data, headers=PROTOBUF)
        partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
        assert (answer.status_code, partial.rejected_spans, stored(local_server)) == (200, 1, 1)
        assert "zero_trace_id" in partial.error_message

    def test_headers_of_other_servers_do_no_harm(self, local_server: Any) -> None:
        basic = base64.b64encode(f"pk-lf-1:{local_server.key('ingester')}".encode()).decode()
        headers = PROTOBUF | {"authorization": f"Basic {basic}", "x-mlflow-experiment-id": "7"}
        for path in PATHS:
            answer = local_server.client().post(path, content=body(local_server.now_ns), headers=headers)
            assert (answer.status_code, stored(local_server)) == (200, 1)

    def test_an_empty_body_is_a_success(self, local_server: Any) -> None:
        client = local_server.client("ingester")
        assert client.post("/v1/traces", content=b"", headers=PROTOBUF).status_code == 200
        answer = client.post(
            "/v1/traces", content=b"", headers=JSON | {"content-type": "Application/JSON; charset=utf-8"}
        )
        assert (answer.status_code, answer.json()) == (200, {})

    def test_the_developer_on_this_machine_needs_no_key(self, local_server: Any) -> None:
        answer = local_server.dev_client().post("/v1/traces", content=body(local_server.now_ns), headers=PROTOBUF)
        assert (answer.status_code, stored(local_server)) == (200, 1)


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "headers", "status"),
        [
            (b"\xff\xff\xff", PROTOBUF, 400),
            (b"{", JSON, 400),
            (b"[]", JSON, 400),
            (b"x", PROTOBUF | {"content-encoding": "gzip"}, 400),
            (b"x", PROTOBUF | {"content-encoding": "deflate"}, 400),
            (b"x", JSON | {"content-encoding": "zstd"}, 400),
            (b"x", PROTOBUF | {"content-encoding": "br"}, 415),
            (b"x", JSON | {"content-encoding": "gzip, zstd"}, 415),
            (b"x", {"content-type": "text/plain"}, 415),
            (b"x", {}, 415),
        ],
    )
    def test_bad_input_is_a_4xx_status_in_the_encoding_of_the_request(
        self, local_server: Any, content: bytes, headers: dict[str, str], status: int
    ) -> None:
        answer = local_server.client("ingester").post("/v1/traces", content=content, headers=headers)
        assert answer.status_code == status
        if headers.get("content-type") == "application/json":
            assert answer.headers["content-type"] == "application/json"
            assert set(answer.json()) == {"code", "message"}
        else:
            assert answer.headers["content-type"] == "application/x-protobuf"
            assert Status.FromString(answer.content).message
        assert stored(local_server) == 0

    def test_no_key_and_a_wrong_role_are_told_apart(self, local_server: Any) -> None:
        data = body(local_server.now_ns)
        nobody = local_server.client().post("/v1/traces", content=data, headers=PROTOBUF)
        viewer = local_server.client("viewer").post("/v1/traces", content=data, headers=PROTOBUF)
        assert (nobody.status_code, Status.FromString(nobody.content).code) == (401, 16)
        assert "www-authenticate" in nobody.headers
        assert (viewer.status_code, Status.FromString(viewer.content).code) == (403, 7)
        assert stored(local_server) == 0

    def test_a_body_above_the_limit_is_413(self, local_server: Any) -> None:
        ingest = local_server.settings.ingest.model_copy(update={"max_body_bytes": 2048})
        app = build_app(local_server.services(settings=local_server.settings.model_copy(update={"ingest": ingest})))
        client = local_server.client("ingester", app=app)
        for content in (b"x" * 2049, iter([b"x" * 1025, b"x" * 1024])):
            answer = client.post("/v1/traces", content=content, headers=PROTOBUF)
            assert (answer.status_code, Status.FromString(answer.content).code) == (413, 8)

    def test_a_body_of_too_many_values_is_413(self, local_server: Any) -> None:
        content = b'{"resourceSpans":[' + b'{"a":0},' * 2_000_000 + b"{}]}"
        answer = local_server.client("ingester").post("/v1/traces", content=content, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (413, 8)
        assert "CUSTODES_INGEST__MAX_PARSED_BYTES" in answer.json()["message"]

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
    @pytest.mark.parametrize("path", PATHS)
    def test_other_methods_are_405(self, local_server: Any, method: str, path: str) -> None:
        answer = local_server.client().request(method, path, headers=JSON)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        if method != "HEAD":
            assert answer.json()["code"] == 12
        assert not [name for name in answer.headers if name.startswith("access-control-")]

    @pytest.mark.parametrize("path", ["/v1/profiles", "/v1/traces/v1/traces", "/api/public/otel/v1/", "/v1/traces//x"])
    def test_other_addresses_are_404_and_name_the_right_one(self, local_server: Any, path: str) -> None:
        answer = local_server.client().post(path, content=b"{}", headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (404, 5)
        assert "/v1/traces" in answer.json()["message"]
        answer = local_server.client().post(path, content=b"", headers=PROTOBUF)
        assert Status.FromString(answer.content).code == 5

    def test_a_bomb_is_413(self, local_server: Any) -> None:
        bomb = gzip.compress(bytes(32 * 1024 * 1024))
        answer = local_server.client("ingester").post(
            "/v1/traces", content=bomb, headers=PROTOBUF | {"content-encoding": "gzip"}
        )
        assert answer.status_code == 413

    @pytest.mark.parametrize("later", [False, True])
    @pytest.mark.parametrize(
        "error",
        [OverloadedError("full", 60.0), DatabaseError("gone"), ConflictError("twice"), RuntimeError("our defect")],
    )
    def test_what_is_wrong_on_this_side_is_503_with_a_short_wait(
        self, local_server: Any, error: Exception, later: bool
    ) -> None:
        app = build_app(local_server.services(intake=BrokenIntake(error, later=later)))
        answer = local_server.client("ingester", app=app).post("/v1/traces", content=b"", headers=PROTOBUF)
        assert (answer.status_code, Status.FromString(answer.content).code) == (503, 14)
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        assert "our defect" not in Status.FromString(answer.content).message

    def test_more_bytes_than_may_be_in_flight_are_503(self, local_server: Any) -> None:
        app = build_app(local_server.services(settings=limited(local_server, max_inflight_bytes=4096)))
        limits = app.state.services.limits
        client = local_server.client("ingester", app=app)
        bodies = [(b" " * 5000, {}), (gzip.compress(b" " * 5000), {"content-encoding": "gzip"})]
        with limits.inflight.open() as others:
            others.grow(100)
            for content, headers in bodies:
                answer = client.post("/v1/traces", content=content, headers=JSON | headers)
                assert (answer.status_code, answer.json()["code"]) == (503, 14)
                assert 1 <= int(answer.headers["retry-after"]) <= 5
        # Alone, a body larger than the limit passes: blanks are no JSON, which is the answer of who has read them.
        for content, headers in bodies:
            assert client.post("/v1/traces", content=content, headers=JSON | headers).status_code == 400
        assert limits.inflight._used == 0

    def test_a_key_above_its_rate_is_503_until_it_has_paid(self, local_server: Any) -> None:
        app = build_app(local_server.services(settings=limited(local_server, max_spans_per_s=0.5)))
        client = local_server.client("ingester", app=app)
        content = body(local_server.now_ns, spans=3)
        assert client.post("/v1/traces", content=content, headers=PROTOBUF).status_code == 200
        answer = client.post("/v1/traces", content=content, headers=PROTOBUF)
        assert (answer.status_code, Status.FromString(answer.content).code) == (503, 14)
        assert 4 <= int(answer.headers["retry-after"]) <= 5

    def test_a_key_above_its_concurrency_is_503(self, local_server: Any) -> None:
        intake = WaitingIntake()
        services = local_server.services(settings=limited(local_server, max_concurrent=1), intake=intake)
        client = local_server.client("ingester", app=build_app(services))
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(client.post, "/v1/traces", content=b"", headers=PROTOBUF)
            intake.taken.result(timeout=10)
            assert client.post("/v1/traces", content=b"", headers=PROTOBUF).status_code == 503
            intake.outcome.set_result(StoreOutcome(None, 0, 0))
            assert first.result(timeout=10).status_code == 200

    def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(self, local_server: Any) -> None:
        messages = [
            {"type": "http.request", "body": body(local_server.now_ns), "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {local_server.key('ingester')}".encode())]
        headers.append((b"content-type", b"application/x-protobuf"))
        scope = {"type": "http", "method": "POST", "path": "/v1/traces", "query_string": b"", "headers": headers}
        asyncio.run(local_server.app(scope | {"client": ("203.0.113.9", 1), "http_version": "1.1"}, receive, send))
        assert sent[0]["status"] == 400
        assert stored(local_server) == local_server.app.state.services.limits.inflight._used == 0

    def test_a_stopped_intake_is_503(self, local_server: Any) -> None:
        local_server.intake.stop()
        answer = local_server.client("ingester").post("/v1/traces", content=body(local_server.now_ns), headers=PROTOBUF)
        assert answer.status_code == 503

    def test_requests_are_counted_by_signal_and_code(self, local_server: Any) -> None:
        client = local_server.client("ingester")
        client.post("/v1/traces", content=b"", headers=PROTOBUF)
        client.post("/v1/logs", content=b"{", headers=JSON)
        requests = local_server.metrics.requests
        assert requests.labels("traces", "200")._value.get() == 1
        assert requests.labels("logs", "400")._value.get() == 1
