from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from email.message import EmailMessage

import pytest

from policies.errors import EndpointError
from policies.hooks.channels import CHANNELS, Event, MailCall, Target

MAIL = CHANNELS["email"]
OPTIONS = {"from": "custodes@example.org", "to": "oncall@example.org, risk@example.org"}


def call_of(event: Event, url: str = "smtps://mail.example.org", **more: str) -> MailCall:
    (call,) = MAIL.format(event, Target(url, {**OPTIONS, **more}, {"password": "hush"}))
    assert isinstance(call, MailCall)
    return call


def read(call: MailCall) -> EmailMessage:
    return email.message_from_bytes(call.message, _class=EmailMessage, policy=email.policy.default)


class TestFormat:
    def test_it_writes_a_plain_message(self, event: Callable[..., Event]) -> None:
        call = call_of(event(), username="me")
        assert (call.sender, call.recipients) == ("custodes@example.org", ("oncall@example.org", "risk@example.org"))
        assert (call.username, call.password, call.starttls) == ("me", "hush", False)
        assert "hush" not in repr(call)
        message = read(call)
        assert dict(message.items()) == {
            "From": "Custodes <custodes@example.org>",
            "To": "oncall@example.org, risk@example.org",
            "Subject": "[high] Incident opened: toxicity-spike: deployment=bot-v7",
            "Date": "Sat, 21 Nov 2026 10:00:05 +0000",
            "Message-ID": "<msg_019aa5c0@example.org>",
            "References": "<incident-019aa5c0-6a00-7c3e-9d52-0d6b6f0e2f11@example.org>",
            "Auto-Submitted": "auto-generated",
            "Content-Type": 'text/plain; charset="utf-8"',
            "Content-Transfer-Encoding": "quoted-printable",
            "MIME-Version": "1.0",
        }
        assert message.get_content().splitlines() == [
            "Incident opened: toxicity-spike: deployment=bot-v7",
            "",
            "toxicity-spike fired for deployment=bot-v7: n is 360 and tox_p95 is 0.953.",
            "",
            "Severity: high",
            "Policy: toxicity-spike",
            "Project: default",
            "Deployment: bot-v7",
            "",
            "https://console.example.org/go?to=%2Fincident%3Fid%3D019aa5c0",
        ]

    @pytest.mark.parametrize(
        "hostile",
        ["x\r\nBcc: evil@example.org", "x\nBcc: evil@example.org\n\nbody", "x\u2028Bcc: a@b.c", "ü" * 900, "\x00"],
    )
    def test_no_name_can_add_a_header(self, event: Callable[..., Event], hostile: str) -> None:
        call = call_of(event(title=hostile, severity=hostile, incident_id=hostile.replace("ü", "u"), policy_id=hostile))
        message = read(call)
        assert "Bcc" not in message
        assert message["To"] == OPTIONS["to"]
        head = call.message.partition(b"\r\n\r\n")[0]
        assert head.isascii()
        assert all(len(one) <= 998 for one in call.message.split(b"\r\n"))

    @pytest.mark.parametrize(
        ("url", "more", "expected"),
        [
            ("smtps://mail.example.org", {}, False),
            ("smtp://mail.example.org", {}, True),
            ("smtp://mail.example.org:25", {"starttls": "never"}, False),
        ],
    )
    def test_it_asks_for_tls_unless_told_otherwise(
        self, event: Callable[..., Event], url: str, more: dict[str, str], expected: bool
    ) -> None:
        assert call_of(event(), url, **more).starttls is expected


class TestSettings:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"from": "custodes@example.org"},
            OPTIONS | {"to": "nobody"},
            OPTIONS | {"to": "a@b.c\r\nRCPT TO:<x@y.z>"},
            OPTIONS | {"to": ",".join(f"a{n}@b.c" for n in range(21))},
            OPTIONS | {"to": " , "},
            OPTIONS | {"from": "Me <me@example.org>"},
            OPTIONS | {"starttls": "maybe"},
        ],
    )
    def test_it_refuses_what_cannot_work(self, options: dict[str, str]) -> None:
        with pytest.raises(EndpointError):
            MAIL.check_settings(options, {})
