"""What the SDK costs the thread that uses it, and what ``custodes proxy`` adds to a call."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import custodes_sdk
from bench.measurement import Measurement, median_seconds

PROMPT = "x" * 1200
ANSWER = "y" * 800
ATTRIBUTES = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.input.messages": PROMPT,
    "gen_ai.output.messages": ANSWER,
}
_CALLS = 2_000
_REQUESTS = 300


def measure() -> list[Measurement]:
    """Return microseconds per call in the host's thread, and milliseconds per call through the proxy."""
    with _server() as url:
        return [*_measure_host(url), *_measure_proxy(url)]


def _measure_host(url: str) -> list[Measurement]:
    plain = TracerProvider(shutdown_on_exit=False).get_tracer("bench")
    without = _microseconds(lambda: _make_span(plain))
    custodes_sdk.init(url, service="bench", instrument=False)
    tracer = trace.get_tracer("bench")
    answer = custodes_sdk.exchange(_answer)
    found = [
        Measurement("span without the SDK", without, "µs"),
        Measurement("span with the SDK", _microseconds(lambda: _make_span(tracer)), "µs"),
        Measurement("recorded function", _microseconds(lambda: answer(PROMPT, ["d" * 500])), "µs"),
        Measurement("context", _microseconds(_enter_context), "µs"),
        Measurement("spans lost meanwhile", float(sum(custodes_sdk.statistics().spans.lost.values())), "spans"),
    ]
    custodes_sdk.shutdown(5)
    return found


def _measure_proxy(url: str) -> list[Measurement]:
    with _proxy(url) as address:
        direct = _latencies(url)
        through = _latencies(address)
    return [
        Measurement("call, direct, median", statistics.median(direct), "ms"),
        Measurement("call, through the proxy, median", statistics.median(through), "ms"),
        Measurement("added by the proxy, median", statistics.median(through) - statistics.median(direct), "ms"),
        Measurement("added by the proxy, p99", _p99(through) - _p99(direct), "ms"),
    ]


def _answer(prompt: str, documents: list[str]) -> str:
    return ANSWER


def _make_span(tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("chat m", attributes=ATTRIBUTES):
        pass


def _enter_context() -> None:
    with custodes_sdk.context(session="s", user="u", attributes={"group": "de"}):
        pass


def _microseconds(call: Callable[[], object]) -> float:
    def many() -> None:
        for _ in range(_CALLS):
            call()

    return median_seconds(many) / _CALLS * 1e6


def _latencies(url: str) -> list[float]:
    """Return milliseconds of calls made one after the other on one connection."""
    body = {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}
    taken = []
    with httpx.Client(base_url=url, trust_env=False) as client:
        for _ in range(_REQUESTS):
            began = time.perf_counter()
            client.post("/v1/chat/completions", json=body)
            taken.append((time.perf_counter() - began) * 1e3)
    return taken[10:]


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


class _Handler(BaseHTTPRequestHandler):
    """Answers model calls, and takes telemetry as Custodes does."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        kind = self.headers["content-type"]
        body = b""
        if self.path.endswith("/completions"):
            choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
            body = json.dumps({"model": "m", "choices": [choice]}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@contextmanager
def _server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def _proxy(url: str) -> Iterator[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CUSTODES_")}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "custodes", "proxy", "--port", "0", "--upstream", url, "--endpoint", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=clean,
        text=True,
    )
    if process.stdout is None:
        raise RuntimeError("the proxy has no output to read its address from")
    yield process.stdout.readline().split()[2]
    process.terminate()
    process.wait(timeout=30)
    process.stdout.close()
