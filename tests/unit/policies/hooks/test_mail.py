"""Mail in real SMTP conversations on loopback: TLS from the start, STARTTLS, and servers that misbehave."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from policies.hooks.address import AddressRules
from policies.hooks.channels import MailCall
from policies.hooks.mail import MailSender
from policies.hooks.webhook import Delivered, Rejected, RetryLater

RULES = AddressRules.of(["127.0.0.0/8"])
PLAIN = AddressRules.of(["127.0.0.0/8"], allow_http=True)
MESSAGE = b"Subject: x\r\n\r\n.dot\r\n"


@dataclass
class Postbox:
    """A small SMTP server: what it was told, what it took, and how it answers some commands."""

    tls: ssl.SSLContext | None = None
    implicit: bool = False
    answers: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    port: int = 0

    def converse(self, plain: socket.socket) -> None:
        plain.settimeout(10)
        with ExitStack() as opened:
            self._converse(plain, opened)

    def _converse(self, plain: socket.socket, opened: ExitStack) -> None:
        secure = self.implicit
        connection = plain
        if self.tls and self.implicit:
            connection = opened.enter_context(self.tls.wrap_socket(plain, server_side=True))
        stream = opened.enter_context(connection.makefile("rwb", buffering=0))

        def say(text: str) -> None:
            stream.write(text.encode() + b"\r\n")

        say("220 hello")
        while line := stream.readline():
            command = line.decode().strip()
            self.commands.append(command)
            verb = command.split(" ")[0].upper()
            if command in self.answers or verb in self.answers:
                say(self.answers.get(command, self.answers.get(verb, "")))
            elif verb == "EHLO":
                say("250-me" + ("" if secure or not self.tls else "\r\n250-STARTTLS") + "\r\n250 AUTH PLAIN")
            elif verb == "STARTTLS" and self.tls is not None:
                say("220 go")
                connection = opened.enter_context(self.tls.wrap_socket(plain, server_side=True))
                stream, secure = opened.enter_context(connection.makefile("rwb", buffering=0)), True
            elif verb == "AUTH":
                say("235 welcome")
            elif verb == "DATA":
                say("354 go")
                body = b""
                while not body.endswith(b"\r\n.\r\n"):
                    body += stream.readline()
                self.messages.append(body)
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")


@contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server whose one connection is handled by ``behave``; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                behave(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            socket.create_connection(listener.getsockname(), timeout=1).close()
        listener.close()
        thread.join()


def call_to(port: int, scheme: str = "smtp", host: str = "hooks.example", **more: Any) -> MailCall:
    recipients = more.pop("recipients", ("b@example.org", "c@example.org"))
    more.setdefault("starttls", scheme == "smtp")
    return MailCall(f"{scheme}://{host}:{port}", "a@example.org", recipients, MESSAGE, **more)


def sender(tls: Any, rules: AddressRules = RULES, timeout_s: float = 10.0) -> MailSender:
    return MailSender(rules, timeout_s=timeout_s, resolver=lambda *_: ["127.0.0.1"], ssl_context=tls[1])


class TestSend:
    @pytest.mark.parametrize("scheme", ["smtp", "smtps"])
    def test_it_logs_in_and_hands_over_the_message_under_tls(self, tls_contexts: Any, scheme: str) -> None:
        box = Postbox(tls_contexts[0], implicit=scheme == "smtps")
        with serving(box.converse) as port:
            outcome = sender(tls_contexts).send(call_to(port, scheme, username="me", password="hush"))
        assert outcome == Delivered(250)
        assert tls_contexts[2] == ["hooks.example"]
        assert box.messages == [b"Subject: x\r\n\r\n..dot\r\n.\r\n"]
        assert [one for one in box.commands if one.lower().startswith(("mail", "rcpt"))] == [
            "mail FROM:<a@example.org>",
            "rcpt TO:<b@example.org>",
            "rcpt TO:<c@example.org>",
        ]
        login = next(one for one in box.commands if one.startswith("AUTH"))
        assert base64.b64decode(login.split(" ")[-1]) == b"\0me\0hush"
        assert "hush" not in repr(call_to(1, password="hush"))

    def test_it_sends_no_password_before_tls(self, tls_contexts: Any) -> None:
        box = Postbox()  # Offers no STARTTLS.
        with serving(box.converse) as port:
            outcome = sender(tls_contexts).send(call_to(port, username="me", password="hush"))
        assert outcome == RetryLater("the mail server offers no STARTTLS or no way to log in")
        assert not any(one.startswith(("AUTH", "MAIL", "mail")) for one in box.commands)

    def test_it_refuses_a_server_whose_certificate_names_another_host(self, tls_contexts: Any) -> None:
        box = Postbox(tls_contexts[0], implicit=True)
        with serving(box.converse) as port:
            outcome = sender(tls_contexts).send(call_to(port, "smtps", host="other.example"))
        assert outcome == RetryLater("the connection failed: SSLCertVerificationError")
        assert box.commands == []

    def test_mail_without_tls_needs_permission_and_no_password(self, tls_contexts: Any) -> None:
        box = Postbox()
        with serving(box.converse) as port:
            plain = call_to(port, starttls=False)
            assert isinstance(sender(tls_contexts).send(plain), Rejected)
            secret = call_to(port, starttls=False, username="me", password="hush")
            assert isinstance(sender(tls_contexts, PLAIN).send(secret), Rejected)
            assert box.commands == []
            assert sender(tls_contexts, PLAIN).send(plain) == Delivered(250)


class TestAnswers:
    @pytest.mark.parametrize(
        ("answers", "expected"),
        [
            ({"MAIL": "451 later"}, RetryLater("the mail server answered 451", 451)),
            ({"AUTH": "535 no"}, RetryLater("the mail server answered 535", 535)),
            ({"RCPT": "550 who"}, RetryLater("the mail server refused every recipient", 550)),
            ({"DATA": "554 spam"}, RetryLater("the mail server answered 554", 554)),
            ({"STARTTLS": "454 no"}, RetryLater("the mail server answered 454", 454)),
        ],
    )
    def test_it_tries_again_later_when_refused(
        self, tls_contexts: Any, answers: dict[str, str], expected: object
    ) -> None:
        box = Postbox(tls_contexts[0], answers=answers)
        with serving(box.converse) as port:
            assert sender(tls_contexts).send(call_to(port, username="me", password="p")) == expected

    def test_it_counts_recipients_that_were_refused(self, tls_contexts: Any) -> None:
        box = Postbox(tls_contexts[0], answers={"rcpt TO:<c@example.org>": "550 who"})
        with serving(box.converse) as port:
            outcome = sender(tls_contexts).send(call_to(port))
        assert outcome == Delivered(250, "1 of 2 recipients refused")


class TestBadServers:
    def test_one_that_drips_costs_one_timeout(self, tls_contexts: Any) -> None:
        stop = threading.Event()

        def drip(connection: socket.socket) -> None:
            while not stop.wait(0.02):
                connection.sendall(b"220-x\r\n")

        with serving(drip) as port:
            started = time.monotonic()
            outcome = sender(tls_contexts, timeout_s=0.3).send(call_to(port))
            stop.set()
        assert outcome == RetryLater("no complete answer within 0.3 s")
        assert time.monotonic() - started < 5

    @pytest.mark.parametrize("greeting", [b"", b"nonsense\r\n", b"554 go away\r\n", b"220 " + b"x" * 20_000 + b"\r\n"])
    def test_one_that_greets_oddly_is_tried_again(self, tls_contexts: Any, greeting: bytes) -> None:
        with serving(lambda connection: connection.sendall(greeting)) as port:
            assert isinstance(sender(tls_contexts).send(call_to(port)), RetryLater)


class TestAddress:
    def test_it_resolves_once_and_connects_to_what_was_checked(self, tls_contexts: Any) -> None:
        answers = [["127.0.0.1"], ["169.254.169.254"]]
        box = Postbox(tls_contexts[0])
        mail = MailSender(RULES, resolver=lambda *_: answers.pop(0), ssl_context=tls_contexts[1])
        with serving(box.converse) as port:
            assert mail.send(call_to(port)) == Delivered(250)
            assert isinstance(mail.send(call_to(port)), Rejected)

    @pytest.mark.parametrize(
        "url", ["smtp://10.0.0.1", "smtp://[::1]:587", "http://mail.example", "smtp://u:p@a.example"]
    )
    def test_it_connects_to_no_forbidden_or_odd_address(self, url: str) -> None:
        call = MailCall(url, "a@b.c", ("d@e.f",), MESSAGE)
        assert isinstance(MailSender(AddressRules()).send(call), Rejected)

    def test_it_keeps_to_the_ports_for_mail(self, tls_contexts: Any) -> None:
        rules = AddressRules.of(["127.0.0.0/8"], ports=[25, 587])
        outcome = sender(tls_contexts, rules).send(call_to(6379))
        assert isinstance(outcome, Rejected)
        assert "port 6379" in outcome.reason
