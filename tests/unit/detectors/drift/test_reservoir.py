import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.drift.reservoir import Reservoir, sample_numbers

Numbers = st.lists(st.integers(0, 10_000), max_size=60)


def filled(numbers: list[int], size: int = 10) -> Reservoir:
    reservoir = Reservoir(size, seed=4)
    reservoir.add(numbers)
    return reservoir


class TestReservoir:
    @given(Numbers, Numbers)
    def test_it_merges_to_the_sample_of_the_union_in_any_order(self, first: list[int], second: list[int]) -> None:
        merged, turned = filled(first), filled(second)
        merged.merge(filled(second))
        turned.merge(filled(first))
        assert merged.numbers() == turned.numbers() == filled(first + second).numbers()

    @given(Numbers)
    def test_it_is_not_changed_by_a_batch_that_two_workers_merge(self, numbers: list[int]) -> None:
        twice = filled(numbers)
        twice.merge(filled(numbers))
        assert twice.numbers() == filled(numbers).numbers() == sample_numbers(numbers, 10, seed=4)

    def test_it_samples_uniformly(self) -> None:
        counts = [0, 0]
        for seed in range(2000):
            reservoir = Reservoir(1, seed=seed)
            reservoir.add([5, 77])
            counts[reservoir.numbers()[0] == 77] += 1
        assert abs(counts[0] - 1000) < 120

    def test_it_refuses_to_merge_other_sizes(self) -> None:
        with pytest.raises(ValueError, match="cannot merge"):
            Reservoir(3).merge(Reservoir(4))
