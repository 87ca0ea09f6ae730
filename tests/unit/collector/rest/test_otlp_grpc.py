"""OTLP over gRPC: a real channel to a real server on a free port."""

from __future__ import annotations

import base64
import gzip
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from sqlalchemy import func, select

from collector.auth import Authenticator
from collector.otlp_grpc import GrpcServer, peer_to_host
from collector.store import StoreOutcome
from custodes.db.tables import span
from custodes.kernel.errors import ConflictError, DatabaseError, OverloadedError, UnavailableError

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
Code = grpc.StatusCode


def body(now_ns: int, *, spans: int = 1, trace_id: bytes = b"\1" * 16, first: int = 1) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(first, first + spans):
        scope.spans.add(
            trace_id=trace_id,
            span_id=number.to_bytes(8, "big"),
            name="chat",
            start_time_unix_nano=now_ns - 2_000_000_000,
            end_time_unix_nano=now_ns - 1_000_000_000,
        )
    return bytes(request.SerializeToString())


def stored(server: Any) -> int:
    with server.database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(span)).scalar_one())


@contextmanager
def listening(server: Any, *, dev: bool = False, ingest: dict[str, Any] | None = None, **changes: Any) -> Iterator[Any]:
    """Run a gRPC server on the parts of ``server`` and give a channel to it."""
    settings = server.settings
    settings = settings.model_copy(update={"ingest": settings.ingest.model_copy(update=ingest or {})})
    services = server.services(settings=settings, **changes)
    listener = GrpcServer(services, Authenticator(server.database, server.clock, dev=dev), "127.0.0.1", 0)
    listener.start()
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{listener.port}", options=options) as channel:
        try:
            yield channel
        finally:
            listener.stop()


@pytest.fixture
def bearer(local_server: Any) -> tuple[tuple[str, str], ...]:
    """The metadata of a caller who may send."""
    return (("authorization", f"Bearer {local_server.key('ingester')}"),)


def export(channel: grpc.Channel, message: bytes, method: str = TRACES, **more: Any) -> bytes:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
    return call(message, timeout=20, **more)


def refusal(channel: grpc.Channel, message: bytes, method: str = TRACES, **more: Any) -> Any:
    """Return the error of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        export(channel, message, method, **more)
    return caught.value


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


class TestAccepted:
    @pytest.mark.parametrize(
        "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
    )
    def test_it_is_in_the_database_when_the_answer_is_there(
        self, local_server: Any, bearer: Any, compression: grpc.Compression
    ) -> None:
        with listening(local_server) as channel:
            message = body(local_server.now_ns, spans=50)
            answer = export(channel, message, metadata=bearer, compression=compression)
            assert stored(local_server) == 50
            assert not ExportTraceServiceResponse.FromString(answer).HasField("partial_success")

    def test_an_empty_message_is_a_success(self, local_server: Any, bearer: Any) -> None:
        with listening(local_server) as channel:
            assert export(channel, b"", metadata=bearer) == b""

    def test_refused_spans_are_named_and_the_others_kept(self, local_server: Any, bearer: Any) -> None:
        message = body(local_server.now_ns) + body(local_server.now_ns, trace_id=bytes(16))
        with listening(local_server) as channel:
            partial = ExportTraceServiceResponse.FromString(export(channel, message, metadata=bearer)).partial_success
        assert (partial.rejected_spans, stored(local_server)) == (1, 1)
        assert "zero_trace_id" in partial.error_message

    def test_logs_and_metrics_have_services_of_their_own(self, local_server: Any, bearer: Any) -> None:
        logs, metrics = ExportLogsServiceRequest(), ExportMetricsServiceRequest()
        logs.resource_logs.add().scope_logs.add().log_records.add(body={"string_value": "no event"})
        with listening(local_server) as channel:
            answer = export(channel, logs.SerializeToString(), LOGS, metadata=bearer)
            assert ExportLogsServiceResponse.FromString(answer).partial_success.rejected_log_records == 1
            assert export(channel, metrics.SerializeToString(), METRICS, metadata=bearer) == b""

    def test_two_hundred_at_once_are_all_stored(self, local_server: Any, bearer: Any) -> None:
        with listening(local_server, ingest={"max_concurrent": 200}) as channel, ThreadPoolExecutor(200) as senders:
            messages = [body(local_server.now_ns, first=1 + 5 * n, spans=5) for n in range(200)]
            answers = list(senders.map(lambda one: export(channel, one, metadata=bearer), messages))
        assert (answers, stored(local_server)) == ([b""] * 200, 1000)

    def test_above_the_concurrency_of_a_key_they_are_told_to_come_back(self, local_server: Any, bearer: Any) -> None:
        def outcome(number: int) -> tuple[grpc.StatusCode, bool]:
            try:
                export(channel, body(local_server.now_ns, first=number), metadata=bearer)
            except grpc.RpcError as error:
                return error.code(), any(one.key == "google.rpc.retryinfo-bin" for one in error.trailing_metadata())
            return Code.OK, False

        with listening(local_server, ingest={"max_concurrent": 2}) as channel, ThreadPoolExecutor(100) as senders:
            outcomes = Counter(senders.map(outcome, range(1, 101)))
        assert set(outcomes) == {(Code.OK, False), (Code.UNAVAILABLE, True)}
        assert stored(local_server) == outcomes[Code.OK, False]


class TestWho:
    def test_every_form_of_credentials_is_understood(self, local_server: Any) -> None:
        key = local_server.key("ingester")
        basic = base64.b64encode(f"pk:{key}".encode()).decode()
        forms = [f"Bearer {key}", f"Bearer%20{key}", f"Basic {basic}", f"basic%20{basic}"]
        with listening(local_server) as channel:
            for form in forms:
                assert export(channel, b"", metadata=(("authorization", form),)) == b""
            assert export(channel, b"", metadata=(("x-api-key", key),)) == b""

    def test_no_key_and_a_wrong_role_are_told_apart(self, local_server: Any) -> None:
        viewer = (("authorization", f"Bearer {local_server.key('viewer')}"),)
        with listening(local_server) as channel:
            assert refusal(channel, body(local_server.now_ns)).code() is Code.UNAUTHENTICATED
            assert refusal(channel, b"", metadata=(("x-api-key", "nonsense"),)).code() is Code.UNAUTHENTICATED
            assert refusal(channel, body(local_server.now_ns), metadata=viewer).code() is Code.PERMISSION_DENIED
        assert stored(local_server) == 0

    def test_the_developer_on_this_machine_needs_no_key_but_through_a_proxy_does(self, local_server: Any) -> None:
        with listening(local_server, dev=True) as channel:
            export(channel, body(local_server.now_ns))
            error = refusal(channel, b"", metadata=(("x-forwarded-for", "203.0.113.9"),))
        assert (stored(local_server), error.code()) == (1, Code.UNAUTHENTICATED)

    @pytest.mark.parametrize(
        ("peer", "host"),
        [
            ("ipv4:127.0.0.1:51190", "127.0.0.1"),
            ("ipv6:%5B::1%5D:51190", "::1"),
            ("ipv6:[::ffff:203.0.113.9]:51190", "::ffff:203.0.113.9"),
            ("unix:/run/x:1", None),
            ("unix:", None),
            ("", None),
            ("ipv4:", None),
        ],
    )
    def test_a_peer_has_an_address_or_none(self, peer: str, host: str | None) -> None:
        assert peer_to_host(peer) == host


class TestRefused:
    @pytest.mark.parametrize(
        "message",
        [b"\xff\xff\xff", b"\x1f\x8bnonsense", gzip.compress(b"\x0a")[:-4], b"\x78nonsense", b"{}"],
        # A gzip header holds the time: a name made from it would differ between the processes that collect it.
        ids=["ones", "no gzip", "half a gzip", "no zlib", "JSON"],
    )
    def test_garbage_is_an_invalid_argument(self, local_server: Any, bearer: Any, message: bytes) -> None:
        with listening(local_server) as channel:
            error = refusal(channel, message, metadata=bearer)
        assert error.code() is Code.INVALID_ARGUMENT
        assert dict(error.trailing_metadata()).get("google.rpc.retryinfo-bin") is None

    @pytest.mark.parametrize(
        ("message", "compression"),
        [
            (b"\x0a" * 5000, grpc.Compression.NoCompression),
            (b"\x0a" * 9000, grpc.Compression.Gzip),
            (b"\x0a" * 100_000_000, grpc.Compression.Gzip),
        ],
        ids=["as sent", "inflated", "bomb"],
    )
    def test_a_message_above_a_limit_is_exhausted_for_good(
        self, local_server: Any, bearer: Any, message: bytes, compression: grpc.Compression
    ) -> None:
        limits = {"max_body_bytes": 4096, "max_decompressed_bytes": 8192}
        if len(message) > 1_000_000:
            limits = {"max_body_bytes": 1_000_000}
        with listening(local_server, ingest=limits) as channel:
            error = refusal(channel, message, metadata=bearer, compression=compression)
            assert error.code() is Code.RESOURCE_EXHAUSTED
            assert dict(error.trailing_metadata()).get("google.rpc.retryinfo-bin") is None
            # The connection lives on.
            assert export(channel, b"", metadata=bearer) == b""

    @pytest.mark.parametrize("later", [False, True])
    @pytest.mark.parametrize(
        "error",
        [OverloadedError("full", 60.0), DatabaseError("gone"), ConflictError("twice"), RuntimeError("our defect")],
    )
    def test_what_is_wrong_on_this_side_is_unavailable_with_a_short_wait(
        self, local_server: Any, bearer: Any, error: Exception, later: bool
    ) -> None:
        with listening(local_server, intake=BrokenIntake(error, later=later)) as channel:
            answer = refusal(channel, b"", metadata=bearer)
        metadata = dict(answer.trailing_metadata())
        wait = RetryInfo.FromString(metadata["google.rpc.retryinfo-bin"]).retry_delay
        status = Status.FromString(metadata["grpc-status-details-bin"])
        assert (answer.code(), status.code, status.message) == (Code.UNAVAILABLE, 14, answer.details())
        assert 1 <= wait.seconds <= 5
        assert status.details[0].type_url == "type.googleapis.com/google.rpc.RetryInfo"
        assert "our defect" not in answer.details()

    def test_a_stopped_intake_is_unavailable(self, local_server: Any, bearer: Any) -> None:
        local_server.intake.stop()
        with listening(local_server) as channel:
            assert refusal(channel, body(local_server.now_ns), metadata=bearer).code() is Code.UNAVAILABLE

    def test_a_client_that_stops_sending_is_given_up(self, local_server: Any, bearer: Any) -> None:
        def nothing() -> Iterator[bytes]:
            release.result(timeout=20)
            yield from ()

        release: Future[None] = Future()
        with listening(local_server, ingest={"body_timeout_s": 0.1}) as channel:
            call = channel.stream_unary(TRACES).future(nothing(), timeout=20, metadata=bearer)
            assert call.exception().code() is Code.DEADLINE_EXCEEDED
            release.set_result(None)

    def test_a_stream_without_a_message_is_an_invalid_argument(self, local_server: Any, bearer: Any) -> None:
        with listening(local_server) as channel:
            call = channel.stream_unary(TRACES).future(iter(()), timeout=20, metadata=bearer)
            assert call.exception().code() is Code.INVALID_ARGUMENT

    def test_other_methods_do_not_exist(self, local_server: Any) -> None:
        with listening(local_server, dev=True) as channel:
            assert refusal(channel, b"", TRACES + "All").code() is Code.UNIMPLEMENTED

    def test_requests_are_counted_by_signal_and_code(self, local_server: Any, bearer: Any) -> None:
        with listening(local_server) as channel:
            export(channel, b"", metadata=bearer)
            refusal(channel, b"\xff", LOGS, metadata=bearer)
        requests = local_server.metrics.requests
        assert requests.labels("traces", "OK")._value.get() == 1
        assert requests.labels("logs", "INVALID_ARGUMENT")._value.get() == 1


class TestHealth:
    @pytest.mark.parametrize("name", ["", "opentelemetry.proto.collector.trace.v1.TraceService"])
    def test_it_serves_without_a_key(self, local_server: Any, name: str) -> None:
        request = bytes([0x0A, len(name)]) + name.encode() if name else b""
        with listening(local_server) as channel:
            assert export(channel, request, "/grpc.health.v1.Health/Check") == b"\x08\x01"

    def test_it_knows_no_other_service(self, local_server: Any) -> None:
        with listening(local_server) as channel:
            assert refusal(channel, b"\x0a\x01x", "/grpc.health.v1.Health/Check").code() is Code.NOT_FOUND


class TestStartAndStop:
    def make(self, server: Any, port: int) -> GrpcServer:
        authenticator = Authenticator(server.database, server.clock, dev=True)
        return GrpcServer(server.services(), authenticator, "127.0.0.1", port)

    def test_a_busy_port_is_named_with_its_setting(self, local_server: Any) -> None:
        first = self.make(local_server, 0)
        first.start()
        second = self.make(local_server, first.port)
        with pytest.raises(UnavailableError, match=rf"{first.port}.*CUSTODES_GRPC__PORT"):
            second.start()
        second.stop()
        first.stop()

    def test_one_that_never_started_can_be_stopped(self, local_server: Any) -> None:
        self.make(local_server, 0).stop()

    def test_what_is_under_way_is_answered_before_it_stops(self, local_server: Any) -> None:
        class SlowIntake:
            """Says that it has a request, and commits when told to."""

            def __init__(self) -> None:
                self.taken: Future[None] = Future()
                self.outcome: Future[StoreOutcome] = Future()

            def ingest_plain(self, *_: object) -> Future[StoreOutcome]:
                self.taken.set_result(None)
                return self.outcome

        intake = SlowIntake()
        authenticator = Authenticator(local_server.database, local_server.clock, dev=True)
        listener = GrpcServer(local_server.services(intake=intake), authenticator, "127.0.0.1", 0)
        listener.start()
        with grpc.insecure_channel(f"127.0.0.1:{listener.port}") as channel, ThreadPoolExecutor(1) as pool:
            method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(TRACES)
            call = method.future(b"", timeout=20)
            intake.taken.result(timeout=20)
            stopping = pool.submit(listener.stop)
            assert not stopping.done()
            intake.outcome.set_result(StoreOutcome(None, 0, 0))
            assert call.result() == b""
            stopping.result(timeout=20)
