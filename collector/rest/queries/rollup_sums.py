"""Sums of minute roll-ups: the numbers behind every chart, in time that grows with minutes and not with traffic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select

from collector.rest.parameters import TimeRange
from custodes.db import ReadTx
from custodes.db.segments import Segment
from custodes.db.tables import rollup_minute, segment
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.histogram import BINS, Histogram, metric_scale

CENSUS_METRIC = "latency_ms"
"""Every scored exchange has a row of this metric, with a value or without, so it counts exchanges."""

_FETCHED_ROWS = 4_000
_LANE_BYTES = 4
_LANE_LIMIT = 1 << 32


class RollupMinute(NamedTuple):
    """One stored row. A named tuple, since a chart reads a hundred thousand of them."""

    minute: int
    segment_id: int
    metric: str
    n: int
    not_assessed: int
    total: float
    maximum: float | None
    hist: bytes


class RollupSum:
    """The sum of rows of one metric.

    Histograms are added as one 4096-bit integer each, forty times faster than bin by bin: a lane of 32 bits cannot
    overflow into the next while fewer than 2^32 values were counted, and no bin holds more than all values.
    """

    __slots__ = ("_histogram", "_lanes", "_metric", "maximum", "n", "not_assessed", "total")

    def __init__(self, metric: str) -> None:
        self.n = 0
        self.not_assessed = 0
        self.total = 0.0
        self.maximum: float | None = None
        self._metric = metric
        self._lanes = 0
        self._histogram: Histogram | None = None

    def add(self, row: RollupMinute) -> None:
        """Add one row. Raises ``OverflowError`` above 2^32 values."""
        self.n += row.n
        self.not_assessed += row.not_assessed
        if self.n >= _LANE_LIMIT:
            raise OverflowError(f"more than 2^32 values of {self._metric} in one sum; ask for a shorter range")
        if row.n:
            self.total += row.total
            self._lanes += int.from_bytes(row.hist, "little")
            self._histogram = None
            if row.maximum is not None:
                self.maximum = row.maximum if self.maximum is None else max(self.maximum, row.maximum)

    @property
    def seen(self) -> int:
        """How many exchanges the rows cover, with a value or without."""
        return self.n + self.not_assessed

    @property
    def mean(self) -> float | None:
        """The mean; ``None`` without values."""
        return self.total / self.n if self.n else None

    @property
    def not_assessed_ratio(self) -> float | None:
        """The share without a value, in [0, 1]; ``None`` when nothing was seen."""
        return self.not_assessed / self.seen if self.seen else None

    def quantile(self, q: float) -> float | None:
        """Return the ``q``-quantile to within one bin, the same number a policy sees; ``None`` without values."""
        return self._merged().quantile(q)

    def rate_above(self, threshold: float) -> float | None:
        """Return the share of values above ``threshold``; ``None`` without values."""
        return self._merged().rate_above(threshold)

    def _merged(self) -> Histogram:
        if self._histogram is None:
            data = self._lanes.to_bytes(BINS * _LANE_BYTES, "little")
            self._histogram = Histogram.from_bytes(data, metric_scale(self._metric))
        return self._histogram


def load_segments(tx: ReadTx, project: str) -> dict[int, Segment]:
    """Return every segment the project ever had, by row number."""
    statement = select(segment).where(segment.c.project_id == project)
    return {row.id: Segment(row.service, row.environment, row.deployment, row.model) for row in tx.execute(statement)}


def range_to_minutes(span: TimeRange) -> range:
    """Return the minutes that start inside the range."""
    return range(-(-span.from_ns // MINUTE_NS), -(-span.to_ns // MINUTE_NS))


def read_minutes(
    tx: ReadTx, project: str, metrics: Sequence[str], minutes: range, segment_ids: Iterable[int] | None = None
) -> Iterator[RollupMinute]:
    """Yield the stored rows of the metrics in the minutes, of some segments or of all, in no particular order."""
    columns: Any = rollup_minute.c
    wanted = (
        columns.minute,
        columns.segment_id,
        columns.metric,
        columns.n,
        columns.not_assessed,
        columns.total,
        columns.maximum,
        columns.hist,
    )
    statement = select(*wanted).where(
        columns.project_id == project,
        columns.minute >= minutes.start,
        columns.minute < minutes.stop,
        columns.metric.in_(metrics),
    )
    if segment_ids is not None:
        statement = statement.where(columns.segment_id.in_(sorted(segment_ids)))
    for part in tx.execute(statement).partitions(_FETCHED_ROWS):
        yield from map(RollupMinute._make, part)
