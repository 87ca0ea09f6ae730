"""What metric points say about a stretch of time: increases of counters, merged distributions, quantiles.

Delta points say what happened since the point before. Cumulative ones say what happened since the process began to
count, so what happened is their difference. A counter that starts anew counts from zero again: another start time
makes another run of points, and within a run a smaller figure than before does. Source: the OpenTelemetry metrics
data model, sections "Temporality" and "Resets and gaps".
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

Piece: TypeAlias = tuple[float, float, int]
"""Values between a lower and an upper edge, and how many; they are taken to lie evenly between these."""

_LARGEST_EXPONENT = 1_000.0
# What every reader of JSON takes as an integer of 64 bits; clients may claim counts whose sum is larger.
_LARGEST_COUNT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Point:
    """One stored point of a series, process and start; ``detail`` is that of a ``RawPoint``."""

    time_ns: int
    start_ns: int
    count: int | None
    total: float | None
    minimum: float | None = None
    maximum: float | None = None
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What one point adds: to a distribution ``count``, ``total``, ``pieces``; to a counter ``total``; a ``level``.

    ``quantiles`` are a summary's own.
    """

    time_ns: int
    count: int = 0
    total: float | None = None
    pieces: tuple[Piece, ...] = ()
    level: float | None = None
    quantiles: Mapping[float, float] = field(default_factory=dict)


def observe(
    points: Iterable[Point], *, kind: str, temporality: str, monotonic: bool, from_ns: int
) -> Iterator[Observation]:
    """Yield what the points of one run (series, process, start time) add, for those at ``from_ns`` or later.

    ``points`` come in the order of time; earlier ones serve to compare with. The first cumulative point there is
    counts whole when it began to count at ``from_ns`` or later: of an older one nobody knows how much lies before.
    """
    if kind == "gauge" or (temporality == "cumulative" and not monotonic):
        yield from (Observation(one.time_ns, level=one.total) for one in points if one.time_ns >= from_ns)
    elif temporality == "delta":
        yield from (_whole(one) for one in points if one.time_ns >= from_ns)
    else:
        before: Point | None = None
        for one in points:
            if one.time_ns >= from_ns:
                if before is not None:
                    yield _whole(one) if _is_reset(before, one) else _difference(before, one)
                elif one.start_ns and one.start_ns >= from_ns:
                    yield _whole(one)
            before = one


class Figures:
    """The sum of observations of one stretch of time and one group."""

    def __init__(self) -> None:
        self.count = 0
        self.total: float | None = None
        self._pieces: Counter[tuple[float, float]] = Counter()
        self._levels: list[float] = []
        self._quantiles: list[Mapping[float, float]] = []
        self.observations = 0

    def add(self, one: Observation) -> None:
        """Count one more observation."""
        self.observations += 1
        self.count += one.count
        if one.total is not None:
            self.total = one.total + (self.total or 0.0)
        for low, high, n in one.pieces:
            self._pieces[low, high] += n
        if one.level is not None:
            self._levels.append(one.level)
        if one.quantiles:
            self._quantiles.append(one.quantiles)

    def to_json(self, *, distribution: bool) -> dict[str, Any]:
        """Return ``count``, ``sum``, ``mean``, ``p50``, ``p95`` of a distribution, or ``value`` of anything else.

        ``value`` is the increase of a counter and the mean of a gauge's readings; ``None`` where nothing is known.
        """
        if not distribution:
            value = sum(self._levels) / len(self._levels) if self._levels else self.total
            return {"count": None, "sum": None, "mean": None, "p50": None, "p95": None, "value": value}
        mean = self.total / self.count if self.total is not None and self.count else None
        return {
            "count": min(self.count, _LARGEST_COUNT),
            "sum": self.total,
            "mean": mean,
            "p50": self.quantile(0.50),
            "p95": self.quantile(0.95),
            "value": None,
        }

    def quantile(self, q: float) -> float | None:
        """Return the ``q``-quantile, interpolated inside its bucket; ``None`` without buckets.

        A summary's own quantile stands where nothing else was observed: two cannot be merged.
        """
        if self._pieces:
            return quantile([(low, high, n) for (low, high), n in self._pieces.items()], q)
        if len(self._quantiles) == 1:
            return self._quantiles[0].get(q)
        return None


def quantile(pieces: Sequence[Piece], q: float) -> float | None:
    """Return the ``q``-quantile (0 ≤ q ≤ 1) of values in buckets that may overlap; ``None`` when there are none."""
    total = sum(n for _, _, n in pieces)
    if not total:
        return None
    rank = q * total
    slopes: defaultdict[float, float] = defaultdict(float)
    masses: Counter[float] = Counter()
    for low, high, n in pieces:
        if high > low:
            slopes[low] += n / (high - low)
            slopes[high] -= n / (high - low)
        else:
            masses[low] += n
    edges = sorted({*slopes, *masses})
    seen = slope = 0.0
    for edge, after in pairwise([*edges, edges[-1]]):
        if masses[edge] and seen + masses[edge] >= rank:
            return edge
        seen += masses[edge]
        slope += slopes[edge]
        gain = slope * (after - edge)
        if gain > 0 and seen + gain >= rank:
            return min(after, edge + max(0.0, rank - seen) / slope)
        seen += gain
    return edges[-1]


def _whole(one: Point) -> Observation:
    low, high = one.minimum, one.maximum
    quantiles = dict((one.detail or {}).get("quantiles", ()))
    return Observation(one.time_ns, one.count or 0, one.total, tuple(_pieces(one, low, high)), quantiles=quantiles)


def _is_reset(before: Point, after: Point) -> bool:
    if after.count is not None and before.count is not None:
        return after.count < before.count
    return after.total is not None and before.total is not None and after.total < before.total


def _difference(before: Point, after: Point) -> Observation:
    total = None if before.total is None or after.total is None else after.total - before.total
    quantiles = dict((after.detail or {}).get("quantiles", ()))
    count = (after.count or 0) - (before.count or 0)
    return Observation(after.time_ns, count, total, tuple(_grown_pieces(before, after)), quantiles=quantiles)


def _pieces(one: Point, low: float | None, high: float | None) -> Iterator[Piece]:
    """Yield the buckets of a point that hold anything, cut to the range of its values where that is known."""
    for bottom, top, n in _buckets(one):
        if n > 0:
            left = bottom if low is None else min(max(bottom, low), top)
            right = top if high is None else max(min(top, high), left)
            yield left, right, n


def _grown_pieces(before: Point, after: Point) -> Iterator[Piece]:
    """Yield what each bucket gained; nothing when the two points have buckets that cannot be compared."""
    old, new = before.detail or {}, after.detail or {}
    if "bounds" in old and "bounds" in new:
        if old["bounds"] == new["bounds"]:
            counts = [b - a for a, b in zip(old["counts"], new["counts"], strict=True)]
            yield from _explicit(new["bounds"], counts, after.minimum, after.maximum)
    elif "scale" in old and "scale" in new:
        gained: Counter[tuple[float, float]] = Counter()
        scale = min(old["scale"], new["scale"])
        for bottom, top, n in _exponential(new, scale):
            gained[bottom, top] += n
        for bottom, top, n in _exponential(old, scale):
            gained[bottom, top] -= n
        yield from ((bottom, top, n) for (bottom, top), n in gained.items() if n > 0)


def _buckets(one: Point) -> Iterator[Piece]:
    detail = one.detail or {}
    if "bounds" in detail:
        yield from _explicit(detail["bounds"], detail["counts"], one.minimum, one.maximum)
    elif "scale" in detail:
        yield from _exponential(detail, detail["scale"])


def _explicit(
    bounds: Sequence[float], counts: Sequence[int], minimum: float | None, maximum: float | None
) -> Iterator[Piece]:
    """Yield explicit buckets; the outer two end at the least and greatest value, at 0 or the outer bound if unknown."""
    lowest = min(bounds[0], 0.0 if minimum is None else minimum)
    highest = bounds[-1] if maximum is None else max(bounds[-1], maximum)
    for (low, high), n in zip(pairwise([lowest, *bounds, highest]), counts, strict=True):
        if n > 0:
            yield low, high, n


def _exponential(detail: Mapping[str, Any], scale: int) -> Iterator[Piece]:
    """Yield exponential buckets at a ``scale`` that is not finer than their own."""
    shift = detail["scale"] - scale
    if detail["zero"]:
        yield -detail["zero_threshold"], detail["zero_threshold"], detail["zero"]
    for sign, side in ((1, "positive"), (-1, "negative")):
        offset, counts = detail[side]
        merged: Counter[int] = Counter()
        for index, n in enumerate(counts, offset):
            merged[index >> shift] += n
        for index, n in merged.items():
            if n:
                edges = sorted((sign * _bound(index, scale), sign * _bound(index + 1, scale)))
                yield edges[0], edges[1], n


def _bound(index: int, scale: int) -> float:
    """Return the lower edge of an exponential bucket: 2^(index · 2^-scale), kept where doubles can say it."""
    exponent = index * 2.0**-scale
    return float(2.0 ** max(-_LARGEST_EXPONENT, min(_LARGEST_EXPONENT, exponent)))
