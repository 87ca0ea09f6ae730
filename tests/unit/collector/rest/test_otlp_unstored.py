"""Logs and metrics: every record counted, every record reported as rejected."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from collector import otlp_unstored
from collector.otlp.body import Encoding
from collector.otlp_unstored import LOGS, METRICS, count_records, rejection_body
from custodes.kernel.errors import InvalidInputError, MalformedError, TooLargeError


def logs_of(sizes: list[list[int]]) -> bytes:
    request = ExportLogsServiceRequest()
    for scopes in sizes:
        resource = request.resource_logs.add(schema_url="x")
        resource.resource.attributes.add(key="service.name").value.string_value = "bot"
        for size in scopes:
            scope = resource.scope_logs.add()
            for number in range(size):
                scope.log_records.add(time_unix_nano=number, severity_text="INFO")
    return bytes(request.SerializeToString())


def metrics() -> bytes:
    """Seven data points: two of a gauge, two of a sum, one of each other kind."""
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    gauge, total, histogram, exponential, summary = (scope.metrics.add(name=str(n)) for n in range(5))
    for number in range(2):
        gauge.gauge.data_points.add(as_int=number)
        total.sum.data_points.add(as_double=number)
    histogram.histogram.data_points.add(count=1)
    exponential.exponential_histogram.data_points.add(count=1)
    summary.summary.data_points.add(count=1)
    return bytes(request.SerializeToString())


class TestCounting:
    @given(st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=3))
    def test_it_counts_every_log_record(self, sizes: list[list[int]]) -> None:
        assert count_records(logs_of(sizes), Encoding.PROTOBUF, LOGS) == sum(map(sum, sizes))

    def test_it_counts_every_data_point_of_every_kind(self) -> None:
        assert count_records(metrics(), Encoding.PROTOBUF, METRICS) == 7

    def test_it_counts_json_the_same(self) -> None:
        logs: Any = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{}, {}]}, {"logRecords": [{}]}]}, {}]}
        points = {
            "resourceMetrics": [{"scopeMetrics": [{"metrics": [{"sum": {"dataPoints": [{}, {}]}}, {"gauge": {}}]}]}]
        }
        assert count_records(orjson.dumps(logs), Encoding.JSON, LOGS) == 3
        assert count_records(orjson.dumps(points), Encoding.JSON, METRICS) == 2

    @given(st.binary(max_size=60), st.sampled_from(list(Encoding)), st.sampled_from([LOGS, METRICS]))
    def test_anything_else_is_our_error_only(self, data: bytes, encoding: Encoding, signal: Any) -> None:
        with contextlib.suppress(InvalidInputError):
            assert count_records(data, encoding, signal) >= 0

    def test_a_body_cut_off_is_malformed(self) -> None:
        with pytest.raises(MalformedError):
            count_records(logs_of([[3]])[:-1], Encoding.PROTOBUF, LOGS)

    def test_it_stops_counting_at_a_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(otlp_unstored, "MAX_RECORDS", 5)
        with pytest.raises(TooLargeError):
            count_records(logs_of([[6]]), Encoding.PROTOBUF, LOGS)


class TestAnswer:
    def test_it_rejects_as_many_as_came_and_says_why(self) -> None:
        logs = ExportLogsServiceResponse.FromString(rejection_body(3, Encoding.PROTOBUF, LOGS)).partial_success
        points = ExportMetricsServiceResponse.FromString(rejection_body(4, Encoding.PROTOBUF, METRICS)).partial_success
        assert (logs.rejected_log_records, points.rejected_data_points) == (3, 4)
        assert "traces only" in logs.error_message

    def test_its_json_writes_64_bit_numbers_as_text(self) -> None:
        assert orjson.loads(rejection_body(3, Encoding.JSON, LOGS))["partialSuccess"]["rejectedLogRecords"] == "3"
        assert orjson.loads(rejection_body(3, Encoding.JSON, METRICS))["partialSuccess"]["rejectedDataPoints"] == "3"

    @pytest.mark.parametrize("encoding", list(Encoding))
    def test_nothing_sent_is_nothing_rejected(self, encoding: Encoding) -> None:
        assert rejection_body(0, encoding, LOGS) == (b"{}" if encoding is Encoding.JSON else b"")

    @pytest.mark.parametrize(("path", "data"), [("/v1/logs", logs_of([[2]])), ("/v1/metrics", metrics())])
    def test_over_http_it_is_200(self, local_server: Any, path: str, data: bytes) -> None:
        answer = local_server.client("ingester").post(
            path, content=data, headers={"content-type": "application/x-protobuf"}
        )
        assert answer.status_code == 200
        assert b"traces only" in answer.content
        assert local_server.client().post(path, content=data).status_code == 401
