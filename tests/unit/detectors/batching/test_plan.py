from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.batching.plan import LENGTH_STEP, WindowSize, padded_length, plan_batches, split_windows

SIZES = st.integers(1, 50).flatmap(lambda tokens: st.builds(WindowSize, st.just(tokens), st.integers(0, tokens - 1)))


class TestSplitWindows:
    @pytest.mark.parametrize(
        ("length", "expected"),
        [
            (0, []),
            (1, [(0, 1)]),
            (10, [(0, 10)]),
            (11, [(0, 10), (1, 11)]),
            (18, [(0, 10), (8, 18)]),
            (19, [(0, 10), (8, 18), (9, 19)]),
        ],
    )
    def test_gives_known_windows(self, length: int, expected: list[tuple[int, int]]) -> None:
        assert split_windows(length, WindowSize(tokens=10, overlap=2)) == expected

    @given(st.integers(0, 2_000), SIZES)
    def test_covers_every_token_with_full_windows(self, length: int, size: WindowSize) -> None:
        windows = split_windows(length, size)
        assert sorted({token for start, end in windows for token in range(start, end)}) == list(range(length))
        assert all(end - start == min(length, size.tokens) for start, end in windows)
        assert all(left[1] - right[0] >= size.overlap for left, right in pairwise(windows))

    @pytest.mark.parametrize(("tokens", "overlap"), [(0, 0), (5, 5), (5, -1)])
    def test_refuses_windows_that_would_not_advance(self, tokens: int, overlap: int) -> None:
        with pytest.raises(ValueError, match="overlap"):
            WindowSize(tokens, overlap)


class TestPlanBatches:
    def test_groups_by_length_longest_first(self) -> None:
        assert plan_batches([5, 100, 6, 90, 7], 224) == [[1, 3], [4, 2, 0]]

    @given(st.lists(st.integers(1, 300), max_size=80), st.integers(1, 2_000))
    def test_places_every_window_once_and_keeps_the_budget(self, lengths: list[int], budget: int) -> None:
        batches = plan_batches(lengths, budget)
        assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
        for batch in batches:
            padded = padded_length(max(lengths[index] for index in batch)) * len(batch)
            assert padded <= budget or len(batch) == 1

    def test_refuses_a_budget_of_nothing(self) -> None:
        with pytest.raises(ValueError, match="at least one token"):
            plan_batches([1], 0)


class TestPaddedLength:
    @given(st.integers(1, 10_000))
    def test_rounds_up_to_the_step(self, length: int) -> None:
        assert 0 <= padded_length(length) - length < LENGTH_STEP
        assert padded_length(length) % LENGTH_STEP == 0
