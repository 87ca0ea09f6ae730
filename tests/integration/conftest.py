"""A real Custodes process on free ports, and a small OpenAI-compatible server to drive real clients against."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until(check: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll ``check`` until it holds; fail naming ``what`` otherwise."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if check():
            return
        threading.Event().wait(0.1)
    raise AssertionError(f"{what} did not happen within {timeout_s} s")


@dataclass
class Server:
    """A running ``custodes`` process."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    environment: dict[str, str]

    @property
    def grpc_address(self) -> str:
        """Host and port of OTLP/gRPC, as the process announced them."""
        announced = re.compile(r"gRPC at +http://(\S+)")
        wait_until(lambda: announced.search(self.log.read_text()) is not None, 30, "the announcement of gRPC")
        address: str = announced.findall(self.log.read_text())[0]
        return address

    def get(self, path: str, **params: str | int) -> dict[str, object]:
        answer = httpx.get(f"{self.url}{path}", params=params, timeout=10, trust_env=False)
        assert answer.status_code == 200, answer.text
        body: dict[str, object] = answer.json()
        return body

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another ``custodes`` command on the same data directory."""
        return subprocess.run(
            [sys.executable, "-m", "custodes", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


Launch = Callable[..., Server]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start ``custodes up --dev --no-console`` (or other arguments) on a data directory; stop it at the end."""
    with _launching(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def shared_launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """As ``launch``, for a process that all tests of a module use."""
    with _launching(tmp_path_factory.mktemp("shared")) as start:
        yield start


@contextmanager
def _launching(folder: Path) -> Iterator[Launch]:
    running: list[Server] = []

    def start(*arguments: str, data_dir: Path | None = None, ready: bool = True, **settings: str) -> Server:
        port = free_port()
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("CUSTODES_", "OTEL_"))},
            "CUSTODES_DATA_DIR": str(data_dir or folder / "data"),
            "CUSTODES_HTTP__PORT": str(port),
            "CUSTODES_GRPC__PORT": "0",
            "CUSTODES_POLICY__INTERVAL_S": "0.5",
            "CUSTODES_MODELS__THREADS": "1",
            **settings,
        }
        log = folder / f"server-{port}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "custodes", *(arguments or ("up", "--dev", "--no-console"))],
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        server = Server(process, f"http://127.0.0.1:{port}", log, environment)
        running.append(server)
        if ready:
            wait_until(lambda: process.poll() is not None or _is_ready(server.url), 90, f"readiness ({log})")
            assert process.poll() is None, log.read_text()
        return server

    try:
        yield start
    finally:
        for server in running:
            if server.process.poll() is None:
                server.process.terminate()
                try:
                    server.process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    server.process.kill()
                    server.process.wait()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def wait_for() -> Callable[[Callable[[], bool], float, str], None]:
    """The polling helper, for tests that follow a running process."""
    return wait_until
