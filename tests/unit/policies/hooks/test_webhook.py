from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import standardwebhooks

from custodes.kernel.clock import SECOND_NS
from policies.hooks.address import AddressRules
from policies.hooks.webhook import Delivered, Gone, Rejected, RetryLater, WebhookSender, parse_retry_after

LOOPBACK = AddressRules.of(["127.0.0.0/8"], allow_http=True)
# The same in every process, because test names are made from it.
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BODY = b'{"type":"incident.opened"}'


def now_ns() -> int:
    return time.time_ns()


def read_request(connection: socket.socket) -> None:
    """Read up to the end of the body: closing with bytes unread would reset the connection."""
    seen = b""
    while not seen.endswith(BODY):
        part = connection.recv(65536)
        if not part:
            return
        seen += part


@contextmanager
def raw_server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A TCP server whose one connection is handled by ``behave``."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(10)
            try:
                read_request(connection)
                behave(connection)
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    listener.close()
    thread.join()


class TestSend:
    def test_posts_a_body_that_an_independent_verifier_accepts(self, receiver: Any) -> None:
        outcome = WebhookSender(LOOPBACK).send(receiver.url, SECRET, "msg_1", BODY, now_ns())
        assert outcome == Delivered(204)
        (request,) = receiver.requests
        assert request.body == BODY
        assert request.path == "/hook"
        assert request.headers["webhook-id"] == "msg_1"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["host"] == receiver.url.split("/")[2]
        assert standardwebhooks.Webhook(SECRET).verify(request.body, request.headers) == {"type": "incident.opened"}

    @pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
    def test_counts_anything_but_2xx_as_failure(self, receiver: Any, status: int) -> None:
        receiver.answers = [(status, {}, b"secret detail")]
        outcome = WebhookSender(LOOPBACK).send(receiver.url, SECRET, "msg_1", BODY, now_ns())
        assert outcome == RetryLater(f"answered {status}", status)

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_does_not_follow_redirects(self, receiver: Any, status: int) -> None:
        receiver.answers = [(status, {"location": "http://169.254.169.254/latest/meta-data"}, b"")]
        outcome = WebhookSender(LOOPBACK).send(receiver.url, SECRET, "msg_1", BODY, now_ns())
        assert isinstance(outcome, RetryLater)
        assert "redirects are not followed" in outcome.reason
        assert len(receiver.requests) == 1

    def test_takes_410_as_a_wish_to_be_left_alone(self, receiver: Any) -> None:
        receiver.answers = [(410, {}, b"")]
        assert WebhookSender(LOOPBACK).send(receiver.url, SECRET, "m", BODY, now_ns()) == Gone()

    @pytest.mark.parametrize(
        ("status", "expected"), [(429, 120.0), (502, 120.0), (503, 120.0), (504, 120.0), (500, None)]
    )
    def test_passes_on_retry_after_of_throttling_answers(
        self, receiver: Any, status: int, expected: float | None
    ) -> None:
        receiver.answers = [(status, {"Retry-After": "120"}, b"")]
        outcome = WebhookSender(LOOPBACK).send(receiver.url, SECRET, "m", BODY, now_ns())
        assert isinstance(outcome, RetryLater)
        assert outcome.retry_after_s == expected

    def test_does_not_use_proxies_from_the_environment(self, receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "")
        assert WebhookSender(LOOPBACK).send(receiver.url, SECRET, "m", BODY, now_ns()) == Delivered(204)

    def test_calls_a_closed_port_a_failed_connection(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        outcome = WebhookSender(LOOPBACK).send(f"http://127.0.0.1:{port}/", SECRET, "m", BODY, now_ns())
        assert outcome == RetryLater("the connection failed: ConnectError")

    @pytest.mark.parametrize(
        ("url", "secret", "message"),
        [
            ("http://10.0.0.1/", SECRET, "may not reach"),
            ("nonsense", SECRET, "absolute https URL"),
            ("http://127.0.0.1/", "whsec_short", "base64"),
        ],
    )
    def test_rejects_an_unusable_endpoint_without_connecting(self, url: str, secret: str, message: str) -> None:
        outcome = WebhookSender(LOOPBACK).send(url, secret, "m", BODY, now_ns())
        assert isinstance(outcome, Rejected)
        assert message in outcome.reason

    def test_tries_again_later_when_the_host_does_not_resolve(self) -> None:
        def resolver(host: str, port: int) -> list[str]:
            raise OSError("temporary failure")

        outcome = WebhookSender(LOOPBACK, resolver=resolver).send("https://a.example/", SECRET, "m", BODY, now_ns())
        assert outcome == RetryLater("the host 'a.example' does not resolve")


class TestPinning:
    def test_resolves_once_and_connects_to_what_was_checked(self, receiver: Any) -> None:
        port = receiver.url.split(":")[2].split("/")[0]
        answers = [["127.0.0.1"], ["169.254.169.254"]]

        def rebinding(host: str, _: int) -> list[str]:
            return answers.pop(0)

        sender = WebhookSender(LOOPBACK, resolver=rebinding)
        url = f"http://hooks.example:{port}/hook"
        assert sender.send(url, SECRET, "m", BODY, now_ns()) == Delivered(204)
        assert receiver.requests[0].headers["host"] == f"hooks.example:{port}"
        second = sender.send(url, SECRET, "m", BODY, now_ns())
        assert isinstance(second, Rejected)
        assert len(receiver.requests) == 1

    def test_tries_the_next_checked_address_when_one_refuses(self, receiver: Any) -> None:
        port = receiver.url.split(":")[2].split("/")[0]
        sender = WebhookSender(LOOPBACK, resolver=lambda host, _: ["127.0.0.9", "127.0.0.1"])
        assert sender.send(f"http://hooks.example:{port}/", SECRET, "m", BODY, now_ns()) == Delivered(204)


@pytest.fixture
def tls(tls_contexts: Any) -> Iterator[tuple[int, ssl.SSLContext, list[str | None]]]:
    """An HTTPS receiver for hooks.example on loopback: its port, a context that trusts it, the names asked for."""
    server_context, client_context, asked = tls_contexts
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            connection.settimeout(10)
            with server_context.wrap_socket(connection, server_side=True) as secure:
                read_request(secure)
                secure.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1], client_context, asked
    # Wakes a server that nobody has called; closing the listener alone would leave accept() waiting.
    with suppress(OSError):
        socket.create_connection(listener.getsockname(), timeout=1).close()
    listener.close()
    thread.join()


class TestTls:
    def test_keeps_the_host_name_for_certificate_and_sni_while_connecting_to_the_address(
        self, tls: tuple[int, ssl.SSLContext, list[str | None]]
    ) -> None:
        port, context, asked = tls
        sender = WebhookSender(LOOPBACK, resolver=lambda *_: ["127.0.0.1"], ssl_context=context)
        assert sender.send(f"https://hooks.example:{port}/", SECRET, "m", BODY, now_ns()) == Delivered(200)
        assert asked == ["hooks.example"]

    def test_refuses_a_receiver_whose_certificate_names_another_host(
        self, tls: tuple[int, ssl.SSLContext, list[str | None]]
    ) -> None:
        port, context, _ = tls
        sender = WebhookSender(LOOPBACK, resolver=lambda *_: ["127.0.0.1"], ssl_context=context)
        outcome = sender.send(f"https://other.example:{port}/", SECRET, "m", BODY, now_ns())
        assert outcome == RetryLater("the connection failed: ConnectError")


class TestBadReceivers:
    def test_that_never_answer_cost_one_timeout(self) -> None:
        done = threading.Event()

        def hang(_: socket.socket) -> None:
            done.wait(10)

        with raw_server(hang) as url:
            started = time.monotonic()
            outcome = WebhookSender(LOOPBACK, timeout_s=0.3).send(url, SECRET, "m", BODY, now_ns())
            done.set()
        assert outcome == RetryLater("no complete answer within 0.3 s")
        assert time.monotonic() - started < 5

    def test_that_drip_headers_cost_one_timeout(self) -> None:
        stop = threading.Event()

        def drip(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
            while not stop.wait(0.02):
                connection.sendall(b"a")

        with raw_server(drip) as url:
            started = time.monotonic()
            outcome = WebhookSender(LOOPBACK, timeout_s=0.4).send(url, SECRET, "m", BODY, now_ns())
            stop.set()
        assert isinstance(outcome, RetryLater)
        assert time.monotonic() - started < 5

    def test_that_send_without_end_are_read_for_256_bytes(self) -> None:
        sent = 0

        def flood(connection: socket.socket) -> None:
            nonlocal sent
            connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while sent < 1 << 28:
                sent += connection.send(b"400\r\n" + b"x" * 1024 + b"\r\n")

        with raw_server(flood) as url:
            assert WebhookSender(LOOPBACK).send(url, SECRET, "m", BODY, now_ns()) == Delivered(200)
        assert sent < 1 << 26

    @pytest.mark.parametrize(
        "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-le"]
    )
    def test_that_do_not_speak_http_are_tried_again(self, answer: bytes) -> None:
        with raw_server(lambda connection: connection.sendall(answer)) as url:
            outcome = WebhookSender(LOOPBACK).send(url, SECRET, "m", BODY, now_ns())
        assert isinstance(outcome, RetryLater)

    def test_with_headers_without_end_are_cut_off(self) -> None:
        def flood(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            for number in range(100_000):
                connection.sendall(b"x-%d: y\r\n" % number)

        with raw_server(flood) as url:
            assert isinstance(WebhookSender(LOOPBACK).send(url, SECRET, "m", BODY, now_ns()), RetryLater)


class TestParseRetryAfter:
    NOW_NS = 1_795_860_000 * SECOND_NS

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, None),
            ("120", 120.0),
            (" 5 ", 5.0),
            ("", None),
            ("-5", None),
            ("soon", None),
            ("1e9", None),
            ("٣", None),
            ("Sat, 28 Nov 2026 10:02:00 GMT", 1_795_860_120.0 - 1_795_860_000.0),
            ("Sat, 28 Nov 2015 10:02:00 GMT", None),
            ("Sat, 99 Nov 2026 10:02:00 GMT", None),
        ],
    )
    def test_reads_seconds_and_dates(self, value: str | None, expected: float | None) -> None:
        assert parse_retry_after(value, self.NOW_NS) == expected
