"""The demo's receiver takes what is signed and refuses what is not."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from custodes.kernel.clock import SECOND_NS
from custodes.runtime.demo.receiver import Receiver
from custodes.runtime.demo.verifier import WebhookVerifier
from policies.hooks.signing import generate_secret, sign_headers


class TestReceiver:
    @pytest.mark.parametrize(("tamper", "status"), [(b"", 204), (b" ", 401)])
    def test_it_checks_the_signature(self, tamper: bytes, status: int) -> None:
        lines: list[str] = []
        verifier = WebhookVerifier(time.time_ns)
        verifier.secret = generate_secret()
        receiver = Receiver(verifier.verify, lines.append)
        receiver.start()
        body = json.dumps({"type": "incident.opened", "data": {"url": "http://x/go"}}).encode()
        headers = sign_headers(verifier.secret, "msg_1", time.time_ns() // SECOND_NS, body)
        answer = httpx.post(receiver.url, content=body + tamper, headers=headers, trust_env=False)
        receiver.stop()
        assert answer.status_code == status
        assert ("verified" in lines[0]) is (status == 204)
