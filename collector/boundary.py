"""The outermost layer of the HTTP server: limits on bodies, security headers, request counts.

A plain ASGI class, because it must see the body while it arrives. It answers nothing itself except an unexpected
error, which becomes a problem document like every other.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.rest.problems import error_to_response
from custodes.kernel.errors import MalformedError
from custodes.kernel.metrics import Metrics

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Sent with every answer. No CORS header is ever sent: browsers must not read this API from other sites."""


_DRAIN_FACTOR = 4
_DRAIN_S = 5.0
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestBoundary:
    """Wraps the application.

    A body has at most ``limit`` bytes, or ``otlp_limit`` where the path is one of ``otlp_paths``, and ``timeout_s``
    seconds to arrive. Of a larger one the rest is read and thrown away before it is refused, up to four times the
    limit and for at most five seconds, because many clients look for an answer only when they have sent everything.
    Requests to ``otlp_paths`` are counted where they are answered, not here.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        limit: int,
        otlp_limit: int,
        otlp_paths: Collection[str],
        timeout_s: float,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._limit = limit
        self._otlp_limit = otlp_limit
        self._otlp_paths = otlp_paths
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_otlp = scope["path"] in self._otlp_paths
        body = _BoundedBody(receive, self._otlp_limit if is_otlp else self._limit, self._timeout_s)
        answer = _Answer(send)
        try:
            # The addresses of OTLP are fixed and their queries are not looked at.
            if not is_otlp:
                _refuse_nul(scope)
            await self._app(scope, body.receive, answer.send)
        except Exception as error:
            # After the first byte of an answer nothing better can be said; the server closes the connection.
            if answer.status is not None:
                raise
            await error_to_response(error)(scope, receive, answer.send)
        finally:
            if not is_otlp:
                # A client may invent methods; it must not invent time series.
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.http_requests.labels(method, str(answer.status or 499)).inc()


def _refuse_nul(scope: Scope) -> None:
    """Raise ``MalformedError`` for NUL in the address: PostgreSQL has no text that holds one, so nothing can match."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"] or b"\0" in scope["query_string"]:
        raise MalformedError("the address holds a NUL character; leave it out")


class _BoundedBody:
    """Counts the bytes of one body and gives the client a fixed time, in all, to send it."""

    def __init__(self, receive: Receive, limit: int, timeout_s: float) -> None:
        self._receive = receive
        self._limit = limit
        self._timeout_s = timeout_s
        self._deadline: float | None = None
        self._seen = 0
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        if self._deadline is None:
            self._deadline = time.monotonic() + self._timeout_s
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                message = await self._receive()
        except TimeoutError as error:
            detail = f"the body did not arrive within {self._timeout_s:g} s; send it faster or in smaller parts"
            raise HTTPException(408, detail, {"connection": "close"}) from error
        self._seen += len(message.get("body", b""))
        if self._seen > self._limit:
            if message.get("more_body", False):
                await self._drain(min(self._deadline, time.monotonic() + _DRAIN_S))
            raise HTTPException(413, f"the body is larger than {self._limit} bytes; send it in smaller parts")
        self._complete = not message.get("more_body", False)
        return message

    async def _drain(self, deadline: float) -> None:
        """Take the rest of the body off the connection: closed with bytes unread, it is reset, answer and all."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                while not self._complete and self._seen <= _DRAIN_FACTOR * self._limit:
                    message = await self._receive()
                    self._seen += len(message.get("body", b""))
                    self._complete = not message.get("more_body", False)


class _Answer:
    """Adds the security headers to an answer and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)
