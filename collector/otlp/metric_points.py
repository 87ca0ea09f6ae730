"""What a decoded OTLP metrics request holds, and the checks that both encodings share.

A point that breaks a rule raises ``Refused`` and is refused alone.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from collector.otlp.spans import Attributes, Rejection
from collector.otlp.value_limits import Refused
from collector.otlp.values import RecordLimits, service_of

Kind: TypeAlias = Literal["gauge", "sum", "histogram", "exponential_histogram", "summary"]

GENAI_PREFIXES = ("gen_ai.", "vllm:", "vllm.", "llm.")
"""How the names of metrics begin that are kept: clients and servers of the GenAI conventions, vLLM, OpenLLMetry."""

DELTA, CUMULATIVE = "delta", "cumulative"
_TEMPORALITIES = {1: DELTA, 2: CUMULATIVE}
_NO_RECORDED_VALUE = 1
_INT63 = 1 << 63
_MIN_SCALE, _MAX_SCALE = -10, 20
_MAX_OFFSET = 1 << 30
# What tells the processes of one service apart, the best first.
_INSTANCE = ("service.instance.id", "k8s.pod.uid", "k8s.pod.name", "container.id")


@dataclass(frozen=True, slots=True)
class MetricHead:
    """What the points of one metric have in common; ``stream`` stands for the process that measured them."""

    service: str
    stream: int
    name: str
    unit: str
    kind: Kind
    temporality: str
    monotonic: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """When a point was taken and of what: ``start_ns`` is 0 when the client does not say since when it counts."""

    attributes: Attributes
    start_ns: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class RawPoint:
    """One data point. All its numbers are finite and fit 64 bits.

    ``total`` is the value of a gauge or sum, and the sum of the others where they have one. ``detail`` is
    ``{"bounds", "counts"}`` for explicit buckets (one count more than bounds, or both empty),
    ``{"scale", "zero", "zero_threshold", "positive", "negative"}`` for exponential ones, the sides as
    ``[offset, counts]``, and ``{"quantiles": [[q, value], …]}`` for a summary.
    """

    head: MetricHead
    moment: Moment
    count: int | None = None
    total: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    detail: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class DecodedMetrics:
    """The points of one request; ``gaps`` say that there was no value, so there is nothing of them to keep."""

    points: list[RawPoint]
    gaps: int = 0
    rejected: Counter[Rejection] = field(default_factory=Counter)


def stream_of(resource: Attributes, scope: str) -> int:
    """Return a number below 2^63 that stands for the measuring process and instrumentation scope.

    Clients that tell nothing about their process share one stream per service, as if they were one.
    """
    instance: list[object] = [next((resource[key] for key in _INSTANCE if resource.get(key)), None)]
    if instance[0] is None:
        instance = [resource.get("host.name"), resource.get("process.pid")]
    digest = hashlib.sha256(repr((instance, scope)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) >> 1


def make_head(
    resource: Attributes, scope: str, name: str, unit: str, kind: Kind, temporality: int, monotonic: bool
) -> MetricHead:
    """Return the head of a metric; raises :class:`Refused` for one that is not kept or cannot be read."""
    if not name.startswith(GENAI_PREFIXES):
        raise Refused("not_genai_metric")
    if kind == "gauge":
        told = ""
    elif kind == "summary":
        told = CUMULATIVE
    else:
        told = _TEMPORALITIES.get(temporality, "")
        if not told:
            raise Refused("bad_temporality")
    monotonic = monotonic if kind == "sum" else kind != "gauge"
    return MetricHead(service_of(resource), stream_of(resource, scope), name, unit, kind, told, monotonic)


def make_moment(limits: RecordLimits, attributes: Attributes, start_ns: int, time_ns: int) -> Moment:
    """Return when a point was taken; a start after its time is no start."""
    if time_ns == 0:
        raise Refused("no_time")
    limits.check_time(time_ns)
    return Moment(attributes, start_ns if 0 < start_ns <= time_ns else 0, time_ns)


def is_gap(flags: int) -> bool:
    """Return whether a point's flags say that there is no recorded value."""
    return bool(flags & _NO_RECORDED_VALUE)


def number_point(head: MetricHead, moment: Moment, value: float | None) -> RawPoint:
    """Return a point of a gauge or sum."""
    if value is None:
        raise Refused("no_value")
    return RawPoint(head, moment, total=_finite(value))


def histogram_point(
    limits: RecordLimits,
    head: MetricHead,
    moment: Moment,
    *,
    count: int,
    total: float | None,
    minimum: float | None,
    maximum: float | None,
    bounds: Sequence[float],
    counts: Sequence[int],
) -> RawPoint:
    """Return a point of a histogram with explicit buckets."""
    _check_buckets(limits, len(counts))
    if (len(counts) != len(bounds) + 1 and (counts or bounds)) or not _rises(bounds):
        raise Refused("bad_histogram")
    detail = {"bounds": list(bounds), "counts": _counts(counts)} if bounds else None
    return _distribution(head, moment, count, total, minimum, maximum, detail)


def exponential_point(
    limits: RecordLimits,
    head: MetricHead,
    moment: Moment,
    *,
    count: int,
    total: float | None,
    minimum: float | None,
    maximum: float | None,
    scale: int,
    zero: int,
    zero_threshold: float,
    positive: tuple[int, Sequence[int]],
    negative: tuple[int, Sequence[int]],
) -> RawPoint:
    """Return a point of a histogram with exponential buckets; a side is the index of its first bucket and counts."""
    _check_buckets(limits, len(positive[1]) + len(negative[1]))
    offsets = abs(positive[0]), abs(negative[0])
    if not _MIN_SCALE <= scale <= _MAX_SCALE or max(offsets) > _MAX_OFFSET or _finite(zero_threshold) < 0:
        raise Refused("bad_histogram")
    detail = {
        "scale": scale,
        "zero": _count(zero),
        "zero_threshold": zero_threshold,
        "positive": [positive[0], _counts(positive[1])],
        "negative": [negative[0], _counts(negative[1])],
    }
    return _distribution(head, moment, count, total, minimum, maximum, detail)


def summary_point(
    limits: RecordLimits,
    head: MetricHead,
    moment: Moment,
    *,
    count: int,
    total: float | None,
    quantiles: Sequence[tuple[float, float]],
) -> RawPoint:
    """Return a point of a summary; quantiles without a value are left out, as clients write them before the first."""
    _check_buckets(limits, len(quantiles))
    listed = [[q, value] for q, value in quantiles if 0.0 <= q <= 1.0 and math.isfinite(value)]
    return _distribution(head, moment, count, total, None, None, {"quantiles": listed})


def _distribution(
    head: MetricHead,
    moment: Moment,
    count: int,
    total: float | None,
    minimum: float | None,
    maximum: float | None,
    detail: dict[str, Any] | None,
) -> RawPoint:
    total, minimum, maximum = (None if one is None else _finite(one) for one in (total, minimum, maximum))
    return RawPoint(head, moment, _count(count), total, minimum, maximum, detail)


def _check_buckets(limits: RecordLimits, count: int) -> None:
    if count > limits.max_buckets:
        raise Refused("too_many_buckets")


def _rises(bounds: Sequence[float]) -> bool:
    return all(math.isfinite(one) for one in bounds) and all(low < high for low, high in itertools.pairwise(bounds))


def _counts(counts: Sequence[int]) -> list[int]:
    return [_count(one) for one in counts]


def _count(count: int) -> int:
    if not 0 <= count < _INT63:
        raise Refused("bad_count")
    return count


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise Refused("not_a_number")
    return float(value)
