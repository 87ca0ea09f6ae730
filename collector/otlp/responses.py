"""Answers to OTLP requests, in the encoding of the request.

Success is the ``Export…ServiceResponse`` of the signal; when records were refused it says how many and why, and the
client must not send them again. Every error is a ``google.rpc.Status``. Source: OTLP specification 1.10, sections
"OTLP/HTTP Response" and "Partial Success".
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum, StrEnum

import orjson
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.otlp.body import Encoding
from collector.otlp.spans import Rejection


class Signal(StrEnum):
    """What a request carries; the value is the last part of its path."""

    TRACES = "traces"
    LOGS = "logs"
    METRICS = "metrics"


class RpcCode(IntEnum):
    """The codes of ``google.rpc.Status`` that this server sends."""

    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_CODES = {
    401: RpcCode.UNAUTHENTICATED,
    403: RpcCode.PERMISSION_DENIED,
    404: RpcCode.NOT_FOUND,
    405: RpcCode.UNIMPLEMENTED,
    413: RpcCode.RESOURCE_EXHAUSTED,
    503: RpcCode.UNAVAILABLE,
}


def status_to_code(status: int) -> RpcCode:
    """Return the code that goes with an HTTP status; whatever else is wrong with a request is INVALID_ARGUMENT."""
    return _CODES.get(status, RpcCode.INVALID_ARGUMENT)


def success_body(encoding: Encoding, rejected: Counter[Rejection], signal: Signal = Signal.TRACES) -> bytes:
    """Return the answer to a request whose acceptable records are stored."""
    count = rejected.total()
    if not count:
        return b"{}" if encoding is Encoding.JSON else b""
    message = rejection_message(rejected, signal)
    if encoding is Encoding.JSON:
        field = {Signal.TRACES: "rejectedSpans", Signal.LOGS: "rejectedLogRecords"}.get(signal, "rejectedDataPoints")
        # 64-bit integers are strings in the JSON form of protobuf messages.
        return orjson.dumps({"partialSuccess": {field: str(count), "errorMessage": message}})
    if signal is Signal.TRACES:
        traces = ExportTraceServiceResponse()
        traces.partial_success.rejected_spans, traces.partial_success.error_message = count, message
        return traces.SerializeToString()
    if signal is Signal.LOGS:
        logs = ExportLogsServiceResponse()
        logs.partial_success.rejected_log_records, logs.partial_success.error_message = count, message
        return logs.SerializeToString()
    points = ExportMetricsServiceResponse()
    points.partial_success.rejected_data_points, points.partial_success.error_message = count, message
    return points.SerializeToString()


def error_body(encoding: Encoding, code: RpcCode, message: str) -> bytes:
    """Return a ``google.rpc.Status`` that says what is wrong and what to do."""
    if encoding is Encoding.JSON:
        return orjson.dumps({"code": int(code), "message": message})
    return bytes(Status(code=int(code), message=message).SerializeToString())


def rejection_message(rejected: Counter[Rejection], signal: Signal) -> str:
    """Return the reasons with their counts, most frequent first, e.g. ``refused: 2 zero_trace_id, 1 too_deep``."""
    reasons: Counter[str] = Counter()
    for rejection, n in rejected.items():
        reasons[rejection.reason] += n
    listed = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items(), key=lambda one: (-one[1], one[0])))
    page = "docs/ingest.md" if signal is Signal.TRACES else "docs/signals.md"
    return f"refused: {listed}; {page} explains each reason"
