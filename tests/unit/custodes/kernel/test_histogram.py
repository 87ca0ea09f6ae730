"""Histograms: addition is merging, and a quantile is never more than one bin away from the truth."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.histogram import (
    BINS,
    LOG_HIGH,
    LOG_LOW,
    Histogram,
    Scale,
    bin_bounds,
    metric_scale,
    value_to_bin,
)

SCORES = st.floats(min_value=0.0, max_value=1.0)
QUANTITIES = st.floats(min_value=0.0, max_value=1e7)
SCALES = st.sampled_from(Scale)


class TestValueToBin:
    @pytest.mark.parametrize(
        ("value", "scale", "expected"),
        [
            (0.0, Scale.LINEAR, 0),
            (0.5, Scale.LINEAR, 64),
            (1.0, Scale.LINEAR, 127),
            (-3.0, Scale.LINEAR, 0),
            (7.0, Scale.LINEAR, 127),
            (0.0, Scale.LOG, 0),
            (-1.0, Scale.LOG, 0),
            (LOG_LOW, Scale.LOG, 1),
            (LOG_HIGH * 10, Scale.LOG, 127),
        ],
    )
    def test_it_puts_known_values_where_they_belong(self, value: float, scale: Scale, expected: int) -> None:
        assert value_to_bin(value, scale) == expected

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("scale", list(Scale))
    def test_it_refuses_what_is_not_a_number(self, value: float, scale: Scale) -> None:
        with pytest.raises(ValueError, match="finite"):
            value_to_bin(value, scale)

    @given(SCALES, st.floats(min_value=LOG_LOW, max_value=1.0))
    def test_it_agrees_with_the_bounds_of_the_bin(self, scale: Scale, value: float) -> None:
        low, high = bin_bounds(value_to_bin(value, scale), scale)
        assert low * (1 - 1e-12) <= value <= high * (1 + 1e-12)


class TestBinBounds:
    @given(SCALES, st.integers(min_value=0, max_value=BINS - 2))
    def test_it_leaves_no_gap(self, scale: Scale, index: int) -> None:
        assert bin_bounds(index, scale)[1] == pytest.approx(bin_bounds(index + 1, scale)[0], rel=1e-12)

    def test_it_spans_the_documented_range(self) -> None:
        assert (bin_bounds(0, Scale.LINEAR)[0], bin_bounds(BINS - 1, Scale.LINEAR)[1]) == (0.0, 1.0)
        assert bin_bounds(0, Scale.LOG) == (0.0, LOG_LOW)
        assert bin_bounds(BINS - 1, Scale.LOG)[1] == pytest.approx(LOG_HIGH)

    def test_it_keeps_a_logarithmic_bin_within_a_quarter(self) -> None:
        low, high = bin_bounds(40, Scale.LOG)
        assert high / low < 1.25


class TestMetricScale:
    @pytest.mark.parametrize("metric", ["latency_ms", "ttft_ms", "cost_usd", "input_tokens", "output_tokens"])
    def test_it_is_logarithmic_for_quantities(self, metric: str) -> None:
        assert metric_scale(metric) is Scale.LOG

    @pytest.mark.parametrize("metric", ["toxicity", "hallucination", "identity_attack"])
    def test_it_is_linear_for_scores(self, metric: str) -> None:
        assert metric_scale(metric) is Scale.LINEAR


class TestMerging:
    @given(st.lists(SCORES), st.lists(SCORES))
    def test_it_equals_counting_everything_at_once(self, one: list[float], two: list[float]) -> None:
        assert Histogram.of(one).merge(Histogram.of(two)) == Histogram.of(one + two)

    @given(st.lists(SCORES), st.lists(SCORES))
    def test_it_can_be_taken_back(self, one: list[float], two: list[float]) -> None:
        assert Histogram.of(one + two).subtract(Histogram.of(two)) == Histogram.of(one)

    def test_it_refuses_two_scales(self) -> None:
        with pytest.raises(ValueError, match="linear with a log"):
            Histogram.of([0.5]).merge(Histogram.of([0.5], Scale.LOG))

    @given(st.lists(QUANTITIES, max_size=50), SCALES)
    def test_it_survives_storage(self, values: list[float], scale: Scale) -> None:
        made = Histogram.of(values, scale)
        assert len(made.to_bytes()) == 512
        assert Histogram.from_bytes(made.to_bytes(), scale) == made

    @pytest.mark.parametrize("size", [0, 511, 513])
    def test_it_refuses_bytes_of_another_length(self, size: int) -> None:
        with pytest.raises(ValueError, match=f"not {size}"):
            Histogram.from_bytes(bytes(size))


class TestQuantile:
    def test_it_is_unknown_without_values(self) -> None:
        assert Histogram.empty().quantile(0.5) is None

    @pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
    def test_it_refuses_what_is_no_quantile(self, q: float) -> None:
        with pytest.raises(ValueError, match="quantile"):
            Histogram.of([0.5]).quantile(q)

    @given(st.lists(SCORES, min_size=1), st.floats(min_value=0.0, max_value=1.0))
    def test_it_lies_within_one_bin_of_the_truth(self, values: list[float], q: float) -> None:
        # The q-quantile is any value between these two order statistics; the estimate may be a bin off either.
        ordered = sorted(values)
        position = q * len(ordered)
        low = ordered[max(0, math.ceil(position) - 1)]
        high = ordered[min(len(ordered) - 1, math.floor(position))]
        estimate = Histogram.of(values).quantile(q)
        assert estimate is not None
        assert min(low, high) - 1 / BINS <= estimate <= max(low, high) + 1 / BINS

    @given(st.lists(st.floats(min_value=LOG_LOW, max_value=1e7), min_size=1), st.floats(min_value=0.01, max_value=1.0))
    def test_it_lies_within_a_quarter_on_the_logarithmic_scale(self, values: list[float], q: float) -> None:
        ordered = sorted(values)
        truth = ordered[max(0, math.ceil(q * len(ordered)) - 1)]
        estimate = Histogram.of(values, Scale.LOG).quantile(q)
        assert estimate is not None
        assert truth / 1.26 <= estimate <= truth * 1.26

    @given(st.lists(SCORES, min_size=1))
    def test_it_rises_with_q(self, values: list[float]) -> None:
        made = Histogram.of(values)
        found = [made.quantile(q / 10) or 0.0 for q in range(11)]
        assert found == sorted(found)


class TestRateAbove:
    def test_it_is_unknown_without_values(self) -> None:
        assert Histogram.empty().rate_above(0.5) is None

    @given(st.lists(SCORES, min_size=1), st.integers(min_value=0, max_value=BINS))
    def test_it_is_exact_at_bin_edges(self, values: list[float], edge: int) -> None:
        threshold = edge / BINS
        truth = 0.0 if edge == BINS else sum(value >= threshold for value in values) / len(values)
        assert Histogram.of(values).rate_above(threshold) == pytest.approx(truth)

    @given(st.lists(SCORES, min_size=1), SCORES)
    def test_it_is_a_share(self, values: list[float], threshold: float) -> None:
        rate = Histogram.of(values).rate_above(threshold)
        assert rate is not None
        assert 0.0 <= rate <= 1.0
