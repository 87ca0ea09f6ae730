"""GenAI data points out of metric requests, in both encodings; every other point is refused alone and counted."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.otlp.body import Encoding
from collector.otlp.metric_points import DecodedMetrics, RawPoint, stream_of
from collector.otlp.metrics import decode_metrics
from collector.otlp.spans import Rejection
from custodes.kernel.errors import InvalidInputError, TooLargeError
from custodes.kernel.settings import IngestSettings

FOLDER = Path(__file__).parents[3] / "data" / "otlp"
RECORDED = [path.read_bytes() for path in sorted(FOLDER.glob("genai-1.3b0-*-metrics.bin"))]
NAME = "gen_ai.client.operation.duration"
TIMES = {"startTimeUnixNano": "1000", "timeUnixNano": "2000"}
GAUGE = {**TIMES, "asDouble": 0.5}
HISTOGRAM = {**TIMES, "count": "3", "sum": 4.5, "min": 0.5, "max": 3, "bucketCounts": ["1", "2"], "explicitBounds": [1]}
EXPONENTIAL = {
    **TIMES,
    "count": "6",
    "sum": 9.5,
    "scale": 1,
    "zeroCount": "1",
    "zeroThreshold": 0.1,
    "positive": {"offset": -2, "bucketCounts": ["1", "3"]},
    "negative": {"offset": 4, "bucketCounts": ["1"]},
}
SUMMARY = {**TIMES, "count": "4", "sum": 8.0, "quantileValues": [{"quantile": 0.5, "value": 2.0}, {"value": 1.0}]}

Write = Callable[..., bytes]


def metric(kind: str, *points: Any, name: str = NAME, **more: Any) -> dict[str, Any]:
    temporality = {} if kind in ("gauge", "summary") else {"aggregationTemporality": 2}
    return {"name": name, "unit": "s", kind: {**temporality, **more, "dataPoints": copy.deepcopy(list(points))}}


@pytest.fixture
def decode(write_metrics: Write, encoding: Encoding, now_ns: int) -> Callable[..., DecodedMetrics]:
    """Write metrics in the encoding under test and decode them again; keyword arguments are settings."""

    def run(*metrics: dict[str, Any], **limits: Any) -> DecodedMetrics:
        return decode_metrics(write_metrics(list(metrics), encoding), encoding, IngestSettings(**limits), now_ns)

    return run


Decode = Callable[..., DecodedMetrics]


def only(found: DecodedMetrics) -> RawPoint:
    assert not found.rejected
    (point,) = found.points
    return point


class TestKinds:
    def test_a_gauge_has_a_value_and_no_temporality(self, decode: Decode) -> None:
        point = only(decode(metric("gauge", {**GAUGE, "attributes": {"gen_ai.system": "openai", "n": 1}})))
        assert (point.head.service, point.head.name, point.head.unit) == ("bot", NAME, "s")
        assert (point.head.kind, point.head.temporality, point.head.monotonic) == ("gauge", "", False)
        assert (point.total, point.moment.start_ns, point.moment.time_ns) == (0.5, 1000, 2000)
        assert point.moment.attributes == {"gen_ai.system": "openai", "n": 1}

    @pytest.mark.parametrize(("written", "monotonic"), [(True, True), (False, False)])
    def test_a_sum_says_whether_it_only_grows(self, decode: Decode, written: bool, monotonic: bool) -> None:
        point = only(decode(metric("sum", {**TIMES, "asInt": "12"}, isMonotonic=written)))
        assert (point.head.kind, point.head.temporality, point.head.monotonic) == ("sum", "cumulative", monotonic)
        assert point.total == 12.0

    def test_a_histogram_has_its_buckets(self, decode: Decode) -> None:
        point = only(decode(metric("histogram", HISTOGRAM, aggregationTemporality=1)))
        assert (point.head.temporality, point.head.monotonic) == ("delta", True)
        assert (point.count, point.total, point.minimum, point.maximum) == (3, 4.5, 0.5, 3.0)
        assert point.detail == {"bounds": [1.0], "counts": [1, 2]}

    def test_one_without_buckets_or_sum_still_counts(self, decode: Decode) -> None:
        point = only(decode(metric("histogram", {**TIMES, "count": "3"})))
        assert (point.count, point.total, point.detail) == (3, None, None)

    def test_an_exponential_histogram_has_scale_and_sides(self, decode: Decode) -> None:
        point = only(decode(metric("exponentialHistogram", EXPONENTIAL)))
        assert (point.head.kind, point.count, point.total) == ("exponential_histogram", 6, 9.5)
        assert point.detail == {
            "scale": 1,
            "zero": 1,
            "zero_threshold": 0.1,
            "positive": [-2, [1, 3]],
            "negative": [4, [1]],
        }

    def test_a_summary_has_quantiles_and_is_cumulative(self, decode: Decode) -> None:
        point = only(decode(metric("summary", SUMMARY)))
        assert (point.head.temporality, point.count, point.total) == ("cumulative", 4, 8.0)
        assert point.detail == {"quantiles": [[0.5, 2.0], [0.0, 1.0]]}

    def test_names_of_clients_servers_and_vllm_are_taken(self, decode: Decode) -> None:
        names = ["gen_ai.server.time_to_first_token", "vllm:num_requests_running", "vllm.requests", "llm.usage"]
        assert [one.head.name for one in decode(*(metric("gauge", GAUGE, name=one) for one in names)).points] == names

    def test_a_start_after_its_time_is_no_start(self, decode: Decode) -> None:
        assert only(decode(metric("gauge", {**GAUGE, "startTimeUnixNano": "2001"}))).moment.start_ns == 0

    def test_a_point_that_says_there_is_no_value_holds_nothing(self, decode: Decode) -> None:
        found = decode(metric("histogram", {**TIMES, "flags": 1}, HISTOGRAM))
        assert (len(found.points), found.gaps, found.rejected) == (1, 1, {})

    def test_an_empty_body_holds_none(self, encoding: Encoding, now_ns: int) -> None:
        assert decode_metrics(b"", encoding, IngestSettings(), now_ns) == DecodedMetrics([])


class TestRefusal:
    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (metric("gauge", GAUGE, name="http.server.duration"), "not_genai_metric"),
            (metric("histogram", HISTOGRAM, aggregationTemporality=0), "bad_temporality"),
            (metric("sum", GAUGE, aggregationTemporality=0), "bad_temporality"),
            (metric("gauge", TIMES), "no_value"),
            (metric("gauge", {"asInt": "1"}), "no_time"),
            (metric("gauge", {**GAUGE, "timeUnixNano": str(1_795_300_000_000_000_000 + 10**15)}), "clock_in_future"),
            (metric("gauge", {**TIMES, "asDouble": "NaN"}), "not_a_number"),
            (metric("gauge", {**TIMES, "asDouble": "-Infinity"}), "not_a_number"),
            (metric("histogram", {**HISTOGRAM, "sum": "Infinity"}), "not_a_number"),
            (metric("histogram", {**HISTOGRAM, "count": str(1 << 63)}), "bad_count"),
            (metric("histogram", {**HISTOGRAM, "bucketCounts": ["1"]}), "bad_histogram"),
            (metric("histogram", {**HISTOGRAM, "explicitBounds": []}), "bad_histogram"),
            (metric("histogram", {**HISTOGRAM, "explicitBounds": ["NaN"]}), "bad_histogram"),
            (
                metric("histogram", {**HISTOGRAM, "explicitBounds": [2, 1], "bucketCounts": ["1", "1", "1"]}),
                "bad_histogram",
            ),
            (metric("exponentialHistogram", {**EXPONENTIAL, "scale": 21}), "bad_histogram"),
            (metric("exponentialHistogram", {**EXPONENTIAL, "zeroThreshold": -1.0}), "bad_histogram"),
            (
                metric("exponentialHistogram", {**EXPONENTIAL, "positive": {"offset": -(2**31)}}),
                "bad_histogram",
            ),
            (metric("histogram", {**HISTOGRAM, "bucketCounts": ["0"] * 9}), "too_many_buckets"),
            (metric("gauge", {**GAUGE, "attributes": {str(n): n for n in range(11)}}), "too_many_attributes"),
            (metric("gauge", {**GAUGE, "attributes": {"x": "x" * 2049}}), "attribute_too_long"),
        ],
    )
    def test_it_is_for_one_point_alone_and_says_why(self, decode: Decode, bad: dict[str, Any], reason: str) -> None:
        good = metric("gauge", GAUGE)
        found = decode(good, copy.deepcopy(bad), good, max_attributes=10, max_attribute_bytes=2048, max_buckets=8)
        assert len(found.points) == 2
        assert found.rejected == {Rejection("bot", reason): 1}

    @pytest.mark.parametrize(
        "point",
        [
            5,
            {**GAUGE, "asDouble": "much"},
            {**GAUGE, "asDouble": True},
            {**GAUGE, "timeUnixNano": "soon"},
            {**GAUGE, "attributes": {"a": 1}},
        ],
    )
    def test_json_of_the_wrong_type_is_malformed(self, point: Any, now_ns: int) -> None:
        metrics = [{"name": NAME, "gauge": {"dataPoints": [point, GAUGE]}}]
        document = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}
        found = decode_metrics(json.dumps(document).encode(), Encoding.JSON, IngestSettings(), now_ns)
        assert (len(found.points), found.rejected) == (1, {Rejection("", "malformed_record"): 1})

    def test_every_point_of_a_strange_metric_is_counted(self, decode: Decode) -> None:
        found = decode(metric("gauge", *[GAUGE] * 5, name="process.cpu"))
        assert found.rejected == {Rejection("bot", "not_genai_metric"): 5}

    def test_text_that_is_no_utf8_spoils_its_point_alone(self, now_ns: int) -> None:
        request = ExportMetricsServiceRequest()
        found = request.resource_metrics.add().scope_metrics.add().metrics.add(name=NAME)
        for text in ("good", "spoilt"):
            point = found.gauge.data_points.add(as_int=1, time_unix_nano=5)
            point.attributes.add(key="x").value.string_value = text
        body = request.SerializeToString().replace(b"spoilt", b"sp\xff\xfelt")
        decoded = decode_metrics(body, Encoding.PROTOBUF, IngestSettings(), now_ns)
        assert [one.moment.attributes for one in decoded.points] == [{"x": "good"}]
        assert decoded.rejected == {Rejection("", "malformed_record"): 1}

    def test_points_have_a_limit(self, write_metrics: Write, encoding: Encoding, now_ns: int) -> None:
        body = write_metrics([metric("gauge", *[GAUGE] * 9)], encoding)
        assert len(decode_metrics(body, encoding, IngestSettings(max_records=9), now_ns).points) == 9
        with pytest.raises(TooLargeError):
            decode_metrics(body, encoding, IngestSettings(max_records=8), now_ns)


class TestStream:
    def test_processes_and_scopes_are_told_apart(self) -> None:
        one = stream_of({"service.instance.id": "a"}, "s")
        others = [
            stream_of({"service.instance.id": "b"}, "s"),
            stream_of({"service.instance.id": "a"}, "t"),
            stream_of({"host.name": "h", "process.pid": 1}, "s"),
            stream_of({"host.name": "h", "process.pid": 2}, "s"),
            stream_of({}, "s"),
        ]
        assert len({one, *others}) == 6
        assert one == stream_of({"service.instance.id": "a", "host.name": "h"}, "s")
        assert all(0 <= number < 1 << 63 for number in others)


def run(body: bytes, encoding: Encoding) -> None:
    """Decode; only our errors may come out."""
    try:
        decode_metrics(body, encoding, IngestSettings(max_depth=8), 1_795_300_000_000_000_000)
    except InvalidInputError:
        return


class TestHostileBodies:
    @given(st.data())
    @settings(max_examples=300, deadline=None)
    def test_mutated_recordings_are_read_or_refused(self, data: st.DataObject) -> None:
        body = bytearray(data.draw(st.sampled_from(RECORDED)))
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(body) - 1))
            match data.draw(st.sampled_from(["flip", "insert", "cut", "double"])):
                case "flip":
                    body[at] ^= 1 << data.draw(st.integers(0, 7))
                case "insert":
                    body[at:at] = data.draw(st.binary(max_size=16))
                case "cut":
                    del body[at : at + data.draw(st.integers(0, 16))]
                case _:
                    body[at:at] = body[at : at + 24]
            body = body or bytearray(b"\n")
        run(bytes(body), Encoding.PROTOBUF)

    @given(st.binary(max_size=300), st.sampled_from(list(Encoding)))
    def test_random_bytes_are_read_or_refused(self, body: bytes, encoding: Encoding) -> None:
        run(body, encoding)

    @given(st.data())
    @settings(max_examples=300, deadline=None)
    def test_any_json_in_a_point_is_read_or_refused(self, data: st.DataObject) -> None:
        kind, point = data.draw(
            st.sampled_from(
                [
                    ("gauge", GAUGE),
                    ("histogram", HISTOGRAM),
                    ("exponentialHistogram", EXPONENTIAL),
                    ("summary", SUMMARY),
                ]
            )
        )
        anything = st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(point)), inner),
            max_leaves=8,
        )
        changed = {**point, data.draw(st.sampled_from(sorted(point))): data.draw(anything)}
        metrics = [metric(kind, changed)]
        document = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}
        run(json.dumps(document).encode(), Encoding.JSON)
