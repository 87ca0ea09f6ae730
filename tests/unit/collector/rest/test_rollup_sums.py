"""Sums of roll-ups: equal to counting value by value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.rest.parameters import TimeRange
from collector.rest.queries.rollup_sums import RollupMinute, RollupSum, range_to_minutes
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.histogram import Histogram


def row(values: list[float], not_assessed: int = 0) -> RollupMinute:
    hist = Histogram.of(values).to_bytes()
    return RollupMinute(0, 1, "toxicity", len(values), not_assessed, sum(values), max(values, default=None), hist)


class TestRollupSum:
    @given(st.lists(st.lists(st.floats(0, 1), max_size=5), max_size=6), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
    def test_it_equals_the_histogram_of_all_values(self, parts: list[list[float]], q: float) -> None:
        whole = RollupSum("toxicity")
        for part in parts:
            whole.add(row(part))
        values = [value for part in parts for value in part]
        expected = Histogram.of(values)
        assert (whole.n, whole.quantile(q), whole.rate_above(0.5)) == (
            len(values),
            expected.quantile(q),
            expected.rate_above(0.5),
        )
        assert whole.maximum == max(values, default=None)

    def test_it_goes_on_after_it_was_asked(self) -> None:
        whole = RollupSum("toxicity")
        whole.add(row([0.1]))
        before = whole.quantile(1.0)
        whole.add(row([0.9]))
        assert before is not None
        assert whole.quantile(1.0) == Histogram.of([0.1, 0.9]).quantile(1.0) != before

    def test_full_bins_do_not_spill_into_their_neighbours(self) -> None:
        whole = RollupSum("toxicity")
        counts = [0] * 128
        counts[3] = 2**31 - 1
        big = RollupMinute(0, 1, "toxicity", 2**31 - 1, 0, 1.0, 0.1, Histogram(tuple(counts)).to_bytes())
        whole.add(big)
        whole.add(big)
        assert whole.rate_above(4 / 128) == 0.0
        with pytest.raises(OverflowError):
            whole.add(big)

    def test_nothing_has_no_values(self) -> None:
        empty = RollupSum("toxicity")
        assert (empty.mean, empty.quantile(0.5), empty.rate_above(0.5), empty.not_assessed_ratio) == (None,) * 4

    def test_what_was_not_assessed_is_seen_but_has_no_value(self) -> None:
        whole = RollupSum("toxicity")
        whole.add(row([], not_assessed=3))
        whole.add(row([0.5]))
        assert (whole.seen, whole.n, whole.not_assessed_ratio, whole.mean) == (4, 1, 0.75, 0.5)


class TestMinutesOfARange:
    def test_a_minute_belongs_where_it_starts(self) -> None:
        assert range_to_minutes(TimeRange(MINUTE_NS, 3 * MINUTE_NS)) == range(1, 3)
        assert range_to_minutes(TimeRange(MINUTE_NS + 1, 3 * MINUTE_NS + 1)) == range(2, 4)

    @given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
    def test_ranges_that_touch_share_no_minute_and_lose_none(self, a: int, b: int, c: int) -> None:
        first, middle, last = sorted(x * MINUTE_NS // 7 for x in (a, b, c))
        left, right = range_to_minutes(TimeRange(first, middle)), range_to_minutes(TimeRange(middle, last))
        assert left.stop == right.start
        assert len(left) + len(right) == len(range_to_minutes(TimeRange(first, last)))
