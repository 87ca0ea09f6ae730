"""The demo, really running: seeded history, live traffic, the console in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from ui.launch import streamlit_arguments

HERE = Path(__file__).parent


@dataclass(frozen=True)
class RunningDemo:
    """Where the demo listens, what it prints, and when it was up."""

    api_url: str
    console_url: str
    log: Path
    up_s: float


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """Run ``custodes demo`` until the tests are over; an incident is in its history."""
    folder = tmp_path_factory.mktemp("demo")
    api_port, console_port = _free_ports(2)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("CUSTODES_", "OTEL_"))},
        "CUSTODES_DATA_DIR": str(folder),
        "CUSTODES_HTTP__PORT": str(api_port),
        "CUSTODES_GRPC__PORT": "0",
        "CUSTODES_CONSOLE__PORT": str(console_port),
    }
    log = folder / "demo.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "custodes", "demo", "--days", "1"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    api, console = f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{console_port}"
    try:
        _wait(lambda: process.poll() is not None or _is_up(api, console), 150)
        assert process.poll() is None, log.read_text()
        assert _is_up(api, console), log.read_text()
        yield RunningDemo(api, console, log, time.time())
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert code == 0, log.read_text()


@pytest.fixture(scope="module")
def api_url(demo: RunningDemo) -> str:
    """The address of the API."""
    return demo.api_url


@pytest.fixture(scope="module")
def console_url(demo: RunningDemo) -> str:
    """The address of the console."""
    return demo.console_url


@pytest.fixture(scope="session")
def looking() -> ModuleType:
    """The module ``browser.py``: how a page is opened, awaited and photographed."""
    return _load("console_e2e_browser", HERE / "browser.py")


@pytest.fixture(scope="module")
def chromium(looking: ModuleType) -> Iterator[Browser | None]:
    """A headless Chromium, None where none can be had.

    It ends with its module: Playwright keeps an event loop running in this thread, which later tests must not meet.
    """
    with sync_playwright() as playwright:
        path = looking.find_chromium(playwright)
        if path is None:
            yield None
            return
        browser = playwright.chromium.launch(executable_path=path, args=looking.ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def browser(request: pytest.FixtureRequest, chromium: Browser | None) -> Iterator[Browser]:
    """A headless Chromium. Without one the test is named as not run; in CI that is a failure."""
    if chromium is None:
        message = f"no Chromium found on this machine; not run: {request.node.nodeid}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    yield chromium
    for context in chromium.contexts:
        context.close()


@pytest.fixture
def fake_console() -> Iterator[Callable[[Any], str]]:
    """A function that starts a console before a server in memory and returns the console's address."""
    stops: list[Callable[[], None]] = []

    def start(api: Any) -> str:
        server = _serve(api)
        stops.append(server.shutdown)
        stops.append(server.server_close)
        (port,) = _free_ports(1)
        arguments = streamlit_arguments("127.0.0.1", port, f"http://127.0.0.1:{server.server_address[1]}")
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stops.append(lambda: _end(process))
        url = f"http://127.0.0.1:{port}"
        _wait(lambda: process.poll() is not None or _answers(f"{url}/_stcore/health"), 60)
        assert _answers(f"{url}/_stcore/health")
        return url

    yield start
    for stop in reversed(stops):
        stop()


@pytest.fixture(scope="session")
def fake_module() -> ModuleType:
    """The module ``fake_api.py`` of the console's unit tests: a server in memory."""
    return _load("console_test_fake_api", HERE.parent / "unit" / "ui" / "fake_api.py")


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _serve(api: Any) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, document = api.answer(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Stay silent: the tests read what was asked from ``api.requests``."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _free_ports(count: int) -> list[int]:
    holders = [socket.socket() for _ in range(count)]
    for holder in holders:
        holder.bind(("127.0.0.1", 0))
    ports: list[int] = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


def _is_up(api_url: str, console_url: str) -> bool:
    return _answers(f"{api_url}/readyz") and _answers(f"{console_url}/_stcore/health")


def _wait(check: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not check() and time.monotonic() < deadline:
        threading.Event().wait(0.2)
