"""Sends mutated requests to a running server's listeners, over HTTP and gRPC, as clients do.

Whatever is sent, the answer must be one of those the protocol has for it: success, or an error that names the client's
mistake in the encoding of the request. A 5xx, a broken connection or an answer that cannot be read ends the run. One
request is sent at a time, so "come back later" is no excuse.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import grpc
import httpx
from google.rpc.status_pb2 import Status

from tests.fuzz.mutations import Case, Mutator

_METHODS = {
    "/v1/traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "/v1/logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "/v1/metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_REFUSED = {400: 3, 413: 8, 415: 3}
_REFUSED_BY_GRPC = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED})
_TYPES = [
    "application/x-protobuf; charset=utf-8",
    "application/json;charset=UTF-8",
    "Application/JSON",
    "application/json; charset=utf-16",
    "text/plain",
    "application/grpc",
    "application/x-protobuf;;;",
    "",
    "a" * 2_000,
]
_ENCODINGS = ["identity", "GZIP", "gzip, gzip", "br", "x-unknown", "", "deflate, zstd"]
_PARTS = 3


class Listeners:
    """The two listeners of one server, and what they answered so far."""

    def __init__(self, url: str, grpc_address: str, seed: int) -> None:
        self._rng = random.Random(seed)
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._channel = grpc.insecure_channel(grpc_address, options=[("grpc.enable_retries", 0)])
        self._calls: dict[str, Any] = {path: self._channel.unary_unary(method) for path, method in _METHODS.items()}
        self.outcomes: Counter[str] = Counter()

    def send(self, case: Case) -> None:
        """Send one case by one of the two; raises ``AssertionError`` for an answer that no client deserves."""
        if case.content_encoding is None and case.content_type == "application/x-protobuf" and self._rng.random() < 0.4:
            self._send_grpc(case)
        else:
            self._send_http(case)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._channel.close()

    def _send_http(self, case: Case) -> None:
        rng = self._rng
        headers = {"content-type": case.content_type}
        if case.content_encoding is not None:
            headers["content-encoding"] = case.content_encoding
        if rng.random() < 0.03:
            headers["content-type"] = rng.choice(_TYPES)
        if rng.random() < 0.03:
            headers["content-encoding"] = rng.choice(_ENCODINGS)
        content: Any = case.body
        if rng.random() < 0.2:
            size = len(case.body) // _PARTS + 1
            content = iter([case.body[at : at + size] for at in range(0, len(case.body), size)])
        answer = self._client.post(case.path, content=content, headers=headers)
        self.outcomes[f"HTTP {answer.status_code}"] += 1
        if answer.status_code == httpx.codes.OK:
            return
        assert answer.status_code in _REFUSED, f"{answer.status_code} {answer.text[:500]}"
        told = answer.headers["content-type"].partition(";")[0]
        if told == "application/json":
            code = json.loads(answer.content)["code"]
        else:
            assert told == "application/x-protobuf", told
            code = Status.FromString(answer.content).code
        assert code == _REFUSED[answer.status_code], (answer.status_code, code)

    def _send_grpc(self, case: Case) -> None:
        try:
            self._calls[case.path](case.body, timeout=60)
        except grpc.RpcError as error:
            if error.code() not in _REFUSED_BY_GRPC:
                raise AssertionError(f"{error.code()} {error.details()}") from error
            self.outcomes[f"gRPC {error.code().name}"] += 1
        else:
            self.outcomes["gRPC OK"] += 1


def send_all(mutator: Mutator, listeners: Listeners, cases: int, seed: int) -> None:
    """Send that many cases; an error names the case that it came with."""
    for number in range(1, cases + 1):
        case = mutator.next_case()
        try:
            listeners.send(case)
        except Exception as error:
            error.add_note(f"case {number} of seed {seed}: {case.path}, {case.content_type}, {len(case.body)} bytes")
            raise
