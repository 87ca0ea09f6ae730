"""The outermost layer: body limits, time limits, and what happens when something breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.boundary import RequestBoundary
from collector.rest.problems import error_to_response
from custodes.kernel.metrics import Metrics

LIMITS: dict[str, Any] = {"limit": 10, "otlp_limit": 12, "otlp_paths": {"/v1/traces"}}
SECRET = "what the customer wrote"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the number of bytes in the body, and turn HTTP errors into answers as the application does."""
    try:
        size = len(await Request(scope, receive).body())
    except Exception as error:
        status = getattr(error, "status_code", 500)
        headers = getattr(error, "headers", None)
        await Response(str(getattr(error, "detail", "")), status, headers)(scope, receive, send)
        return
    await Response(str(size))(scope, receive, send)


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError(SECRET)


async def fail_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError(SECRET)


def scope_of(path: str = "/api/v1/x", query: bytes = b"") -> Scope:
    return {"type": "http", "method": "POST", "path": path, "query_string": query, "headers": [], "client": None}


def call(
    app: ASGIApp, chunks: list[bytes], *, timeout_s: float = 5.0, silent: bool = False, **more: Any
) -> list[Message]:
    """Send a body in chunks; a silent client then says nothing more. Return what was answered."""
    boundary = RequestBoundary(app, metrics=Metrics(), **LIMITS, timeout_s=timeout_s)
    sent: list[Message] = []
    parts: Iterator[bytes] = iter(chunks)
    left = len(chunks)

    async def receive() -> Message:
        nonlocal left
        left -= 1
        if left < 0 or (silent and left == 0):
            await asyncio.Event().wait()
        return {"type": "http.request", "body": next(parts), "more_body": left > 0 or silent}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(boundary(scope_of(**more), receive, send))
    return sent


def status_of(sent: list[Message]) -> int:
    return int(sent[0]["status"])


class TestBodies:
    def test_they_arrive_whole_up_to_the_limit(self) -> None:
        assert call(echo, [b"12345", b"67890"])[1]["body"] == b"10"

    def test_one_byte_more_is_413_even_without_a_length(self) -> None:
        assert status_of(call(echo, [b"12345", b"67890", b"1"])) == 413

    def test_otlp_has_a_limit_of_its_own(self) -> None:
        assert status_of(call(echo, [b"x" * 12], path="/v1/traces")) == 200
        assert status_of(call(echo, [b"x" * 13], path="/v1/traces")) == 413

    def test_a_client_that_stops_sending_is_408_and_disconnected(self) -> None:
        sent = call(echo, [b"1", b"2"], timeout_s=0.05, silent=True)
        assert status_of(sent) == 408
        assert (b"connection", b"close") in sent[0]["headers"]


def silent_after(chunk: bytes) -> Receive:
    """Return the connection of a client that sends ``chunk``, promises more and says nothing again."""
    left = [chunk]

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": left.pop(), "more_body": True}

    return receive


class TestBodiesTooLarge:
    """What is left of them is read before the answer, so that a client that sends all of it first gets the answer."""

    def refuse(self, receive: Receive, timeout_s: float = 5.0) -> list[Message]:
        boundary = RequestBoundary(echo, metrics=Metrics(), **LIMITS, timeout_s=timeout_s)
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(boundary(scope_of(), receive, send))
        return sent

    @pytest.mark.parametrize(("chunks", "taken"), [(2, 2), (5, 5), (1000, 5)])
    def test_the_rest_is_read_up_to_four_times_the_limit(self, chunks: int, taken: int) -> None:
        seen = 0

        async def receive() -> Message:
            nonlocal seen
            seen += 1
            return {"type": "http.request", "body": b"x" * 9, "more_body": seen < chunks}

        assert status_of(self.refuse(receive)) == 413
        assert seen == taken

    def test_a_client_that_stops_sending_is_refused_when_its_time_is_up(self) -> None:
        assert status_of(self.refuse(silent_after(b"x" * 11), timeout_s=0.05)) == 413

    def test_however_long_a_body_may_take_the_rest_has_five_seconds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("collector.boundary._DRAIN_S", 0.05)
        assert status_of(self.refuse(silent_after(b"x" * 11), timeout_s=3600)) == 413

    def test_a_client_that_left_is_not_waited_for(self) -> None:
        messages: list[Message] = [
            {"type": "http.disconnect"},
            {"type": "http.request", "body": b"x" * 11, "more_body": True},
        ]

        async def receive() -> Message:
            return messages.pop()

        assert status_of(self.refuse(receive)) == 413
        assert messages == []


class TestFailures:
    def test_an_unexpected_error_is_a_problem_that_tells_nothing_of_it(self) -> None:
        sent = call(fail, [b""])
        problem = orjson.loads(sent[1]["body"])
        assert (status_of(sent), problem["type"]) == (500, "urn:custodes:problem:internal")
        assert problem["error_id"]
        assert SECRET not in sent[1]["body"].decode()

    def test_an_error_after_the_answer_began_goes_on_to_the_server(self) -> None:
        with pytest.raises(RuntimeError):
            call(fail_late, [b""])

    @pytest.mark.parametrize("where", [{"path": "/api/v1/\0"}, {"query": b"q=%00"}])
    def test_nul_in_the_address_is_400(self, where: dict[str, Any]) -> None:
        assert status_of(call(echo, [b""], **where)) == 400

    def test_other_protocols_pass_untouched(self) -> None:
        seen: list[str] = []

        async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["type"])

        async def nothing() -> Message:
            return {}

        async def ignore(message: Message) -> None:
            return None

        boundary = RequestBoundary(lifespan, metrics=Metrics(), **LIMITS, timeout_s=1.0)
        asyncio.run(boundary({"type": "lifespan"}, nothing, ignore))
        assert seen == ["lifespan"]


class TestErrorToResponse:
    def test_an_error_id_is_new_every_time(self) -> None:
        ids = {orjson.loads(error_to_response(RuntimeError()).body)["error_id"] for _ in range(3)}
        assert len(ids) == 3
