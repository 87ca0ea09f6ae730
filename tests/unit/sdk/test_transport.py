"""Which requests are repeated, how often, and after which wait."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from custodes_sdk import ServerUnavailable
from custodes_sdk.transport import Transport

OK = httpx.Response(200, json={"fine": True})


class Wire:
    """Fails or answers in turn, the last one for ever, and counts."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.attempts = 0
        self.timeouts: list[Any] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.attempts += 1
        self.timeouts.append(request.extensions["timeout"])
        answer = self.answers[min(self.attempts, len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def busy(wait: str | None) -> httpx.Response:
    return httpx.Response(503, json={"detail": "busy"}, headers={} if wait is None else {"retry-after": wait})


def transport_for(wire: Wire) -> tuple[Transport, list[float]]:
    waits: list[float] = []
    timeout = httpx.Timeout(10.0, connect=1.0)
    transport = Transport("http://server", None, timeout=timeout, http=httpx.MockTransport(wire), sleep=waits.append)
    return transport, waits


class TestReads:
    def test_it_repeats_after_a_refused_connection(self) -> None:
        wire = Wire(httpx.ConnectError("refused"), OK)
        transport, waits = transport_for(wire)
        assert transport.get("/x") == {"fine": True}
        assert waits == [0.1]

    def test_it_waits_as_long_as_a_busy_server_asks(self) -> None:
        wire = Wire(busy("2"), OK)
        transport, waits = transport_for(wire)
        assert transport.get("/x") == {"fine": True}
        assert waits == [2.0]

    @pytest.mark.parametrize("wait", [None, "6", "-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"])
    def test_it_does_not_repeat_without_a_short_wait(self, wait: str | None) -> None:
        wire = Wire(busy(wait), OK)
        transport, _ = transport_for(wire)
        with pytest.raises(ServerUnavailable, match="busy"):
            transport.get("/x")
        assert wire.attempts == 1

    @pytest.mark.parametrize("answer", [busy("0"), httpx.ConnectError("refused"), httpx.RemoteProtocolError("cut")])
    def test_it_gives_up_after_three_attempts(self, answer: httpx.Response | Exception) -> None:
        wire = Wire(answer)
        transport, _ = transport_for(wire)
        with pytest.raises(ServerUnavailable):
            transport.get("/x")
        assert wire.attempts == 3

    def test_it_does_not_repeat_a_read_that_timed_out(self) -> None:
        wire = Wire(httpx.ReadTimeout("slow"), OK)
        transport, _ = transport_for(wire)
        with pytest.raises(ServerUnavailable):
            transport.get("/x")
        assert wire.attempts == 1

    def test_it_waits_one_second_to_connect_and_ten_to_read(self) -> None:
        wire = Wire(OK)
        transport_for(wire)[0].get("/x")
        assert wire.timeouts[0]["connect"] == 1.0
        assert wire.timeouts[0]["read"] == 10.0


class TestWrites:
    @pytest.mark.parametrize("answer", [busy("0"), httpx.ConnectError("refused"), httpx.ReadTimeout("slow")])
    def test_it_is_sent_once(self, answer: httpx.Response | Exception) -> None:
        wire = Wire(answer, OK)
        transport, waits = transport_for(wire)
        with pytest.raises(ServerUnavailable):
            transport.send("POST", "/x", json={})
        assert wire.attempts == 1
        assert waits == []

    def test_it_may_take_longer_where_the_server_works_longer(self) -> None:
        wire = Wire(OK)
        transport_for(wire)[0].send("POST", "/x", read_timeout_s=300.0)
        assert wire.timeouts[0]["read"] == 300.0
        assert wire.timeouts[0]["connect"] == 1.0
