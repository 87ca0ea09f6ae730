"""OTLP logs and metrics, which this version does not store: counted, and honestly reported as rejected.

A 404 would fill exporters' logs and a 503 would make them try for ever. The protocol has the right word: 200 with a
partial success that names how many records were rejected and why, which clients must not send again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)

from collector.otlp.body import Encoding
from custodes.kernel.errors import MalformedError, TooLargeError

MAX_RECORDS = 1_000_000
"""Most records counted in one request; counting alone must stay cheap."""

_LENGTH_DELIMITED = 2
_FIXED_SIZES = {1: 8, 5: 4}


@dataclass(frozen=True, slots=True)
class Signal:
    """Where the records of a signal lie: field numbers in protobuf, names in JSON, outermost first."""

    name: str
    numbers: tuple[frozenset[int], ...]
    names: tuple[frozenset[str], ...]


LOGS = Signal(
    "logs",
    (frozenset({1}), frozenset({2}), frozenset({2})),
    (frozenset({"resourceLogs"}), frozenset({"scopeLogs"}), frozenset({"logRecords"})),
)
METRICS = Signal(
    "metrics",
    (frozenset({1}), frozenset({2}), frozenset({2}), frozenset({5, 7, 9, 10, 11}), frozenset({1})),
    (
        frozenset({"resourceMetrics"}),
        frozenset({"scopeMetrics"}),
        frozenset({"metrics"}),
        frozenset({"gauge", "sum", "histogram", "exponentialHistogram", "summary"}),
        frozenset({"dataPoints"}),
    ),
)


def count_records(body: bytes, encoding: Encoding, signal: Signal) -> int:
    """Return how many records a decompressed body holds.

    Raises ``MalformedError`` when it is not what ``encoding`` says and ``TooLargeError`` above ``MAX_RECORDS``.
    """
    if not body:
        return 0
    found = _walk_json(_load(body), signal) if encoding is Encoding.JSON else _walk(memoryview(body), signal.numbers)
    count = 0
    for _ in found:
        count += 1
        if count > MAX_RECORDS:
            raise TooLargeError(f"the request holds more than {MAX_RECORDS} {signal.name} records", limit=MAX_RECORDS)
    return count


def rejection_body(rejected: int, encoding: Encoding, signal: Signal) -> bytes:
    """Return the answer that says ``rejected`` records were not stored; an empty request is a plain success."""
    message = f"this version of Custodes stores traces only; {signal.name} are not kept" if rejected else ""
    if encoding is Encoding.JSON:
        field = "rejectedLogRecords" if signal is LOGS else "rejectedDataPoints"
        partial = {"partialSuccess": {field: str(rejected), "errorMessage": message}}
        return orjson.dumps(partial if rejected else {})
    if not rejected:
        return b""
    if signal is LOGS:
        logs = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
        return bytes(ExportLogsServiceResponse(partial_success=logs).SerializeToString())
    points = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=message)
    return bytes(ExportMetricsServiceResponse(partial_success=points).SerializeToString())


def _load(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"the body is not JSON (line {error.lineno}, column {error.colno})") from error


def _walk_json(root: Any, signal: Signal) -> Iterator[None]:
    nodes = [root]
    for names in signal.names[:-1]:
        nodes = [child for node in nodes if isinstance(node, dict) for name in names for child in _children(node, name)]
    for node in nodes:
        if isinstance(node, dict):
            for name in signal.names[-1]:
                for _ in _children(node, name):
                    yield


def _children(node: dict[str, Any], name: str) -> list[Any]:
    found = node.get(name)
    return found if isinstance(found, list) else [] if found is None else [found]


def _walk(view: memoryview, numbers: tuple[frozenset[int], ...]) -> Iterator[None]:
    """Yield once for every message at the end of the path, without building any."""
    at, end = 0, len(view)
    while at < end:
        tag, at = _varint(view, at)
        wire = tag & 7
        if wire == _LENGTH_DELIMITED:
            length, at = _varint(view, at)
            if at + length > end:
                raise _broken()
            if tag >> 3 in numbers[0]:
                if len(numbers) == 1:
                    yield
                else:
                    yield from _walk(view[at : at + length], numbers[1:])
            at += length
        elif wire == 0:
            _, at = _varint(view, at)
        elif wire in _FIXED_SIZES:
            at += _FIXED_SIZES[wire]
        else:
            raise _broken()
    if at != end:
        raise _broken()


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(view) and shift < 70:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _broken()


def _broken() -> MalformedError:
    return MalformedError("the body is not an OTLP request in protobuf; check the exporter's protocol and Content-Type")
