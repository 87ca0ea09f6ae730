"""Capture prompts and responses inside vLLM: ``vllm serve MODEL --middleware custodes_sdk.vllm.Capture``.

Works in any ASGI application that speaks the OpenAI API. Configured by ``CUSTODES_SDK_`` variables, because vLLM
constructs its middleware with the application alone.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from custodes_sdk.capture.otlp import Origin
from custodes_sdk.capture.record import CallRecord, captured_path
from custodes_sdk.capture.recorder import Recorder
from custodes_sdk.environment import DEFAULT_ENDPOINT, SdkEnvironment, read_environment
from custodes_sdk.sending.quiet import QuietLog

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

EXIT_TIMEOUT_S = 2.0


class Capture:
    """ASGI middleware that records chat completions, completions, responses and embeddings while they pass.

    Every byte passes as it came and when it came; what is noted is read and sent on another thread. Whatever goes
    wrong here, the request is served as if the middleware were not there.
    """

    def __init__(
        self, app: Application, *, settings: SdkEnvironment | None = None, recorder: Recorder | None = None
    ) -> None:
        self._app = app
        self._log = QuietLog()
        settings = settings or read_environment()
        self._limit = settings.max_body_bytes
        self.recorder = recorder or _make_recorder(settings, self._log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        watch = self._watch(scope)
        if watch is None:
            ends = scope.get("type") == "lifespan"
            await self._app(scope, receive, self._flushing(send) if ends else send)
            return
        try:
            await self._app(scope, watch.receiving(receive), watch.sending(send))
        except BaseException as error:
            # A server cancels the task of a client that has gone.
            watch.end("cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__)
            raise
        watch.end(None)

    def _flushing(self, send: Send) -> Send:
        """Send what waits before the server says that it has shut down: uvicorn ends by the signal it was sent,
        and handlers of the interpreter's exit do not run then."""

        async def flushed(message: Message) -> None:
            if str(message.get("type", "")).startswith("lifespan.shutdown."):
                with contextlib.suppress(Exception):
                    await asyncio.to_thread(self.recorder.flush, EXIT_TIMEOUT_S)
            await send(message)

        return flushed

    def _watch(self, scope: Scope) -> _Watch | None:
        try:
            if scope.get("type") != "http":
                return None
            kind = captured_path(scope["method"], scope["path"])
            if kind is None:
                return None
            record = CallRecord.begin(kind, scope["path"], scope["headers"], limit=self._limit)
            return _Watch(record, self.recorder, self._log)
        except Exception as error:  # The host's request matters more than its record.
            self._log.caution("cannot capture a call: %s", type(error).__name__)
            return None


class _Watch:
    """Follows one call through its messages."""

    def __init__(self, record: CallRecord, recorder: Recorder, log: QuietLog) -> None:
        self._record = record
        self._recorder = recorder
        self._log = log
        self._ended = False
        self._complete = False

    def receiving(self, receive: Receive) -> Receive:
        async def watched() -> Message:
            message = await receive()
            self._note(self._received, message)
            return message

        return watched

    def sending(self, send: Send) -> Send:
        async def watched(message: Message) -> None:
            self._note(self._sent, message)
            await send(message)

        return watched

    def end(self, failure: str | None) -> None:
        """Hand the record on, once."""
        if self._ended:
            return
        self._ended = True
        try:
            if failure is None and not self._complete:
                failure = "client_disconnected"
            self._record.finish(time.time_ns(), failure)
            self._recorder.take(self._record)
        except Exception as error:  # As above.
            self._log.caution("cannot capture a call: %s", type(error).__name__)

    def _note(self, take: Callable[[Message], None], message: Message) -> None:
        try:
            take(message)
        except Exception as error:  # As above.
            self._log.caution("cannot capture a call: %s", type(error).__name__)

    def _received(self, message: Message) -> None:
        if message["type"] == "http.request":
            self._record.request.add(message.get("body", b""))
        elif message["type"] == "http.disconnect" and not self._complete:
            self._record.failure = "client_disconnected"

    def _sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._record.answer(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._record.piece(message.get("body", b""), time.time_ns())
            if not message.get("more_body", False):
                self._complete = True
                # The client has its answer; what the application does afterwards is not part of the call.
                self.end(None)


def _make_recorder(settings: SdkEnvironment, log: QuietLog) -> Recorder:
    origin = Origin(
        service=settings.service or "vllm",
        deployment=settings.deployment,
        environment=settings.environment,
        provider="vllm",
        is_server=True,
        capture_text=settings.capture_text,
    )
    recorder = Recorder(settings.endpoint or DEFAULT_ENDPOINT, settings.key, origin, log=log)
    atexit.register(recorder.close, EXIT_TIMEOUT_S)
    return recorder
