"""One call through the proxy, as an ASGI application: bytes in, bytes out, and a record of what passed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpcore
import orjson
from starlette.types import Message, Receive, Scope, Send

from custodes.kernel.logs import fields, get_logger
from custodes.runtime.proxy.report import METRICS_PATH, Traffic, metrics_text
from custodes.runtime.proxy.upstream import Upstream, open_pool, response_headers, timeouts
from custodes_sdk.capture.encoding import READABLE
from custodes_sdk.capture.record import CallRecord, captured_path
from custodes_sdk.capture.recorder import Recorder

_log = get_logger("proxy")
_LINE_INTERVAL_S = 60.0
_CODINGS = frozenset(coding.encode() for coding in READABLE)


class ClientLeftError(Exception):
    """The client closed its connection before its answer was complete."""


@dataclass(slots=True)
class _Call:
    """What one call needs while it passes."""

    receive: Receive
    send: Send
    record: CallRecord | None
    body_read: asyncio.Event = field(default_factory=asyncio.Event)
    started: bool = False
    failure: str | None = None

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the request's body as it arrives; raise ``ClientLeftError`` when the client leaves first."""
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientLeftError
            piece: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            if self.record is not None:
                self.record.request.add(piece)
            if piece:
                yield piece
        self.body_read.set()

    async def until_gone(self) -> None:
        """Return when the client has closed its connection."""
        await self.body_read.wait()
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def answer(self, message: Message) -> None:
        """Pass a piece of the answer on, and note it."""
        if message["type"] == "http.response.start":
            self.started = True
            if self.record is not None:
                self.record.answer(message["status"], message["headers"])
        elif self.record is not None:
            self.record.piece(message["body"], time.time_ns())
        await self.send(message)


class Proxy:
    """Passes every call to one upstream. The recorder never holds a call up, whether Custodes is there or not."""

    def __init__(self, upstream: Upstream, recorder: Recorder, *, max_body_bytes: int, timeout_s: float) -> None:
        self._upstream = upstream
        self._recorder = recorder
        self._max_body_bytes = max_body_bytes
        self._timeouts = timeouts(timeout_s)
        self._pool: httpcore.AsyncConnectionPool | None = None
        self.traffic = Traffic()
        self._next_line = float("-inf")

    async def close(self) -> None:
        """Close the connections to the upstream."""
        if self._pool is not None:
            await self._pool.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if scope["path"] == METRICS_PATH:
            await _reply(send, 200, b"text/plain; version=0.0.4", self.metrics().encode())
            return
        call = _Call(receive, send, self._begin(scope))
        self.traffic.open += 1
        try:
            await self._serve(scope, call)
        finally:
            self.traffic.open -= 1
            self.traffic.calls += 1
            if call.record is not None:
                call.record.finish(time.time_ns(), call.failure)
                self._recorder.take(call.record)

    def metrics(self) -> str:
        """Return the figures of this process in the Prometheus text format."""
        return metrics_text(self.traffic, self._recorder.counts(), self._recorder.oversized)

    def _begin(self, scope: Scope) -> CallRecord | None:
        kind = captured_path(scope["method"], scope["path"])
        if kind is None:
            return None
        address = self._upstream.host
        return CallRecord.begin(
            kind, scope["path"], scope["headers"], limit=self._max_body_bytes, server_address=address
        )

    async def _serve(self, scope: Scope, call: _Call) -> None:
        """Pass a call on until it ends or the client leaves; leaving cancels it at the upstream too."""
        passing = asyncio.create_task(self._pass_on(scope, call))
        leaving = asyncio.create_task(call.until_gone())
        try:
            await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not passing.done():
                call.failure = "client_disconnected"
                self.traffic.left += 1
        finally:
            for task in (passing, leaving):
                task.cancel()
            await asyncio.gather(passing, leaving, return_exceptions=True)
        if not passing.cancelled() and (error := passing.exception()) is not None:
            raise error

    async def _pass_on(self, scope: Scope, call: _Call) -> None:
        try:
            await self._exchange(scope, call)
        except ClientLeftError:
            call.failure = "client_disconnected"
            self.traffic.left += 1
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            await self._fail(call, error)

    async def _exchange(self, scope: Scope, call: _Call) -> None:
        if self._pool is None:
            self._pool = open_pool()
        upstream = self._upstream
        has_body = _has_body(scope)
        if not has_body:
            call.body_read.set()
        codings = _CODINGS if call.record is not None else None
        headers = upstream.request_headers(scope["headers"], codings=codings)
        if has_body and not any(name.lower() == b"content-length" for name, _ in headers):
            headers.append((b"transfer-encoding", b"chunked"))
        request = httpcore.Request(
            scope["method"],
            upstream.url(scope["raw_path"], scope["query_string"]),
            headers=headers,
            content=call.body() if has_body else None,
            extensions=self._timeouts,
        )
        response = await self._pool.handle_async_request(request)
        try:
            kept = response_headers(response.headers)
            await call.answer({"type": "http.response.start", "status": response.status, "headers": kept})
            async for piece in response.aiter_stream():
                await call.answer({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            await response.aclose()
        await call.answer({"type": "http.response.body", "body": b"", "more_body": False})

    def _tell_failure(self, kind: str) -> None:
        """Write a line about the upstream, at most one a minute: an upstream that is down fails every call."""
        now = time.monotonic()
        if now < self._next_line:
            return
        self._next_line = now + _LINE_INTERVAL_S
        told = fields(upstream=self._upstream.host, error=kind, failures=self.traffic.failed)
        _log.warning("the upstream fails", extra=told)

    async def _fail(self, call: _Call, error: Exception) -> None:
        """Answer for an upstream that cannot. An answer that has begun is broken off: nobody must take it for whole."""
        kind = type(error).__name__
        timed_out = isinstance(error, httpcore.TimeoutException)
        call.failure = "upstream_timeout" if timed_out else "upstream_unreachable"
        self.traffic.failed += 1
        self._tell_failure(kind)
        if call.started:
            call.failure = "upstream_broke_off"
            return
        status = 504 if timed_out else 502
        message = f"custodes proxy: the upstream {self._upstream.host} cannot be reached or broke off ({kind})."
        told = {"error": {"message": message, "type": call.failure, "param": None, "code": status}}
        with contextlib.suppress(Exception):
            await _reply(call.answer, status, b"application/json", orjson.dumps(told))


def _has_body(scope: Scope) -> bool:
    named = {name.lower(): bytes(value) for name, value in scope["headers"]}
    return b"transfer-encoding" in named or named.get(b"content-length", b"0").strip() != b"0"


async def _reply(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
