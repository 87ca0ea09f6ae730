"""Packed histograms give, to the bit, what merged histograms give."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.kernel.histogram import BINS, Histogram, Scale
from custodes.kernel.packed_histogram import (
    MOST_VALUES,
    counts_quantile,
    counts_rate_above,
    pack_histogram,
    unpack_counts,
)

counts = st.lists(st.one_of(st.just(0), st.integers(0, 50), st.just(100_000)), min_size=BINS, max_size=BINS)
histograms = counts.map(lambda found: Histogram(tuple(found)))


class TestPacked:
    @settings(max_examples=150)
    @given(
        parts=st.lists(histograms, min_size=1, max_size=5),
        q=st.floats(0.01, 1.0),
        x=st.floats(-0.5, 1.5),
        guess=st.integers(0, BINS - 1),
    )
    def test_it_gives_what_merging_gives(self, parts: list[Histogram], q: float, x: float, guess: int) -> None:
        merged = parts[0]
        for part in parts[1:]:
            merged = merged.merge(part)
        found = unpack_counts(sum(pack_histogram(part.to_bytes()) for part in parts))
        assert found == merged.counts
        if merged.total:
            assert counts_quantile(found, merged.total, q, Scale.LINEAR, guess)[0] == merged.quantile(q)
            assert counts_rate_above(found, merged.total, x, Scale.LINEAR) == merged.rate_above(x)

    @given(parts=st.lists(histograms, min_size=2, max_size=4))
    def test_it_takes_away_what_it_added(self, parts: list[Histogram]) -> None:
        packed = [pack_histogram(part.to_bytes()) for part in parts]
        assert sum(packed) - sum(packed[1:]) == packed[0]

    def test_it_holds_as_many_values_as_it_says(self) -> None:
        full = Histogram((0,) * 5 + (MOST_VALUES,) + (0,) * (BINS - 6))
        found = unpack_counts(pack_histogram(full.to_bytes()))
        assert found == full.counts
        assert counts_quantile(found, MOST_VALUES, 0.5, Scale.LINEAR, 0)[0] == full.quantile(0.5)

    @pytest.mark.parametrize("guess", [0, 40, BINS - 1])
    def test_it_uses_the_logarithmic_scale_where_asked(self, guess: int) -> None:
        histogram = Histogram.of([1.0, 10.0, 100.0, 1e5], Scale.LOG)
        found = unpack_counts(pack_histogram(histogram.to_bytes()))
        assert counts_quantile(found, 4, 0.75, Scale.LOG, guess)[0] == histogram.quantile(0.75)
        assert counts_rate_above(found, 4, 50.0, Scale.LOG) == histogram.rate_above(50.0)
