"""Increases of counters, merged distributions and their quantiles: known answers first, then what always holds."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.metric_figures import Figures, Observation, Point, observe, quantile

BOUNDS = [1.0, 4.0, 16.0]


def counter(*values: float, start_ns: int = 100, step_ns: int = 10) -> list[Point]:
    return [Point(start_ns + step_ns * (n + 1), start_ns, None, value) for n, value in enumerate(values)]


def histogram(time_ns: int, counts: list[int], total: float, **more: Any) -> Point:
    detail = {"bounds": BOUNDS, "counts": counts}
    return Point(time_ns, more.pop("start_ns", 100), sum(counts), total, detail=detail, **more)


def increases(points: list[Point], *, temporality: str = "cumulative", from_ns: int = 100) -> list[float | None]:
    seen = observe(points, kind="sum", temporality=temporality, monotonic=True, from_ns=from_ns)
    return [one.total for one in seen]


def distribution(points: list[Point], *, from_ns: int = 100, kind: str = "histogram") -> dict[str, Any]:
    figures = Figures()
    for one in observe(points, kind=kind, temporality="cumulative", monotonic=True, from_ns=from_ns):
        figures.add(one)
    return figures.to_json(distribution=True)


class TestCounters:
    def test_a_cumulative_one_grows_by_its_differences(self) -> None:
        assert increases(counter(5, 5, 12)) == [5, 0, 7]

    def test_a_smaller_figure_than_before_counts_from_zero(self) -> None:
        assert increases(counter(5, 9, 2, 3)) == [5, 4, 2, 1]

    def test_the_point_before_the_range_is_what_the_first_is_compared_with(self) -> None:
        assert increases(counter(5, 9, 11), from_ns=120) == [4, 2]

    def test_a_first_point_that_began_before_the_range_is_only_compared_with(self) -> None:
        assert increases(counter(5, 9, 11), from_ns=105) == [4, 2]
        assert increases([Point(110, 0, None, 5.0), Point(120, 0, None, 7.0)]) == [2]

    def test_a_delta_one_grows_by_each_point(self) -> None:
        assert increases(counter(5, 5, 12), temporality="delta", from_ns=115) == [5, 12]

    def test_gauges_and_counters_that_can_fall_have_a_level(self) -> None:
        for kind, temporality in (("gauge", ""), ("sum", "cumulative")):
            figures = Figures()
            for one in observe(counter(5, 3, 4), kind=kind, temporality=temporality, monotonic=False, from_ns=115):
                figures.add(one)
            assert figures.to_json(distribution=False)["value"] == 3.5

    @given(st.lists(st.integers(0, 1000), min_size=1, max_size=20), st.integers(0, 20))
    def test_increases_add_up_whatever_the_resets(self, steps: list[int], restart: int) -> None:
        total, values = 0, []
        for n, step in enumerate(steps):
            total = step if n == restart else total + step
            values.append(float(total))
        expected = sum(steps)
        # A restart that reaches the old figure at once cannot be told from growth.
        if 0 < restart < len(steps) and values[restart] >= values[restart - 1]:
            expected -= int(values[restart - 1])
        assert sum(one or 0 for one in increases(counter(*values))) == expected


class TestDistributions:
    def test_a_difference_has_count_sum_and_buckets(self) -> None:
        found = distribution([histogram(110, [1, 0, 0, 0], 1.0), histogram(120, [1, 2, 2, 0], 25.0)], from_ns=115)
        assert (found["count"], found["sum"], found["mean"]) == (4, 24.0, 6.0)
        # Two of four lie in (1, 4], the others in (4, 16].
        assert (found["p50"], found["p95"]) == (4.0, pytest.approx(4 + 12 * 0.9))

    def test_a_quantile_lies_between_the_least_and_greatest_value(self) -> None:
        found = distribution([histogram(110, [0, 0, 1, 0], 12.0, minimum=12.0, maximum=12.0)])
        assert (found["p50"], found["p95"]) == (12.0, 12.0)

    def test_the_outer_buckets_end_at_the_extremes_where_these_are_known(self) -> None:
        open_ended = distribution([histogram(110, [0, 0, 0, 2], 200.0)])
        closed = distribution([histogram(110, [0, 0, 0, 2], 200.0, minimum=50.0, maximum=150.0)])
        assert (open_ended["p50"], closed["p50"]) == (16.0, 100.0)
        assert distribution([histogram(110, [2, 0, 0, 0], 1.0)])["p50"] == 0.5

    def test_a_restart_counts_from_zero(self) -> None:
        found = distribution([histogram(110, [5, 0, 0, 0], 4.0), histogram(120, [0, 1, 0, 0], 2.0)])
        assert (found["count"], found["sum"]) == (6, 6.0)

    def test_buckets_that_changed_still_leave_count_and_sum(self) -> None:
        other = Point(120, 100, 3, 6.0, detail={"bounds": [2.0], "counts": [3, 0]})
        found = distribution([histogram(110, [1, 0, 0, 0], 1.0), other], from_ns=115)
        assert (found["count"], found["sum"], found["p50"]) == (2, 5.0, None)

    def test_without_buckets_there_is_no_quantile(self) -> None:
        found = distribution([Point(110, 100, 2, 3.0)])
        assert (found["count"], found["mean"], found["p50"]) == (2, 1.5, None)

    def test_nothing_is_zero_of_unknown_size(self) -> None:
        assert Figures().to_json(distribution=True) == {
            "count": 0, "sum": None, "mean": None, "p50": None, "p95": None, "value": None,
        }  # fmt: skip

    def test_a_summary_gives_its_own_quantiles_while_it_is_alone(self) -> None:
        detail = {"quantiles": [[0.5, 2.0], [0.95, 9.0]]}
        one = Point(110, 100, 4, 8.0, detail=detail)
        found = distribution([one], kind="summary")
        assert (found["count"], found["p50"], found["p95"]) == (4, 2.0, 9.0)
        assert distribution([one, Point(120, 100, 5, 9.0, detail=detail)], kind="summary")["p50"] is None

    def test_figures_of_any_size_can_be_written(self) -> None:
        figures = Figures()
        for _ in range(9):
            figures.add(Observation(1, 1 << 62, 1e308, ((-1.7e308, 1.7e308, 1 << 62), (0.0, 5e-324, 1 << 62))))
        found = orjson.loads(orjson.dumps(figures.to_json(distribution=True)))
        assert (found["count"], found["sum"]) == ((1 << 63) - 1, None)

    def test_those_of_several_processes_merge(self) -> None:
        figures = Figures()
        figures.add(Observation(1, 2, 2.0, ((0.0, 1.0, 2),)))
        figures.add(Observation(2, 2, 20.0, ((5.0, 15.0, 2),)))
        found = figures.to_json(distribution=True)
        assert (found["count"], found["sum"], found["p50"]) == (4, 22.0, 1.0)


def exponential(time_ns: int, scale: int, offset: int, counts: list[int], **more: Any) -> Point:
    detail = {
        "scale": scale,
        "zero": more.get("zero", 0),
        "zero_threshold": 0.0,
        "positive": [offset, counts],
        "negative": more.get("negative", [0, []]),
    }
    return Point(time_ns, 100, sum(counts) + more.get("zero", 0), None, detail=detail)


class TestExponentialBuckets:
    def test_their_edges_are_powers_of_the_base(self) -> None:
        # At scale 0, bucket 3 is (8, 16].
        assert distribution([exponential(110, 0, 3, [2])])["p50"] == 12.0

    def test_zeros_and_negatives_count(self) -> None:
        point = exponential(110, 0, 0, [1], zero=1, negative=[1, [1]])
        figures = Figures()
        for one in observe([point], kind="exponential_histogram", temporality="delta", monotonic=True, from_ns=0):
            figures.add(one)
        assert (figures.quantile(0.0), figures.quantile(0.5), figures.quantile(1.0)) == (-4.0, 0.0, 2.0)

    def test_a_coarser_scale_is_compared_at_that_scale(self) -> None:
        # At scale 1 buckets 4 and 5 are together bucket 2 of scale 0, (4, 8].
        before, after = exponential(110, 1, 4, [3, 1]), exponential(120, 0, 2, [6])
        found = distribution([before, after], from_ns=115)
        assert (found["count"], found["p50"]) == (2, 6.0)

    @given(st.integers(-10, 20), st.integers(-(2**30), 2**30), st.lists(st.integers(0, 9), min_size=1, max_size=4))
    def test_no_scale_or_offset_breaks_them(self, scale: int, offset: int, counts: list[int]) -> None:
        found = distribution([exponential(110, scale, offset, counts)])["p95"]
        assert (found is None) == (not any(counts))
        assert found is None or (math.isfinite(found) and found > 0)


piece = st.tuples(st.integers(-50, 50), st.integers(0, 30), st.integers(1, 20))


class TestQuantile:
    @pytest.mark.parametrize(("q", "expected"), [(0.0, 0.0), (0.25, 2.5), (0.5, 5.0), (1.0, 10.0)])
    def test_it_is_interpolated_in_its_bucket(self, q: float, expected: float) -> None:
        assert quantile([(0.0, 10.0, 4)], q) == expected

    def test_a_single_value_is_itself(self) -> None:
        assert quantile([(7.0, 7.0, 3)], 0.5) == 7.0

    def test_there_is_none_of_nothing(self) -> None:
        assert quantile([], 0.5) is None

    @given(st.lists(piece, min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1))
    @settings(max_examples=300)
    def test_it_rises_and_stays_inside_the_buckets(
        self, drawn: list[tuple[int, int, int]], one: float, other: float
    ) -> None:
        pieces = [(float(low), float(low + width), n) for low, width, n in drawn]
        low, high = quantile(pieces, min(one, other)), quantile(pieces, max(one, other))
        assert low is not None
        assert high is not None
        assert low <= high + 1e-6
        assert min(left for left, _, _ in pieces) - 1e-6 <= low
        assert high <= max(right for _, right, _ in pieces) + 1e-6

    @given(st.lists(piece, min_size=1, max_size=8), st.floats(0.01, 0.99))
    @settings(max_examples=300)
    def test_as_many_values_lie_below_it_as_it_says(self, drawn: list[tuple[int, int, int]], q: float) -> None:
        pieces = [(float(low), float(low + width), n) for low, width, n in drawn if width]
        found = quantile(pieces, q)
        if found is None:
            return
        below = sum(n * min(1.0, max(0.0, (found - low) / (high - low))) for low, high, n in pieces)
        assert below == pytest.approx(q * sum(n for _, _, n in pieces), rel=1e-6, abs=1e-6)
