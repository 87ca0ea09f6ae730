"""One attempt to send: what each answer of a network and a server means."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from custodes_sdk.sending.http import HttpWay
from custodes_sdk.sending.outcome import Delivered, Refused, TooLarge, TryLater

JSON, PROTOBUF = "application/json", "application/x-protobuf"


def post(answer: Any, kind: str = JSON, endpoint: str = "http://server", body: bytes = b"{}") -> Any:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        found: httpx.Response = answer(request) if callable(answer) else answer
        return found

    way = HttpWay(endpoint, "k", transport=httpx.MockTransport(handle))
    outcome = way.post("/v1/traces", body, kind)
    way.close()
    return outcome


def answer(status: int, content: bytes = b"{}", kind: str = JSON, **headers: str) -> httpx.Response:
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=content, headers={"content-type": kind, **more})


class TestOutcomes:
    @pytest.mark.parametrize(
        ("given", "outcome"),
        [
            (answer(200), Delivered()),
            (answer(201), Delivered()),
            (answer(200, b'{"partialSuccess": {"rejectedSpans": "3"}}'), Delivered(3)),
            (answer(200, b"{{{"), Delivered()),
            (answer(200, b'{"partialSuccess": 7}'), Delivered()),
            (answer(413), TooLarge()),
            (answer(503, retry_after="2"), TryLater("the server answered 503", 2.0)),
            (answer(429, retry_after="soon"), TryLater("the server answered 429")),
            (answer(502), TryLater("the server answered 502")),
            (answer(400), Refused("the server answered 400")),
            (answer(500), Refused("the server answered 500")),
            (answer(401), Refused("the server answered 401; check the key")),
            (answer(302), Refused("the server answered 302")),
        ],
    )
    def test_it_follows_otlp(self, given: httpx.Response, outcome: Any) -> None:
        assert post(given) == outcome

    def test_it_reads_refused_spans_in_protobuf(self) -> None:
        body = ExportTraceServiceResponse()
        body.partial_success.rejected_spans = 4
        assert post(answer(200, body.SerializeToString(), PROTOBUF), PROTOBUF) == Delivered(4)
        assert post(answer(200, b"\xff\xfe", PROTOBUF), PROTOBUF) == Delivered()

    def test_a_page_of_somebody_else_stored_nothing(self) -> None:
        assert isinstance(post(answer(200, b"<html>", "text/html")), Refused)

    @pytest.mark.parametrize(
        "error",
        [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x"), httpx.DecodingError("x")],
    )
    def test_a_network_may_heal(self, error: Exception) -> None:
        outcome = post(error)
        assert isinstance(outcome, TryLater)
        assert type(error).__name__ in outcome.why


class TestRequests:
    @pytest.mark.parametrize(("endpoint", "compressed"), [("http://server", True), ("http://127.0.0.1:1", False)])
    def test_it_compresses_what_crosses_a_network(self, endpoint: str, compressed: bool) -> None:
        seen: list[httpx.Request] = []

        def handle(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return answer(200)

        body = b"x" * 5000
        assert post(handle, endpoint=endpoint, body=body) == Delivered()
        assert seen[0].headers["authorization"] == "Bearer k"
        assert (seen[0].headers.get("content-encoding") == "gzip") is compressed
        assert (gzip.decompress(seen[0].content) if compressed else seen[0].content) == body
