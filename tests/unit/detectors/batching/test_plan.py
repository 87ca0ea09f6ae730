from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.batching.plan import WindowSize, padded_length, plan_batches, plan_waves, split_windows

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
        assert plan_batches([5, 100, 6, 90, 7], 224, 16) == [[1, 3], [4, 2, 0]]

    @given(st.lists(st.integers(1, 300), max_size=80), st.integers(1, 2_000), st.integers(1, 16))
    def test_places_every_window_once_and_keeps_the_budget(self, lengths: list[int], budget: int, step: int) -> None:
        batches = plan_batches(lengths, budget, step)
        assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
        for batch in batches:
            padded = padded_length(max(lengths[index] for index in batch), step) * len(batch)
            assert padded <= budget or len(batch) == 1

    def test_refuses_a_budget_of_nothing(self) -> None:
        with pytest.raises(ValueError, match="at least one token"):
            plan_batches([1], 0)


class TestPaddedLength:
    @given(st.integers(1, 10_000), st.integers(1, 64))
    def test_rounds_up_to_the_step(self, length: int, step: int) -> None:
        assert 0 <= padded_length(length, step) - length < step
        assert padded_length(length, step) % step == 0


class TestPlanWaves:
    def test_begins_small_and_grows(self) -> None:
        assert plan_waves([1] * 30, first=2, most=16) == [range(2), range(2, 10), range(10, 26), range(26, 30)]

    def test_gives_an_oversized_entry_a_wave_of_its_own(self) -> None:
        assert plan_waves([1, 99, 1], first=4, most=8) == [range(1), range(1, 2), range(2, 3)]

    @given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 40), st.integers(0, 100))
    def test_covers_everything_once_in_order(self, sizes: list[int], first: int, more: int) -> None:
        waves = plan_waves(sizes, first, first + more)
        assert [index for wave in waves for index in wave] == list(range(len(sizes)))
        for wave in waves:
            assert len(wave) == 1 or sum(sizes[index] for index in wave) <= first + more
