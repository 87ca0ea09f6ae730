"""Sliding windows over minute roll-ups, exact: what was added and taken away again leaves no trace.

Live evaluation keeps windows from minute to minute, a back-test slides the same ones through a month. Both must give
the same bits as reading the whole window afresh, or a back-test would not equal what live evaluation recorded. Counts
are whole numbers anyway. Sums are kept as whole multiples of 2^-1074, the smallest double, so that adding is exact and
one correctly rounded division gives the sum, whatever the order.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from custodes.kernel.errors import TooLargeError
from custodes.kernel.histogram import Scale, metric_scale
from custodes.kernel.packed_histogram import (
    MOST_VALUES,
    Counts,
    counts_quantile,
    counts_share_above,
    pack_histogram,
    split_bin,
    unpack_counts,
)
from policies.rules.compile import SignalSpec
from policies.rules.vocabulary import EXCHANGES_METRIC, FROM_ROLLUPS

_SHIFT = 1074
_UNIT = 1 << _SHIFT
_make_tuple = tuple.__new__
_QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "latency_p95": 0.95}
_SUMS = frozenset({"mean", "cost_sum"})

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Need:
    """Which parts of a roll-up row somebody reads; the others need not be fetched or kept."""

    total: bool = False
    maximum: bool = False
    histogram: bool = False

    def __or__(self, other: Need) -> Need:
        return Need(self.total or other.total, self.maximum or other.maximum, self.histogram or other.histogram)

    def covers(self, other: Need) -> bool:
        """Return whether everything ``other`` needs is here."""
        return (self | other) == self


def need_of(spec: SignalSpec) -> Need:
    """Return what a signal reads."""
    name = spec.aggregation.name
    return Need(total=name in _SUMS, maximum=name == "max", histogram=name in _QUANTILES or name == "rate_above")


class Row(NamedTuple):
    """What one roll-up row adds to a window: counts, the sum in units of 2^-1074, the maximum, the packed histogram.

    ``broken`` is 1 for a row whose sum overflowed; no window that holds one has a sum.
    """

    n: int
    not_assessed: int
    total: int = 0
    maximum: float | None = None
    packed: int = 0
    broken: int = 0


def make_row(n: int, not_assessed: int, total: float, maximum: float | None, hist: bytes | None, need: Need) -> Row:
    """Return the parts of a stored row that are needed."""
    packed = pack_histogram(hist) if need.histogram and hist is not None else 0
    # As a tuple, because back-tests make millions and the class's own constructor takes three times as long.
    if not need.total:
        return _make_tuple(Row, (n, not_assessed, 0, maximum if need.maximum else None, packed, 0))
    is_finite = math.isfinite(total)
    exact = _to_units(total) if is_finite else 0
    return Row(n, not_assessed, exact, maximum if need.maximum else None, packed, 0 if is_finite else 1)


class Totals:
    """The sum of rows. Not safe to share between threads."""

    __slots__ = ("_bins", "_broken", "_counts", "_gone", "_heap", "_packed", "n", "not_assessed", "rows", "units")

    def __init__(self) -> None:
        self.rows = 0
        self.n = 0
        self.not_assessed = 0
        self.units = 0
        self._broken = 0
        self._packed = 0
        self._heap: list[float] = []
        self._gone: Counter[float] = Counter()
        self._counts: Counts | None = None
        self._bins: dict[float, int] = {}

    def add(self, row: Row) -> None:
        """Count a row."""
        n, not_assessed, total, maximum, packed, broken = row
        self.rows += 1
        self.n += n
        self.not_assessed += not_assessed
        self.units += total
        self._broken += broken
        self._packed += packed
        self._counts = None
        if maximum is not None:
            heapq.heappush(self._heap, -maximum)

    def remove(self, row: Row) -> None:
        """Take back a row that was added."""
        n, not_assessed, total, maximum, packed, broken = row
        self.rows -= 1
        self.n -= n
        self.not_assessed -= not_assessed
        self.units -= total
        self._broken -= broken
        self._packed -= packed
        self._counts = None
        if maximum is not None:
            self._gone[maximum] += 1

    def merge(self, other: Totals) -> None:
        """Add everything of ``other``, which stays as it is."""
        self.rows += other.rows
        self.n += other.n
        self.not_assessed += other.not_assessed
        self.units += other.units
        self._broken += other._broken
        self._packed += other._packed
        self._counts = None
        if (maximum := other.maximum) is not None:
            heapq.heappush(self._heap, -maximum)

    @property
    def total(self) -> float | None:
        """The sum of the values, correctly rounded; ``None`` where it is larger than any double."""
        try:
            return None if self._broken else self.units / _UNIT
        except OverflowError:
            return None

    @property
    def maximum(self) -> float | None:
        """The largest value of all rows; ``None`` without any."""
        heap, gone = self._heap, self._gone
        while heap and gone.get(-heap[0], 0):
            value = -heapq.heappop(heap)
            gone[value] -= 1
            if not gone[value]:
                del gone[value]
        return -heap[0] if heap else None

    @property
    def counts(self) -> Counts:
        """The counts of the histogram; raises ``TooLargeError`` above 2^32 - 1 values."""
        if self._counts is None:
            if self.n > MOST_VALUES:
                message = "a window holds more values of one group than its histogram can count; shorten the window"
                raise TooLargeError(message, limit=MOST_VALUES, seen=self.n)
            self._counts = unpack_counts(self._packed)
        return self._counts

    def quantile(self, q: float, scale: Scale) -> float:
        """Return the ``q``-quantile of at least one value."""
        counts = self._counts or self.counts
        value, self._bins[q] = counts_quantile(counts, self.n, q, scale, self._bins.get(q, 0))
        return value


NOTHING = Totals()
"""A window without rows. Never add to it."""
Reader = Callable[[Totals], float | None]
"""A function from a window's totals to the value of a signal."""


class Window(Generic[Key]):
    """The rows of one metric in one span of minutes, summed by key (a segment or a group)."""

    __slots__ = ("totals",)

    def __init__(self) -> None:
        self.totals: dict[Key, Totals] = {}

    def add(self, key: Key, row: Row) -> None:
        """Count a row; one that counts nothing is as good as absent."""
        if row.n or row.not_assessed:
            found = self.totals.get(key)
            if found is None:
                found = self.totals[key] = Totals()
            found.add(row)

    def remove(self, key: Key, row: Row) -> None:
        """Take back a row that was added; a key without rows is forgotten."""
        if row.n or row.not_assessed:
            found = self.totals[key]
            found.remove(row)
            if not found.rows:
                del self.totals[key]


def merge_totals(parts: Iterable[Totals]) -> Totals:
    """Return the sum of several totals."""
    merged = Totals()
    for part in parts:
        merged.merge(part)
    return merged


def reader_of(spec: SignalSpec) -> Reader:
    """Return the function that gives a signal's value from its window, ``None`` for no data.

    No data is any aggregation of nothing, except ``count``, which is then 0, and any window with fewer values than
    the signal's ``min_n``.
    """
    name, least = spec.aggregation.name, max(1, spec.min_n)
    if name not in FROM_ROLLUPS:
        return lambda totals: None
    if name == "count":
        if spec.metric == EXCHANGES_METRIC:
            return lambda totals: float(totals.n + totals.not_assessed)
        return lambda totals: float(totals.n)
    if name == "not_assessed_ratio":
        return lambda totals: _share(totals.not_assessed, totals.n + totals.not_assessed, least)
    return _reader_of_values(spec, least)


def aggregate(spec: SignalSpec, totals: Totals) -> float | None:
    """Return a signal's value from its window; see :func:`reader_of`."""
    return reader_of(spec)(totals)


def _reader_of_values(spec: SignalSpec, least: int) -> Reader:
    name, scale = spec.aggregation.name, metric_scale(spec.metric)
    if name in _QUANTILES:
        q = _QUANTILES[name]
        return lambda totals: totals.quantile(q, scale) if totals.n >= least else None
    if name == "rate_above":
        index, share = split_bin(spec.aggregation.threshold or 0.0, scale)
        return lambda totals: counts_share_above(totals.counts, totals.n, index, share) if totals.n >= least else None
    if name == "max":
        return lambda totals: totals.maximum if totals.n >= least else None
    if name == "cost_sum":
        return lambda totals: totals.total if totals.n >= least else None
    if name == "mean":
        return lambda totals: None if totals.n < least or (total := totals.total) is None else total / totals.n
    raise ValueError(f"no such aggregation: {name!r}")


def _share(part: int, seen: int, least: int) -> float | None:
    return part / seen if seen >= least else None


def _to_units(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    # A denominator is a power of two, at most 2^1074.
    return numerator << (_SHIFT + 1 - denominator.bit_length())
