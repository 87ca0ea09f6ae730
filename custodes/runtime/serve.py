"""Running built processes in the foreground until a signal ends them."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from custodes.kernel.errors import ConfigurationError
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.settings import Settings
from custodes.runtime.app import App, build
from custodes.runtime.console import ConsoleChild
from custodes.runtime.interpreter import tune_interpreter
from custodes.runtime.memory import return_large_blocks
from custodes.runtime.ports import bind_port, check_port_free

log = get_logger("runtime")
_LOOK_S = 0.5
Announce = Callable[[App], None]


def run_server(
    settings: Settings,
    *,
    work: bool,
    console: bool,
    announce: Announce | None = None,
    farewell: Callable[[], None] | None = None,
) -> None:
    """Serve the API, and with ``work`` and ``console`` everything else, until SIGINT or SIGTERM.

    ``announce`` is called once, when the port answers, ``farewell`` before it closes. On return every
    accepted request is committed and every part has stopped.
    """
    return_large_blocks()
    listener = bind_port(settings.http.host, settings.http.port, "CUSTODES_HTTP__PORT")
    if settings.grpc.enabled:
        check_port_free(settings.grpc_host, settings.grpc.port, "CUSTODES_GRPC__PORT")
    try:
        actual = settings.model_copy(
            update={"http": settings.http.model_copy(update={"port": listener.getsockname()[1]})}
        )
        app = build(actual, serve=True, work=work)
        try:
            if console:
                child = ConsoleChild(actual)
                app.add("console", child.start, child.stop)
            app.start()
            tune_interpreter()
            if app.api is None:
                raise RuntimeError("build(serve=True) gave no API")
            _serve_http(app.api, listener, (lambda: announce(app)) if announce else None, farewell)
        finally:
            app.stop()
    finally:
        listener.close()


def run_worker(settings: Settings) -> None:
    """Score, evaluate, deliver and sequence until SIGINT or SIGTERM.

    Raises ``ConfigurationError`` when a worker meets what no waiting mends, such as a model file that was changed.
    """
    app = build(settings, serve=False, work=True)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    try:
        app.start()
        log.info("worker started", extra=fields(database=app.database.dialect, workers=len(app.workers)))
        while not stop.wait(_LOOK_S):
            for worker in app.workers:
                if worker.broken.is_set():
                    raise ConfigurationError(worker.problem() or "a worker ended")
    finally:
        app.stop()


def _serve_http(
    api: FastAPI,
    listener: socket.socket,
    announce: Callable[[], None] | None,
    farewell: Callable[[], None] | None,
) -> None:
    config = uvicorn.Config(
        api,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=15,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = _AnnouncingServer(config, announce, farewell)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn shuts down in order and then raises the signal once more. With the default handlers that would
    # end the process there, before the other parts have stopped.
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        # asyncio.run would take asyncio's own loop; uvicorn knows the faster one where it is installed.
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve(sockets=[listener]))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    log.info("stopped")


class _AnnouncingServer(uvicorn.Server):
    """Calls ``announce`` once, when the port answers, and ``farewell`` before it stops answering."""

    def __init__(
        self, config: uvicorn.Config, announce: Callable[[], None] | None, farewell: Callable[[], None] | None
    ) -> None:
        super().__init__(config)
        self._announce = announce
        self._farewell = farewell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self._announce is not None and self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._farewell is not None:
            self._farewell()
        await super().shutdown(sockets=sockets)
