"""OTLP metrics to GenAI data points, from protobuf and JSON alike.

Points of metrics that are not about GenAI are refused, each counted, before anything else of them is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    NumberDataPoint,
    SummaryDataPoint,
)

from collector.otlp import json_values, values
from collector.otlp.blocks import Block, blocks_of, joined, read_fields, text_of
from collector.otlp.body import Encoding
from collector.otlp.metric_points import (
    DecodedMetrics,
    Kind,
    MetricHead,
    Moment,
    RawPoint,
    exponential_point,
    histogram_point,
    is_gap,
    make_head,
    make_moment,
    number_point,
    summary_point,
)
from collector.otlp.spans import Attributes
from collector.otlp.value_limits import Refused
from collector.otlp.values import RecordLimits
from custodes.kernel.settings import IngestSettings

# Field numbers of the kinds in ``Metric``.
_KINDS: Mapping[int, Kind] = {
    5: "gauge",
    7: "sum",
    9: "histogram",
    10: "exponential_histogram",
    11: "summary",
}
_MESSAGES: Mapping[Kind, type[Message]] = {
    "gauge": NumberDataPoint,
    "sum": NumberDataPoint,
    "histogram": HistogramDataPoint,
    "exponential_histogram": ExponentialHistogramDataPoint,
    "summary": SummaryDataPoint,
}
_JSON_KINDS: Mapping[str, Kind] = {
    "gauge": "gauge",
    "sum": "sum",
    "histogram": "histogram",
    "exponentialHistogram": "exponential_histogram",
    "summary": "summary",
}
_TEMPORALITIES = {
    "AGGREGATION_TEMPORALITY_UNSPECIFIED": 0,
    "AGGREGATION_TEMPORALITY_DELTA": 1,
    "AGGREGATION_TEMPORALITY_CUMULATIVE": 2,
}


def decode_metrics(body: bytes, encoding: Encoding, settings: IngestSettings, now_ns: int) -> DecodedMetrics:
    """Return the GenAI data points of a decompressed body; an empty body holds none and is no error.

    Raises ``MalformedError`` when the bytes are not what ``encoding`` says and ``TooLargeError`` when they hold more
    points than a request may. Points that break a rule alone are counted in ``rejected``.
    """
    found = _Points(RecordLimits(settings, now_ns))
    if encoding is Encoding.JSON:
        _decode_json(body, found)
    else:
        _decode_protobuf(body, found)
    return DecodedMetrics(found.points, found.gaps, found.limits.rejected)


class _Points:
    """Collects the points of one request under its limits."""

    def __init__(self, limits: RecordLimits) -> None:
        self.limits = limits
        self.points: list[RawPoint] = []
        self.gaps = 0

    def add_all(
        self,
        resource: Attributes,
        make: Callable[[], MetricHead],
        encoded: Iterable[Any],
        read: Callable[[RecordLimits, MetricHead, Any], RawPoint | None],
    ) -> None:
        """Read every point of one metric; when its head cannot be made, all of them are refused for that."""
        head: MetricHead | Refused
        try:
            head = make()
        except Refused as refusal:
            head = refusal
        for one in encoded:
            self.limits.count_record()
            try:
                if isinstance(head, Refused):
                    raise Refused(head.reason)
                point = read(self.limits, head, one)
            except Refused as refusal:
                self.limits.refuse(resource, refusal.reason)
                continue
            if point is None:
                self.gaps += 1
            else:
                self.points.append(point)


def _decode_protobuf(body: bytes, points: _Points) -> None:
    limits = points.limits
    for resource_metrics in blocks_of(memoryview(body), 1):
        limits.count_block()
        resource = values.read_resource(limits, joined(resource_metrics, 1))
        for scope_metrics in blocks_of(resource_metrics, 2):
            limits.count_block()
            scope = joined(scope_metrics, 1)
            for metric in blocks_of(scope_metrics, 2):
                limits.count_block()
                for number, found in read_fields(metric):
                    kind = _KINDS.get(number)
                    if kind is not None and isinstance(found, memoryview):
                        make = partial(_protobuf_head, resource, scope, metric, kind, found)
                        points.add_all(resource, make, blocks_of(found, 1), _read_protobuf)


def _read_protobuf(limits: RecordLimits, head: MetricHead, encoded: Block) -> RawPoint | None:
    limits.check_record(len(encoded))
    try:
        point: Any = _MESSAGES[head.kind].FromString(bytes(encoded))
    except DecodeError as error:
        raise Refused("malformed") from error
    if is_gap(point.flags):
        return None
    attributes = values.read_attributes(limits, point.attributes)
    moment = make_moment(limits, attributes, point.start_time_unix_nano, point.time_unix_nano)
    return _protobuf_point(limits, head, moment, point)


def _protobuf_head(resource: Attributes, scope: bytes, metric: Block, kind: Kind, found: Block) -> MetricHead:
    numbers = {number: value for number, value in read_fields(found) if number in (2, 3) and isinstance(value, int)}
    try:
        name, unit, scope_name = text_of(metric, 1), text_of(metric, 3), text_of(memoryview(scope), 1)
    except UnicodeDecodeError as error:
        raise Refused("malformed") from error
    return make_head(resource, scope_name, name, unit, kind, numbers.get(2, 0), bool(numbers.get(3, 0)))


def _protobuf_point(limits: RecordLimits, head: MetricHead, moment: Moment, point: Any) -> RawPoint:
    if head.kind in ("gauge", "sum"):
        which = point.WhichOneof("value")
        return number_point(head, moment, None if which is None else getattr(point, which))
    if head.kind == "summary":
        quantiles = [(one.quantile, one.value) for one in point.quantile_values[: limits.max_buckets + 1]]
        return summary_point(limits, head, moment, count=point.count, total=point.sum, quantiles=quantiles)
    figures: dict[str, Any] = {
        "count": point.count,
        "total": point.sum if point.HasField("sum") else None,
        "minimum": point.min if point.HasField("min") else None,
        "maximum": point.max if point.HasField("max") else None,
    }
    if head.kind == "histogram":
        buckets = point.explicit_bounds, point.bucket_counts
        return histogram_point(limits, head, moment, **figures, bounds=buckets[0], counts=buckets[1])
    return exponential_point(
        limits,
        head,
        moment,
        **figures,
        scale=point.scale,
        zero=point.zero_count,
        zero_threshold=point.zero_threshold,
        positive=(point.positive.offset, point.positive.bucket_counts),
        negative=(point.negative.offset, point.negative.bucket_counts),
    )


def _decode_json(body: bytes, points: _Points) -> None:
    limits = points.limits
    for resource_metrics in json_values.objects_of(json_values.parse_document(body), "resourceMetrics"):
        resource = json_values.read_resource(limits, json_values.object_of(resource_metrics, "resource"))
        for scope_metrics in json_values.objects_of(resource_metrics, "scopeMetrics"):
            name = json_values.object_of(scope_metrics, "scope").get("name")
            scope = name if isinstance(name, str) else ""
            for metric in json_values.objects_of(scope_metrics, "metrics"):
                for key, kind in _JSON_KINDS.items():
                    found = json_values.object_of(metric, key)
                    make = partial(_json_head, limits, resource, scope, metric, kind, found)
                    points.add_all(resource, make, json_values.list_of(found, "dataPoints"), _read_json)


def _read_json(limits: RecordLimits, head: MetricHead, point: Any) -> RawPoint | None:
    if not isinstance(point, dict):
        raise Refused("malformed")
    if is_gap(json_values.read_int(point.get("flags"))):
        return None
    attributes = json_values.read_attributes(limits, point.get("attributes"))
    start_ns, time_ns = (json_values.read_int(point.get(key)) for key in ("startTimeUnixNano", "timeUnixNano"))
    return _json_point(limits, head, make_moment(limits, attributes, start_ns, time_ns), point)


def _json_head(
    limits: RecordLimits,
    resource: Attributes,
    scope: str,
    metric: dict[str, Any],
    kind: Kind,
    found: dict[str, Any],
) -> MetricHead:
    name, unit = (json_values.read_text(limits, metric.get(key)) for key in ("name", "unit"))
    temporality = json_values.read_enum(found.get("aggregationTemporality"), _TEMPORALITIES)
    return make_head(resource, scope, name, unit, kind, temporality, found.get("isMonotonic") is True)


def _json_point(limits: RecordLimits, head: MetricHead, moment: Moment, point: dict[str, Any]) -> RawPoint:
    if head.kind in ("gauge", "sum"):
        value = _double(point, "asDouble")
        if value is None and point.get("asInt") is not None:
            value = float(json_values.read_int(point["asInt"]))
        return number_point(head, moment, value)
    count, total = json_values.read_int(point.get("count")), _double(point, "sum")
    if head.kind == "summary":
        listed = json_values.elements(point.get("quantileValues"))[: limits.max_buckets + 1]
        quantiles = [_quantile(one) for one in listed]
        return summary_point(limits, head, moment, count=count, total=total, quantiles=quantiles)
    figures: dict[str, Any] = {
        "count": count,
        "total": total,
        "minimum": _double(point, "min"),
        "maximum": _double(point, "max"),
    }
    if head.kind == "histogram":
        bounds = [json_values.read_double(one) for one in json_values.elements(point.get("explicitBounds"))]
        counts = _counts(point.get("bucketCounts"))
        return histogram_point(limits, head, moment, **figures, bounds=bounds, counts=counts)
    return exponential_point(
        limits,
        head,
        moment,
        **figures,
        scale=json_values.read_int(point.get("scale")),
        zero=json_values.read_int(point.get("zeroCount")),
        zero_threshold=_double(point, "zeroThreshold") or 0.0,
        positive=_side(point, "positive"),
        negative=_side(point, "negative"),
    )


def _double(point: dict[str, Any], key: str) -> float | None:
    return None if point.get(key) is None else json_values.read_double(point[key])


def _counts(listed: object) -> list[int]:
    return [json_values.read_int(one) for one in json_values.elements(listed)]


def _quantile(one: object) -> tuple[float, float]:
    if not isinstance(one, dict):
        raise Refused("malformed")
    # Proto3 JSON leaves zeros out.
    return _double(one, "quantile") or 0.0, _double(one, "value") or 0.0


def _side(point: dict[str, Any], key: str) -> tuple[int, list[int]]:
    side = json_values.object_of(point, key)
    return json_values.read_int(side.get("offset")), _counts(side.get("bucketCounts"))
