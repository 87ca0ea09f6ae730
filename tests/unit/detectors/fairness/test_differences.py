from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.fairness.differences import POINTS, STEP, UNIT, Differences, outcome_to_units

DIFFERENCES = st.lists(st.integers(-UNIT, UNIT), max_size=40)


def counted(values: list[int]) -> Differences:
    found = Differences()
    for value in values:
        found.add(value)
    return found


class TestOutcomeToUnits:
    @pytest.mark.parametrize(("outcome", "units"), [(0.0, 0), (1.0, UNIT), (0.5, UNIT // 2), (True, UNIT)])
    def test_it_reads_numbers_between_zero_and_one(self, outcome: float, units: int) -> None:
        assert outcome_to_units(outcome) == units

    @pytest.mark.parametrize("outcome", [math.nan, math.inf, -math.inf, -0.001, 1.001])
    def test_it_refuses_everything_else(self, outcome: float) -> None:
        with pytest.raises(ValueError, match="in \\[0, 1\\]"):
            outcome_to_units(outcome)


class TestDifferences:
    def test_it_keeps_binary_outcomes_at_three_points(self) -> None:
        found = counted([UNIT, UNIT, 0, -UNIT])
        assert found.weights == {POINTS - 1: 2 * STEP, POINTS // 2: STEP, 0: STEP}
        assert found.mean() == 0.25

    def test_it_has_no_mean_before_the_first_pair(self) -> None:
        assert Differences().mean() is None

    @given(DIFFERENCES.filter(bool))
    def test_it_keeps_the_mean_exactly(self, values: list[int]) -> None:
        assert counted(values).mean() == sum(values) / (len(values) * UNIT)

    @given(DIFFERENCES, DIFFERENCES)
    def test_it_adds_up_to_the_same_in_any_order(self, first: list[int], second: list[int]) -> None:
        mixed = [*first, *second]
        random.Random(1).shuffle(mixed)
        merged = counted(first)
        merged.merge(counted(second))
        assert merged == counted(mixed)

    @given(DIFFERENCES)
    def test_it_is_stored_exactly(self, values: list[int]) -> None:
        found = counted(values)
        assert Differences.from_list(found.pairs, json.loads(json.dumps(found.to_list()))) == found

    @pytest.mark.parametrize("written", [[[0, STEP]], [[POINTS, 2 * STEP]], [[0, -STEP], [1, 3 * STEP]]])
    def test_it_refuses_a_damaged_state(self, written: list[list[int]]) -> None:
        with pytest.raises(ValueError, match="damaged"):
            Differences.from_list(2, written)
