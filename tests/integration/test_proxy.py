"""``custodes proxy`` between the real openai client and an OpenAI-compatible server, into a running Custodes."""

from __future__ import annotations

import asyncio
import http.client
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
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest

pytestmark = pytest.mark.timeout(300)

HERE = Path(__file__).parent
ANSWER = "The warehouse opens at nine."
QUESTION = "When does the warehouse open?"
MESSAGES: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "opening_hours", "parameters": {"type": "object"}}}]


@pytest.fixture
def openai_url() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "openai_server.py")], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip().removesuffix("/v1")
    process.terminate()
    process.wait(timeout=10)
    process.stdout.close()


@dataclass
class Proxy:
    """A running ``custodes proxy``."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def figures(self) -> dict[str, float]:
        lines = httpx.get(f"{self.url}/custodes-proxy/metrics", trust_env=False).text.splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name.removeprefix("custodes_proxy_"): float(value) for name, _, value in pairs}

    def client(self, **more: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="sk-of-the-client", max_retries=0, **more)


@pytest.fixture
def start_proxy(tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Start ``custodes proxy``; it is stopped at the end."""
    running: list[Proxy] = []

    def start(upstream: str, endpoint: str, *options: str, **variables: str) -> Proxy:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("CUSTODES_", "OTEL_"))}
        log = tmp_path / f"proxy-{len(running)}.log"
        given = ("--port", "0", "--upstream", upstream, "--endpoint", endpoint, "--service", "proxied")
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", "custodes", "proxy", *given, *options],
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                text=True,
                env={**clean, **variables},
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Calls to http"), log.read_text()
        running.append(Proxy(process, line.split()[2], log))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.terminate()
        one.process.wait(timeout=40)
        assert one.process.stdout is not None
        one.process.stdout.close()


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, **more)


class TestRealClient:
    def test_every_kind_of_call_arrives_complete(
        self, launch: Any, wait_for: Any, openai_url: str, start_proxy: Callable[..., Proxy]
    ) -> None:
        server = launch()
        proxy = start_proxy(openai_url, server.url, "--deployment", "gpt-v2", "--environment", "prod")
        client = proxy.client(default_headers={"x-session-id": "s-7"})
        assert ask(client, user="u-7").choices[0].message.content == ANSWER
        streamed = ask(client, stream=True, stream_options={"include_usage": True})
        assert "".join(one.choices[0].delta.content or "" for one in streamed if one.choices) == ANSWER
        assert ask(client, tools=TOOLS).choices[0].message.tool_calls[0].function.name == "opening_hours"
        assert client.responses.create(model="gpt-4o-mini", input=QUESTION).output_text == ANSWER
        with pytest.raises(openai.BadRequestError, match="overloaded"):
            client.chat.completions.create(model="gpt-broken", messages=MESSAGES)

        async def ask_async() -> str | None:
            async with openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="k", max_retries=0) as client:
                answer = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
                return answer.choices[0].message.content

        assert asyncio.run(ask_async()) == ANSWER
        client.close()

        found: list[dict[str, Any]] = []

        def all_there() -> bool:
            rows = server.get("/api/v1/traces", service="proxied")["rows"]
            found[:] = [server.get(f"/api/v1/traces/{row['trace_id']}") for row in rows]
            return len(found) == 6 and all(one["state"] != "pending" for trace in found for one in trace["exchanges"])

        wait_for(all_there, 60, "six scored calls")
        spans = [trace["spans"][0] for trace in found]
        plain = [one for one in spans if one["user_id"] == "u-7"]
        assert len(plain) == 1
        assert plain[0]["session_id"] == "s-7"
        assert (plain[0]["deployment"], plain[0]["environment"]) == ("gpt-v2", "prod")
        assert (plain[0]["input_tokens"], plain[0]["output_tokens"]) == (21, 7)
        assert plain[0]["finish_reasons"] == ["stop"]
        with_ttft = [one for one in spans if one["ttft_ms"] is not None]
        assert len(with_ttft) == 1
        assert with_ttft[0]["output_messages"][0]["parts"] == [{"type": "text", "content": ANSWER}]
        failed = [one for one in spans if one["status"] == "error"]
        assert [one["attributes"]["error.type"] for one in failed] == ["server_error"]
        answered = [one for trace in found for one in trace["exchanges"] if one["response"] == ANSWER]
        assert [one["prompt"] for one in answered] == [QUESTION] * 4
        assert all(one["scores"]["toxicity"]["state"] == "assessed" for one in answered)
        assert b"sk-of-the-client" not in (Path(server.environment["CUSTODES_DATA_DIR"]) / "custodes.db").read_bytes()
        assert proxy.figures()["sent_total"] == 6


class TestWithoutCustodes:
    @pytest.mark.parametrize("where", ["closed", "nonsense"])
    def test_traffic_goes_on_and_losses_are_counted(
        self, openai_url: str, start_proxy: Callable[..., Proxy], where: str
    ) -> None:
        # The fake upstream is no Custodes: it answers 404 to telemetry.
        proxy = start_proxy(openai_url, closed_port() if where == "closed" else openai_url)
        with proxy.client() as client:
            for _ in range(20):
                assert ask(client).choices[0].message.content == ANSWER
        figures = proxy.figures()
        assert figures["captured_total"] == 20
        assert figures["sent_total"] == 0
        started = time.monotonic()
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(timeout=20) == 0
        assert time.monotonic() - started < 10
        log = proxy.log.read_text()
        assert "lost_unreachable=20" in log if where == "closed" else "lost_refused=20" in log
        assert QUESTION not in log
        assert ANSWER not in log


class TestUpstreamThatFails:
    def test_a_closed_port_is_a_502_in_the_shape_clients_read(self, start_proxy: Callable[..., Proxy]) -> None:
        proxy = start_proxy(closed_port(), closed_port())
        with proxy.client() as client, pytest.raises(openai.InternalServerError) as caught:
            ask(client)
        assert caught.value.status_code == 502
        assert caught.value.type == "upstream_unreachable"
        assert proxy.figures()["upstream_failures_total"] == 1

    @pytest.mark.parametrize("upstream", ["ftp://x", "api.openai.com", "http://", "http://u:p@x", "http://x:99999"])
    def test_an_address_that_is_none_stops_the_start(self, upstream: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "custodes", "proxy", "--upstream", upstream],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert "--upstream" in done.stderr

    @pytest.mark.parametrize("endpoint", ["nonsense", "ftp://x", "http://", "http://x:99999"])
    def test_an_endpoint_that_is_none_stops_the_start(self, endpoint: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "custodes", "proxy", "--upstream", closed_port(), "--endpoint", endpoint],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert "--endpoint" in done.stderr
        assert "write it like http://127.0.0.1:4318" in done.stderr


class Scripted:
    """An upstream that speaks raw bytes, so that every one of them can be compared."""

    def __init__(self, serve: Callable[[Any, bytes], None]) -> None:
        self.requests: list[bytes] = []
        self.gone = threading.Event()
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            while True:
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    head += piece
                top, _, body = head.partition(b"\r\n\r\n")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in top.split(b"\r\n")
                        if line.lower().startswith(b"content-length")
                    ),
                    0,
                )
                while len(body) < length:
                    body += connection.recv(65536)
                self.requests.append(top + b"\r\n\r\n" + body)
                self._serve(connection, body)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def scripted() -> Iterator[Callable[[Callable[[Any, bytes], None]], Scripted]]:
    made: list[Scripted] = []

    def make(serve: Callable[[Any, bytes], None]) -> Scripted:
        made.append(Scripted(serve))
        return made[-1]

    yield make
    for one in made:
        one.close()


CHUNK = 'data: {{"model": "m", "choices": [{{"index": 0, "delta": {{"content": "{}"}}}}]}}\n\n'


def chunked(text: str) -> bytes:
    body = text.encode()
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: r-1\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def open_stream(proxy: Proxy) -> http.client.HTTPConnection:
    parts = urlsplit(proxy.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    body = json.dumps({"model": "m", "messages": MESSAGES, "stream": True})
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    return connection


class TestPassingThrough:
    def test_bytes_and_headers_are_those_of_the_upstream(self, scripted: Any, start_proxy: Any) -> None:
        body = b'{"weird":  "spacing", "caf\xc3\xa9": [1, 2.50]}'

        def serve(connection: Any, _: bytes) -> None:
            head = f"HTTP/1.1 418 Teapot\r\nServer: odd\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: {len(body)}\r\n"
            connection.sendall(head.encode() + b"Connection: x-drop\r\nX-Drop: 1\r\n\r\n" + body)

        upstream = scripted(serve)
        proxy = start_proxy(upstream.url + "/base", closed_port())
        sent = b'{"a":   1}'
        headers = {"authorization": "Bearer sk-1", "x-thing": "Y", "te": "trailers", "x-custodes-user": "u"}
        answer = httpx.request(
            "PUT", f"{proxy.url}/v1/files%2Fa?b=c%20d", content=sent, headers=headers, trust_env=False
        )
        assert (answer.status_code, answer.content) == (418, body)
        assert answer.headers.get_list("x-two") == ["a", "b"]
        assert answer.headers["server"] == "odd"
        assert "x-drop" not in answer.headers
        (request,) = upstream.requests
        top, _, rest = request.partition(b"\r\n\r\n")
        lines = top.split(b"\r\n")
        names = {line.partition(b":")[0].lower() for line in lines[1:]}
        assert lines[0] == b"PUT /base/v1/files%2Fa?b=c%20d HTTP/1.1"
        assert rest == sent
        assert f"host: {urlsplit(upstream.url).netloc}".encode() in [line.lower() for line in lines]
        assert b"authorization: Bearer sk-1" in [line.replace(b"Authorization", b"authorization") for line in lines]
        assert names & {b"te", b"x-custodes-user"} == set()

    def test_a_stream_comes_chunk_by_chunk_and_not_at_its_end(self, scripted: Any, start_proxy: Any) -> None:
        go_on = threading.Event()

        def serve(connection: Any, _: bytes) -> None:
            connection.sendall(STREAM_HEAD + chunked(CHUNK.format("one")))
            assert go_on.wait(20)
            connection.sendall(chunked(CHUNK.format("two")) + chunked("data: [DONE]\n\n") + b"0\r\n\r\n")

        proxy = start_proxy(scripted(serve).url, closed_port())
        connection = open_stream(proxy)
        answer = connection.getresponse()
        # The second half is sent only after the first has arrived here.
        assert answer.read1() == CHUNK.format("one").encode()
        go_on.set()
        assert answer.read() == (CHUNK.format("two") + "data: [DONE]\n\n").encode()
        assert answer.headers["x-request-id"] == "r-1"
        connection.close()

    def test_a_client_that_leaves_ends_the_call_at_the_upstream(self, scripted: Any, start_proxy: Any) -> None:
        noticed = threading.Event()

        def serve(connection: Any, _: bytes) -> None:
            connection.sendall(STREAM_HEAD + chunked(CHUNK.format("one")))
            assert connection.recv(1) == b""
            noticed.set()

        proxy = start_proxy(scripted(serve).url, closed_port())
        connection = open_stream(proxy)
        connection.getresponse().read1()
        connection.close()
        connection.sock = None
        assert noticed.wait(10)
        assert proxy.figures()["clients_left_total"] == 1

    def test_an_upstream_that_breaks_off_does_not_look_whole(self, scripted: Any, start_proxy: Any) -> None:
        def serve(connection: Any, _: bytes) -> None:
            connection.sendall(STREAM_HEAD + chunked(CHUNK.format("one")))
            connection.shutdown(socket.SHUT_RDWR)

        proxy = start_proxy(scripted(serve).url, closed_port())
        connection = open_stream(proxy)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            connection.getresponse().read()
        connection.close()
        assert proxy.figures()["upstream_failures_total"] == 1

    def test_a_signal_lets_an_open_stream_end(self, scripted: Any, start_proxy: Any) -> None:
        go_on = threading.Event()

        def serve(connection: Any, _: bytes) -> None:
            connection.sendall(STREAM_HEAD + chunked(CHUNK.format("one")))
            assert go_on.wait(20)
            connection.sendall(chunked(CHUNK.format("two")) + b"0\r\n\r\n")

        proxy = start_proxy(scripted(serve).url, closed_port())
        connection = open_stream(proxy)
        answer = connection.getresponse()
        answer.read1()
        proxy.process.send_signal(signal.SIGTERM)
        go_on.set()
        assert answer.read() == CHUNK.format("two").encode()
        connection.close()
        assert proxy.process.wait(timeout=20) == 0

    def test_a_client_is_promised_only_encodings_that_can_be_read(self, scripted: Any, start_proxy: Any) -> None:
        def serve(connection: Any, _: bytes) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        upstream = scripted(serve)
        proxy = start_proxy(upstream.url, closed_port())
        wanted = {"accept-encoding": "gzip, br, zstd;q=0.5, deflate"}
        httpx.post(f"{proxy.url}/v1/chat/completions", json={}, headers=wanted, trust_env=False)
        httpx.post(f"{proxy.url}/v1/files", json={}, headers=wanted, trust_env=False)
        first, second = (
            next(line for line in one.split(b"\r\n") if line.lower().startswith(b"accept-encoding"))
            for one in upstream.requests
        )
        assert first.partition(b": ")[2] == b"gzip, deflate"
        assert second.partition(b": ")[2] == wanted["accept-encoding"].encode()
