import numpy as np
import pytest

from detectors.drift.bets import Bets, IntervalBets, TailBets
from detectors.drift.cells import tree_intervals

FAMILIES: list[Bets] = [
    TailBets(two_sided=False),
    TailBets(two_sided=True),
    IntervalBets(tree_intervals(np.array([0.1, 0.2, 0.3, 0.4]))),
]


@pytest.mark.parametrize("bets", FAMILIES, ids=["upper", "two-sided", "intervals"])
class TestEveryFamily:
    def test_it_pays_one_on_average_for_uniform_ranks(self, bets: Bets) -> None:
        middles = (np.arange(200_000) + 0.5) / 200_000
        assert np.abs(bets.returns(middles).mean(axis=0) - 1.0).max() < 1e-4

    def test_it_never_pays_less_than_nothing(self, bets: Bets) -> None:
        assert bets.returns(np.linspace(0, 1, 1001)).min() >= 0.0

    def test_it_has_weights_that_sum_to_one(self, bets: Bets) -> None:
        assert bets.weights.sum() == pytest.approx(1.0)
        assert bets.returns(np.array([0.5])).shape == (1, len(bets.weights))


class TestTailBets:
    def test_it_pays_most_for_the_highest_ranks_on_one_side(self) -> None:
        low, high = TailBets(two_sided=False).returns(np.array([0.01, 0.999]))
        assert (high > low).all()

    def test_it_mirrors_on_two_sides(self) -> None:
        low, high = TailBets(two_sided=True).returns(np.array([0.25, 0.75]))
        half = len(low) // 2
        assert low[half:] == pytest.approx(high[:half])


class TestTreeIntervals:
    def test_it_holds_every_node_below_the_root(self) -> None:
        assert tree_intervals(np.array([0.25, 0.25, 0.5])).tolist() == [[0, 0.5], [0.5, 1], [0, 0.25], [0.25, 0.5]]

    def test_it_has_none_for_a_single_cell(self) -> None:
        assert tree_intervals(np.array([1.0])).shape == (0, 2)
