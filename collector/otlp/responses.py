"""Answers to OTLP/HTTP requests, in the encoding of the request.

Success is an ``ExportTraceServiceResponse``; when spans were refused it says how many and why, and the
client must not send them again. Every error is a ``google.rpc.Status``. Source: OTLP specification 1.10,
sections "OTLP/HTTP Response" and "Partial Success".
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum

import orjson
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.otlp.body import Encoding
from collector.otlp.spans import Rejection


class RpcCode(IntEnum):
    """The codes of ``google.rpc.Status`` that this server sends."""

    INVALID_ARGUMENT = 3
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


def success_body(encoding: Encoding, rejected: Counter[Rejection]) -> bytes:
    """Return the answer to a request whose acceptable spans are stored."""
    count = rejected.total()
    if encoding is Encoding.JSON:
        if not count:
            return b"{}"
        # 64-bit integers are strings in the JSON form of protobuf messages.
        partial = {"rejectedSpans": str(count), "errorMessage": rejection_message(rejected)}
        return orjson.dumps({"partialSuccess": partial})
    response = ExportTraceServiceResponse()
    if count:
        response.partial_success.rejected_spans = count
        response.partial_success.error_message = rejection_message(rejected)
    return response.SerializeToString()


def error_body(encoding: Encoding, code: RpcCode, message: str) -> bytes:
    """Return a ``google.rpc.Status`` that says what is wrong and what to do."""
    if encoding is Encoding.JSON:
        return orjson.dumps({"code": int(code), "message": message})
    return bytes(Status(code=int(code), message=message).SerializeToString())


def rejection_message(rejected: Counter[Rejection]) -> str:
    """Return the reasons with their counts, most frequent first, e.g. ``refused: 2 zero_trace_id, 1 too_deep``."""
    reasons: Counter[str] = Counter()
    for rejection, n in rejected.items():
        reasons[rejection.reason] += n
    listed = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items(), key=lambda one: (-one[1], one[0])))
    return f"refused: {listed}; docs/ingest.md explains each reason"
