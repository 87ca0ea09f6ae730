"""Runs the proxy in the foreground until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

import uvicorn

from custodes.kernel.logs import fields, get_logger
from custodes.runtime.ports import bind_port
from custodes.runtime.proxy.forward import Proxy
from custodes.runtime.proxy.upstream import Upstream, split_address
from custodes_sdk.capture.otlp import Origin
from custodes_sdk.capture.recorder import Recorder

log = get_logger("proxy")

LAST_SEND_S = 5.0
REPORT_S = 60.0


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """How one proxy runs. ``grace_s`` is how long open calls may take to end after a signal."""

    upstream: str
    host: str
    port: int
    endpoint: str
    key: str | None
    service: str
    deployment: str | None
    environment: str | None
    provider: str | None
    capture_text: bool
    max_body_bytes: int
    timeout_s: float
    grace_s: float


def run_proxy(options: ProxyOptions, announce: Callable[[str], None]) -> None:
    """Pass calls on until SIGINT or SIGTERM; ``announce`` gets the address once the port answers.

    Then open calls may end within ``grace_s``, and captured ones are sent for at most five seconds more. Raises
    ``ConfigurationError`` for an upstream, an endpoint or a port that cannot be used.
    """
    upstream = Upstream.parse(options.upstream)
    split_address("--endpoint", options.endpoint, "http://127.0.0.1:4318")
    origin = Origin(
        service=options.service,
        deployment=options.deployment,
        environment=options.environment,
        provider=options.provider or upstream.provider,
        capture_text=options.capture_text,
    )
    listener = bind_port(options.host, options.port, "--port")
    recorder = Recorder(options.endpoint, options.key, origin)
    proxy = Proxy(upstream, recorder, max_body_bytes=options.max_body_bytes, timeout_s=options.timeout_s)
    try:
        _serve(proxy, recorder, listener, options.grace_s, announce)
    finally:
        listener.close()
        recorder.close(LAST_SEND_S)
        _report(proxy, recorder, "the proxy stopped")


def _serve(
    proxy: Proxy, recorder: Recorder, listener: socket.socket, grace_s: float, announce: Callable[[str], None]
) -> None:
    config = uvicorn.Config(
        proxy,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        # What the upstream says about itself passes; nothing is added to it.
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(grace_s)),
        h11_max_incomplete_event_size=256 * 1024,
    )
    server = uvicorn.Server(config)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # As in custodes.runtime.serve: uvicorn raises the signal once more when it has shut down.
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    host, port = listener.getsockname()[:2]
    try:
        asyncio.run(_run(server, proxy, recorder, listener, lambda: announce(f"http://{host}:{port}")))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _run(
    server: uvicorn.Server, proxy: Proxy, recorder: Recorder, listener: socket.socket, announce: Callable[[], None]
) -> None:
    reporting = asyncio.create_task(_report_losses(proxy, recorder))
    # The listener is bound and takes connections from now on; uvicorn serves them in a moment.
    announce()
    try:
        await server.serve(sockets=[listener])
    finally:
        reporting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reporting
        await proxy.close()


async def _report_losses(proxy: Proxy, recorder: Recorder) -> None:
    """Write a line a minute while calls are being lost."""
    told = 0
    while True:
        await asyncio.sleep(REPORT_S)
        lost = sum(recorder.counts().lost.values())
        if lost > told:
            told = lost
            _report(proxy, recorder, "captured calls are being lost")


def _report(proxy: Proxy, recorder: Recorder, message: str) -> None:
    counts = recorder.counts()
    log.info(
        message,
        extra=fields(
            calls=proxy.traffic.calls,
            captured=counts.taken,
            sent=counts.sent,
            queued=counts.queued,
            **{f"lost_{reason}": n for reason, n in sorted(counts.lost.items())},
        ),
    )
