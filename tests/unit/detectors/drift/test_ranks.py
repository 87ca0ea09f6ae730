import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.drift.ranks import rank_and_extend
from detectors.drift.uniforms import uniforms


class TestUniforms:
    def test_it_returns_the_same_bits_whatever_the_batch(self) -> None:
        whole = uniforms(7, 0, 10, 3)
        assert np.array_equal(whole, np.concatenate([uniforms(7, n, 1, 3) for n in range(10)]))

    def test_it_differs_by_seed_number_and_lane(self) -> None:
        drawn = [uniforms(seed, 0, 50, 4) for seed in (0, 1, 2**63, -1)]
        assert len(np.unique(np.concatenate(drawn))) == 4 * 50 * 4

    def test_it_is_uniform_and_uncorrelated_between_lanes(self) -> None:
        drawn = uniforms(3, 0, 100_000, 2)
        # The standard error of a mean of 100,000 uniforms is 0.0009, of a correlation 0.0032.
        assert np.abs(drawn.mean(axis=0) - 0.5).max() < 0.005
        assert abs(np.asarray(np.corrcoef(drawn[:, 0], drawn[:, 1]))[0, 1]) < 0.016
        assert drawn.min() > 0.0
        assert drawn.max() < 1.0


class TestRanks:
    def test_it_ranks_a_value_among_all_so_far_itself_included(self) -> None:
        pool = np.array([[2, 1, 0, 1]])
        coins = np.full((3, 1), 0.5)
        ranks = rank_and_extend(pool, np.array([[1], [3], [1]]), coins)
        # Below and beside, of 5, 6 and 7 values: 2 below and half of 2; 4 below and half of 2; 2 below and half of 3.
        assert ranks[:, 0] == pytest.approx([3 / 5, 5 / 6, 3.5 / 7])
        assert pool.tolist() == [[2, 3, 0, 2]]

    def test_it_starts_from_an_empty_pool(self) -> None:
        assert rank_and_extend(np.zeros((1, 4), dtype=np.int64), np.array([[2]]), np.array([[0.3]])) == [[0.3]]

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=20), st.integers(1, 20))
    def test_it_returns_the_same_bits_whatever_the_batch(self, values: list[tuple[int, int]], cut: int) -> None:
        bins, coins = np.array(values), uniforms(1, 0, len(values), 2)
        pools = [np.ones((2, 5), dtype=np.int64) for _ in range(2)]
        whole = rank_and_extend(pools[0], bins, coins)
        parts = [rank_and_extend(pools[1], bins[n : n + cut], coins[n : n + cut]) for n in range(0, len(bins), cut)]
        assert np.array_equal(whole, np.concatenate(parts))
        assert np.array_equal(pools[0], pools[1])

    def test_it_is_uniform_whatever_the_size_of_the_first_pool(self) -> None:
        rng = np.random.default_rng(0)
        # 4,000 streams of 10 values behind a pool of 5: were the pool not extended, the tails would hold far too much.
        ranks = []
        for stream in range(4000):
            bins = np.minimum(rng.geometric(0.3, size=15), 7)[:, None]
            pool = np.bincount(bins[:5, 0], minlength=8)[None, :]
            ranks.append(rank_and_extend(pool, bins[5:], uniforms(stream, 0, 10, 1))[:, 0])
        found = np.array(ranks)
        shares = np.histogram(found, bins=10, range=(0, 1))[0] / found.size
        # Standard error of a share of 40,000: 0.0015.
        assert np.abs(shares - 0.1).max() < 0.0075
        assert abs(np.asarray(np.corrcoef(found[:, 0], found[:, 9]))[0, 1]) < 5 / np.sqrt(4000)
