"""OTLP over gRPC: the same intake, limits and answers as over HTTP, on a port of its own.

The services are registered as methods from bytes to bytes, so a message is parsed once, by the intake. A caller is
checked before its message is received. Decompression is left to ``read_body``, with the limits it has.

Exporters send again after UNAVAILABLE; the wait is in ``google.rpc.retryinfo-bin``, where the one for Python looks,
and in ``grpc-status-details-bin``, where the others do. Bad input is INVALID_ARGUMENT, and a message that is too large
RESOURCE_EXHAUSTED without a wait, which means that sending it again cannot help.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from starlette.concurrency import run_in_threadpool

from collector.auth import Authenticator, Principal
from collector.grpc_receiving import ReceivingSlots
from collector.otlp.body import Encoding, guess_compression
from collector.otlp.responses import Signal, success_body
from collector.reception import Reception, Refusal, error_to_refusal
from collector.services import Services
from custodes.kernel.errors import UnavailableError
from custodes.kernel.logs import fields, get_logger

GRACE_S = 15.0
"""How long requests under way may take to end when the server stops."""

_SERVICES = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
_HEALTH = "grpc.health.v1.Health"
# HealthCheckResponse with the status SERVING. A server that does not serve gives no answer at all.
_SERVING = b"\x08\x01"
_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
_STREAMS = 1_024
# Headers are small, and those of an error share their room.
_MESSAGE_CHARACTERS = 1_000
_log = get_logger("otlp")


class GrpcServer:
    """Serves OTLP/gRPC in a thread of its own; start it once, stop it once."""

    def __init__(self, services: Services, authenticator: Authenticator, host: str, port: int) -> None:
        self._services = services
        self._authenticator = authenticator
        self._host = host
        self._wanted = port
        self._reception = Reception(services)
        self._slots = ReceivingSlots(services.settings.ingest, services.metrics)
        self._bound: Future[int] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="custodes-grpc", daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on, once started."""
        return self._bound.result()

    def start(self) -> None:
        """Begin to serve; raises ``UnavailableError`` naming the setting when the port cannot be had."""
        self._thread.start()
        self._bound.result()

    def stop(self) -> None:
        """Take no new requests, answer those under way, and return; cut off what takes longer than the grace."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._bound.done():
                raise
            self._bound.set_exception(error)

    async def _serve(self) -> None:
        ingest = self._services.settings.ingest
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", ingest.max_body_bytes),
                ("grpc.per_message_decompression", 0),
                # Otherwise a second server on the same port would take half of the requests, and nobody would know.
                ("grpc.so_reuseport", 0),
                # Far above the limit of a key, which is refused with a wait; a stream above this one is just reset.
                ("grpc.max_concurrent_streams", max(_STREAMS, 2 * ingest.max_concurrent)),
                # Exporters keep idle connections open with pings; by default such clients are sent away.
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ]
        )
        for signal, name in _SERVICES.items():
            _add_method(server, name, "Export", grpc.stream_unary_rpc_method_handler(self._exporter(signal)))
        _add_method(server, _HEALTH, "Check", grpc.unary_unary_rpc_method_handler(_check_health))
        port = _bind(server, self._host, self._wanted)
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        await server.start()
        self._bound.set_result(port)
        await self._stopping.wait()
        await server.stop(GRACE_S)

    def _exporter(self, signal: Signal) -> Any:
        """Return the method that takes ``signal`` in."""
        requests = self._services.metrics.requests

        # Registered as a stream of requests, because only such a method decides itself when a message is received.
        # On the wire there is no difference.
        async def export(_: Any, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            try:
                answer = await self._export(signal, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                refusal = error_to_refusal(error, signal)
                code = _CODES.get(refusal.status, grpc.StatusCode.INVALID_ARGUMENT)
                requests.labels(signal.value, code.name).inc()
                _log.info("request refused", extra=fields(status=code.name, reason=refusal.message))
                await _abort(context, code, refusal)
            requests.labels(signal.value, "OK").inc()
            return answer

        return export

    async def _export(self, signal: Signal, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        caller = await self._authenticate(context)
        with self._services.limits.admit(caller) as reservation:
            body = await self._slots.receive(caller.actor, context.read, reservation)
            compression = guess_compression(body)
            rejected = await self._reception.take(signal, caller, reservation, body, Encoding.PROTOBUF, compression)
        return success_body(Encoding.PROTOBUF, rejected, signal)

    async def _authenticate(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> Principal:
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        caller = self._authenticator.recall(headers)
        if caller is None:
            # The name the client used for the server is not told here, and need not be: no browser can be made to
            # speak gRPC, so there is no page that could borrow the rights of --dev.
            caller = await run_in_threadpool(self._authenticator.authenticate, headers, peer_to_host(context.peer()))
        caller.require("ingest")
        return caller


def peer_to_host(peer: str) -> str | None:
    """Return the address in gRPC's name of a peer, e.g. ``::1`` for ``ipv6:%5B::1%5D:50051``; ``None`` without one."""
    kind, _, address = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    return address.rpartition(":")[0].strip("[]") or None


async def _check_health(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    """Answer ``grpc.health.v1.Health/Check`` for the server as a whole and for each service."""
    # HealthCheckRequest holds one text, the service's name, which is field 1.
    name = request[2:].decode("utf-8", "replace")
    if name not in ("", *_SERVICES.values()):
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
    return _SERVING


def _add_method(server: grpc.aio.Server, service: str, name: str, method: grpc.RpcMethodHandler[bytes, bytes]) -> None:
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))


def _bind(server: grpc.aio.Server, host: str, port: int) -> int:
    shown = f"[{host}]" if ":" in host else host
    try:
        return server.add_insecure_port(f"{shown}:{port}")
    except RuntimeError as error:
        raise UnavailableError(
            f"cannot listen for gRPC on {shown}:{port}; stop the program that holds the port, choose another with "
            "CUSTODES_GRPC__PORT, or set CUSTODES_GRPC__ENABLED=false"
        ) from error


async def _abort(context: grpc.aio.ServicerContext[bytes, bytes], code: grpc.StatusCode, refusal: Refusal) -> None:
    message = refusal.message[:_MESSAGE_CHARACTERS]
    if refusal.retry_after_s is None:
        await context.abort(code, message)
    wait = RetryInfo(retry_delay=Duration(seconds=refusal.retry_after_s))
    packed = AnyMessage()
    packed.Pack(wait)
    status = Status(code=code.value[0], message=message, details=[packed])
    metadata = (
        ("google.rpc.retryinfo-bin", wait.SerializeToString()),
        ("grpc-status-details-bin", status.SerializeToString()),
    )
    await context.abort(code, message, metadata)
