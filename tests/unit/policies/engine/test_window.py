"""Windows that slide end with the same bits as windows that are read afresh."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.kernel.errors import TooLargeError
from custodes.kernel.histogram import Histogram, metric_scale
from policies.engine.window import NOTHING, Need, Row, Totals, Window, aggregate, make_row, merge_totals
from policies.rules.compile import SignalSpec
from policies.rules.vocabulary import Aggregation, parse_aggregation

ALL = Need(True, True, True)
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
scores = st.lists(st.floats(0, 1), max_size=8)


def row_of(values: list[float], not_assessed: int = 0) -> Row:
    histogram = Histogram.of(values)
    return make_row(len(values), not_assessed, math.fsum(values), max(values, default=None), histogram.to_bytes(), ALL)


def spec(agg: str, metric: str = "toxicity", min_n: int = 1) -> SignalSpec:
    return SignalSpec("s", metric, parse_aggregation(agg), 0, min_n)


class TestTotals:
    @given(st.lists(finite, min_size=1, max_size=30))
    def test_it_adds_exactly_whatever_the_order(self, totals: list[float]) -> None:
        rows = [make_row(1, 0, total, None, None, Need(total=True)) for total in totals]
        summed = Totals()
        for row in rows:
            summed.add(row)
        exact = sum((Fraction(total) for total in totals), Fraction(0))
        try:
            expected: float | None = float(exact)
        except OverflowError:
            expected = None
        assert summed.total == expected
        for row in rows[1:]:
            summed.remove(row)
        assert summed.total == totals[0]

    @settings(max_examples=60)
    @given(st.lists(scores, min_size=1, max_size=20), st.integers(1, 20))
    def test_it_slides_to_what_a_fresh_window_holds(self, minutes: list[list[float]], width: int) -> None:
        rows = [row_of(values) for values in minutes]
        sliding: Window[str] = Window()
        for index, row in enumerate(rows):
            sliding.add("g", row)
            if index >= width:
                sliding.remove("g", rows[index - width])
            fresh: Window[str] = Window()
            for one in rows[max(0, index - width + 1) : index + 1]:
                fresh.add("g", one)
            assert sliding.totals.keys() == fresh.totals.keys()
            a, b = sliding.totals.get("g", NOTHING), fresh.totals.get("g", NOTHING)
            for agg in ("count", "mean", "max", "p50", "p99", "rate_above(0.3)", "not_assessed_ratio"):
                assert aggregate(spec(agg), a) == aggregate(spec(agg), b)

    @given(st.lists(scores, min_size=1, max_size=5))
    def test_it_merges_groups_of_segments(self, parts: list[list[float]]) -> None:
        totals = []
        for values in parts:
            one = Totals()
            one.add(row_of(values))
            totals.append(one)
        merged = merge_totals(totals)
        everything = [value for values in parts for value in values]
        assert merged.n == len(everything)
        assert merged.maximum == max(everything, default=None)
        if everything:
            expected = Histogram.of(everything, metric_scale("toxicity")).quantile(0.95)
            assert aggregate(spec("p95"), merged) == expected

    @pytest.mark.parametrize("total", [math.inf, -math.inf, math.nan])
    def test_it_has_no_sum_while_a_row_overflowed(self, total: float) -> None:
        broken, fine = make_row(1, 0, total, None, None, ALL), make_row(1, 0, 2.0, None, None, ALL)
        totals = Totals()
        totals.add(broken)
        totals.add(fine)
        assert aggregate(spec("mean"), totals) is None
        assert aggregate(spec("cost_sum", "cost_usd"), totals) is None
        totals.remove(broken)
        assert aggregate(spec("mean"), totals) == 2.0

    def test_it_has_no_sum_above_the_largest_double(self) -> None:
        totals = Totals()
        for _ in range(2):
            totals.add(make_row(1, 0, 1.7e308, None, None, ALL))
        assert totals.total is None


class TestAggregate:
    def test_it_gives_nothing_but_a_count_of_nothing(self) -> None:
        assert aggregate(spec("count"), NOTHING) == 0.0
        for agg in ("mean", "max", "p95", "rate_above(0.5)", "not_assessed_ratio"):
            assert aggregate(spec(agg), NOTHING) is None

    def test_it_gives_nothing_below_the_smallest_sample(self) -> None:
        totals = Totals()
        totals.add(row_of([0.9, 0.9], not_assessed=1))
        assert aggregate(spec("mean", min_n=3), totals) is None
        assert aggregate(spec("mean", min_n=2), totals) == 0.9
        assert aggregate(spec("not_assessed_ratio", min_n=4), totals) is None
        assert aggregate(spec("not_assessed_ratio", min_n=3), totals) == 1 / 3
        assert aggregate(spec("count", min_n=99), totals) == 2.0

    def test_it_counts_exchanges_whether_assessed_or_not(self) -> None:
        totals = Totals()
        totals.add(row_of([0.1], not_assessed=4))
        counted = SignalSpec("n", "exchanges", Aggregation("count"), 0)
        assert aggregate(counted, totals) == 5.0

    def test_it_reads_only_what_was_asked_for(self) -> None:
        row = make_row(3, 0, 1.5, 0.9, Histogram.of([0.5] * 3).to_bytes(), Need())
        assert row == Row(3, 0)
        assert Need(total=True) | Need(histogram=True) == Need(True, False, True)
        assert not Need().covers(Need(total=True))
        assert ALL.covers(Need(total=True))

    def test_it_forgets_a_key_without_rows(self) -> None:
        window: Window[str] = Window()
        row = row_of([0.5])
        window.add("a", row)
        window.add("b", row_of([]))
        assert set(window.totals) == {"a"}
        window.remove("a", row)
        assert window.totals == {}

    def test_it_refuses_a_histogram_that_could_spill_over(self) -> None:
        totals = Totals()
        for _ in range(2):
            totals.add(Row(2**31, 0))
        with pytest.raises(TooLargeError, match="shorten the window"):
            aggregate(spec("p95"), totals)
