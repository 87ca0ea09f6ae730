"""Intervals for signals that hold at every look, for the verification of actions.

The machinery is that of the fairness monitors (:mod:`detectors.fairness.evidence`): betting confidence sequences for
the mean of a bounded quantity, whatever its distribution. Rates are means of zeros and ones. A quantile lies above x
exactly if more than its share of values does, so the ends of its interval are the outermost edges of the histogram that
the evidence about such a rate supports; one quantile has one true value, so looking at several edges costs nothing.
"""

from __future__ import annotations

from typing import Final

from custodes.kernel.histogram import BINS, Histogram, Scale, bin_bounds, value_to_bin
from detectors.fairness.differences import UNIT, Differences
from policies.actions.judgement import Interval
from policies.actions.traffic_store import MetricTotals
from policies.rules.compile import SignalSpec

_QUANTILES: Final = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "latency_p95": 0.95}


def measure_signal(spec: SignalSpec, totals: MetricTotals, alpha: float) -> Interval | None:
    """Return the interval that holds the signal's value at all times with probability 1 - ``alpha``.

    A count is exact. Means of quantities without an upper bound, maxima and sums have no interval.
    """
    name = spec.aggregation.name
    if name == "count":
        return float(totals.n), float(totals.n)
    if name == "not_assessed_ratio":
        return rate_interval(totals.not_assessed, totals.n + totals.not_assessed, alpha)
    if name == "rate_above":
        return _rate_above(totals.histogram, spec.aggregation.threshold or 0.0, alpha)
    if name in _QUANTILES:
        return quantile_interval(totals.histogram, _QUANTILES[name], alpha)
    if name == "mean" and totals.histogram.scale is Scale.LINEAR:
        return _mean(totals.histogram, alpha)
    return None


def rate_interval(hits: int, of: int, alpha: float) -> Interval:
    """Return the interval of a rate after ``hits`` among ``of``; [0, 1] without any."""
    differences = Differences()
    _add(differences, 1.0, hits)
    _add(differences, 0.0, of - hits)
    return _bounded(differences, alpha)


def quantile_interval(histogram: Histogram, q: float, alpha: float) -> Interval:
    """Return the interval of the ``q``-quantile, its ends edges of the histogram's bins."""
    total = histogram.total
    share = 1.0 - q
    low = bin_bounds(0, histogram.scale)[0]
    high = bin_bounds(BINS - 1, histogram.scale)[1] if histogram.scale is Scale.LINEAR else float("inf")
    # ``above`` falls from edge to edge, so both ends are found by halving.
    above = [sum(histogram.counts[index + 1 :]) for index in range(BINS)]
    first, last = 0, BINS
    while first < last:
        middle = (first + last) // 2
        if rate_interval(above[middle], total, alpha)[0] > share:
            first = middle + 1
        else:
            last = middle
    if first > 0:
        low = bin_bounds(first - 1, histogram.scale)[1]
    first, last = 0, BINS
    while first < last:
        middle = (first + last) // 2
        if rate_interval(above[middle], total, alpha)[1] < share:
            last = middle
        else:
            first = middle + 1
    if first < BINS - (histogram.scale is Scale.LOG):
        high = bin_bounds(first, histogram.scale)[1]
    return low, high


def _rate_above(histogram: Histogram, threshold: float, alpha: float) -> Interval:
    """Values in the threshold's own bin may lie on either side of it, unless it is an edge."""
    place = value_to_bin(threshold, histogram.scale)
    surely = sum(histogram.counts[place + 1 :])
    possibly = surely + histogram.counts[place]
    total = histogram.total
    return rate_interval(surely, total, alpha)[0], rate_interval(possibly, total, alpha)[1]


def _mean(histogram: Histogram, alpha: float) -> Interval:
    lower, upper = Differences(), Differences()
    for index, count in enumerate(histogram.counts):
        low, high = bin_bounds(index, histogram.scale)
        _add(lower, low, count)
        _add(upper, high, count)
    return _bounded(lower, alpha)[0], _bounded(upper, alpha)[1]


def _add(differences: Differences, value: float, times: int) -> None:
    """Count a value in [0, 1] many times over: the same as adding it one by one."""
    if times <= 0:
        return
    one = Differences()
    one.add(round(value * UNIT))
    differences.merge(Differences(times, {point: weight * times for point, weight in one.weights.items()}))


def _bounded(differences: Differences, alpha: float) -> Interval:
    from detectors.fairness.evidence import interval  # noqa: PLC0415  # Needs numpy; serving does not.

    low, high = interval(differences, alpha)
    return max(0.0, low), min(1.0, high)
