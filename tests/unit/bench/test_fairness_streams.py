"""The streams of ``bench fairness`` are the monitor's own arithmetic, and their figures hold within stated bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.fairness import delay_formula, least_delay
from bench.fairness_rivals import first_alarms_by_agrapa, first_alarms_by_newton, first_alarms_by_z_test
from bench.fairness_streams import NEVER, Rates, draw_block, first_alarms
from detectors.fairness.differences import UNIT
from detectors.fairness.history import SPACING, History


class TestFirstAlarms:
    @pytest.mark.parametrize(("group", "other", "quiet"), [(0.25, 0.05, 0), (0.25, 0.05, 10 * SPACING), (0.12, 0.1, 0)])
    def test_they_are_those_of_the_monitor(self, group: float, other: float, quiet: int) -> None:
        """Twelve streams, looked at after every pair by ``History`` itself."""
        rates, equal = Rates.of(group, other), Rates.of(other, other)
        pairs, streams = 1_500, 12
        found = first_alarms(
            np.random.default_rng(3), streams, pairs, lambda begin: rates if begin >= quiet else equal, 0.02, 0.01
        )
        rng = np.random.default_rng(3)
        histories, expected = [History() for _ in range(streams)], np.full(streams, NEVER)
        for begin in range(0, pairs, SPACING):
            alive = np.flatnonzero(expected == NEVER)
            length = min(SPACING, pairs - begin)
            block = draw_block(rng, len(alive), length, rates if begin >= quiet else equal)
            for stream, row in zip(alive, block, strict=True):
                for place, value in enumerate(row, start=begin + 1):
                    histories[stream].add(int(value) * UNIT, place)
                    if expected[stream] == NEVER and histories[stream].judge(0.02).log_evidence >= math.log(100):
                        expected[stream] = place
        assert found.tolist() == expected.tolist()

    def test_a_tolerated_gap_alarms_no_more_often_than_promised(self) -> None:
        """300 streams of 20,000 pairs whose gap is the tolerance itself, a look at each pair, alpha 0.05.

        More than 30 alarms have a probability below 1 in 10,000 if alarms have probability 0.05.
        """
        alarms = first_alarms(np.random.default_rng(1), 300, 20_000, lambda begin: Rates.of(0.12, 0.1), 0.02, 0.05)
        assert (alarms != NEVER).sum() <= 30

    @pytest.mark.parametrize(("group", "other"), [(0.15, 0.05), (0.1, 0.02), (0.06, 0.01)])
    def test_a_gap_is_found_within_half_as_much_again_as_the_formula(self, group: float, other: float) -> None:
        """The mean of 400 delays; its standard error is below 0.05 of the formula."""
        rates = Rates.of(group, other)
        formula = delay_formula(rates, 0.02, 0.01)
        alarms = first_alarms(np.random.default_rng(2), 400, int(20 * formula), lambda begin: rates, 0.02, 0.01)
        assert (alarms != NEVER).all()
        assert alarms.mean() <= 1.5 * formula


class TestRivals:
    def test_repeated_fixed_tests_alarm_far_more_often_than_promised(self) -> None:
        block = draw_block(np.random.default_rng(4), 200, 5_000, Rates.of(0.1, 0.1))
        alarms = first_alarms_by_z_test(block, 0.0, 0.01, every=100)
        assert (alarms != NEVER).mean() > 0.05

    def test_other_bets_keep_the_promise_and_find_gaps(self) -> None:
        null = draw_block(np.random.default_rng(5), 200, 3_000, Rates.of(0.12, 0.1))
        gap = draw_block(np.random.default_rng(6), 50, 3_000, Rates.of(0.2, 0.05))
        for run in (first_alarms_by_newton, first_alarms_by_agrapa):
            assert (run(null, 0.02, 0.01) != NEVER).sum() <= 8
            assert (run(gap, 0.02, 0.01) != NEVER).all()


class TestLeastDelay:
    def test_it_is_close_to_the_formula_for_small_gaps(self) -> None:
        rates = Rates.of(0.53, 0.47)
        assert least_delay(rates, 0.0, 0.01) == pytest.approx(delay_formula(rates, 0.0, 0.01), rel=0.02)
