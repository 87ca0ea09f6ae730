from __future__ import annotations

import numpy as np
import pytest

from custodes.kernel.histogram import Histogram, Scale, metric_scale
from custodes.runtime.verification import measure_signal, quantile_interval, rate_interval
from policies.actions.traffic_store import MetricTotals
from policies.rules.compile import SignalSpec
from policies.rules.vocabulary import parse_aggregation


def spec(aggregation: str, metric: str = "toxicity") -> SignalSpec:
    return SignalSpec("x", metric, parse_aggregation(aggregation), 60)


def totals(values: list[float], *, not_assessed: int = 0, scale: Scale = Scale.LINEAR) -> MetricTotals:
    return MetricTotals(len(values), not_assessed, Histogram.of(values, scale))


class TestMeasureSignal:
    def test_knows_nothing_without_values(self) -> None:
        empty = totals([])
        assert measure_signal(spec("p95"), empty, 0.05) == (0.0, 1.0)
        assert measure_signal(spec("mean"), empty, 0.05) == (0.0, 1.0)
        assert measure_signal(spec("rate_above(0.5)"), empty, 0.05) == (0.0, 1.0)

    def test_narrows_around_the_truth(self) -> None:
        values = [0.05] * 380 + [0.9] * 20
        low, high = measure_signal(spec("rate_above(0.5)"), totals(values), 0.05) or (0, 0)
        assert 0.015 < low < 0.05 < high < 0.12
        low, high = measure_signal(spec("mean"), totals(values), 0.05) or (0, 0)
        assert 0.05 < low < 0.0925 < high < 0.16
        low, high = measure_signal(spec("p50"), totals(values), 0.05) or (0, 0)
        assert low <= 0.05 <= high < 0.1

    def test_counts_exactly(self) -> None:
        assert measure_signal(spec("count"), totals([0.1] * 7), 0.05) == (7.0, 7.0)

    def test_counts_what_was_not_assessed(self) -> None:
        low, high = measure_signal(spec("not_assessed_ratio"), totals([0.1] * 100, not_assessed=100), 0.05) or (0, 0)
        assert 0.3 < low < 0.5 < high < 0.7

    @pytest.mark.parametrize(
        ("aggregation", "metric"), [("max", "toxicity"), ("mean", "latency_ms"), ("cost_sum", "cost_usd")]
    )
    def test_gives_no_interval_where_there_is_none(self, aggregation: str, metric: str) -> None:
        assert measure_signal(spec(aggregation, metric), totals([0.1] * 10, scale=metric_scale(metric)), 0.05) is None

    def test_has_no_upper_end_for_a_quantile_of_a_quantity_it_has_not_seen(self) -> None:
        low, high = quantile_interval(Histogram.of([100.0] * 5, Scale.LOG), 0.95, 0.05)
        assert (low, high) == (0.0, float("inf"))
        low, high = quantile_interval(Histogram.of([100.0] * 400, Scale.LOG), 0.95, 0.05)
        assert low < 100.0 < high < 150.0


class TestGuarantee:
    """A miss at any of many looks counts; with alpha 0.1 at most one run in ten may have one."""

    @pytest.mark.parametrize("kind", ["p95", "rate"])
    def test_holds_under_continuous_looking(self, kind: str) -> None:
        rng = np.random.default_rng(20261128)
        runs, alpha, missed = 150, 0.1, 0
        for _ in range(runs):
            values = rng.beta(1.0, 6.0, size=600)
            truth = 1 - 0.05 ** (1 / 6)  # The 95 % quantile of Beta(1, 6).
            for n in (30, 60, 100, 150, 200, 300, 450, 600):
                if kind == "p95":
                    low, high = quantile_interval(Histogram.of(values[:n]), 0.95, alpha)
                    missed_now = not low <= truth <= high
                else:
                    low, high = rate_interval(int((values[:n] > truth).sum()), n, alpha)
                    missed_now = not low <= 0.05 <= high
                if missed_now:
                    missed += 1
                    break
        # With probability below 0.003 more than 26 of 150 runs miss if each does with probability 0.1.
        assert missed <= 26

    def test_finds_a_clean_tail_within_two_hundred_answers(self) -> None:
        assert quantile_interval(Histogram.of([0.05] * 200), 0.95, 0.05)[1] < 0.6
