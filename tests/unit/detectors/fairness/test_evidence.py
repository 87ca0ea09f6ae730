from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from detectors.fairness.differences import UNIT, Differences
from detectors.fairness.evidence import BETS, LARGEST_GROWTH, SHARES, interval, log_evidence, log_growth, to_counts


def counted(up: int, down: int, same: int, size: float = 1.0) -> Differences:
    found = Differences()
    for value, times in ((size, up), (-size, down), (0.0, same)):
        for _ in range(times):
            found.add(round(value * UNIT))
    return found


def evidence(differences: Differences, gap: float) -> tuple[float, float]:
    up, down = log_growth(to_counts(differences))
    pairs = differences.pairs
    return float(log_evidence(up, pairs, gap)), float(log_evidence(down, pairs, gap))


class TestConstants:
    def test_the_capital_is_divided_whole(self) -> None:
        assert len(BETS) == len(SHARES)
        assert sum(SHARES) == pytest.approx(1.0)

    def test_no_bet_can_ruin_or_grow_beyond_the_stated_factor(self) -> None:
        assert all(0 < bet < 1 for bet in BETS)
        assert 1 + max(BETS) <= LARGEST_GROWTH


class TestLogEvidence:
    def test_it_is_nothing_before_the_first_pair(self) -> None:
        assert evidence(Differences(), 0.02) == pytest.approx((0.0, 0.0))

    def test_it_is_the_average_wealth_of_the_bets(self) -> None:
        differences = counted(3, 1, 2)
        wealth = [(1 + bet) ** 3 * (1 - bet) * math.exp(-bet * 6 * 0.1) for bet in BETS]
        expected = math.log(sum(share * one for share, one in zip(SHARES, wealth, strict=True)))
        assert evidence(differences, 0.1)[0] == pytest.approx(expected)

    def test_the_directions_mirror_each_other(self) -> None:
        assert evidence(counted(5, 2, 3), 0.02) == pytest.approx(evidence(counted(2, 5, 3), 0.02)[::-1])

    @pytest.mark.parametrize(("gap", "spread"), [(0.0, 0.1), (0.02, 0.1), (0.02, 0.5), (0.2, 0.5), (0.2, 1.0)])
    def test_its_expectation_never_exceeds_one_at_the_tolerance(self, gap: float, spread: float) -> None:
        """All 3^6 sequences of six pairs, weighed by their probability, at the largest gap that is tolerated."""
        up, down = (spread + gap) / 2, (spread - gap) / 2
        rates = {1: up, -1: down, 0: 1 - up - down}
        total = 0.0
        for sequence in product((1, -1, 0), repeat=6):
            probability = math.prod(rates[one] for one in sequence)
            total += probability * math.exp(
                evidence(counted(sequence.count(1), sequence.count(-1), sequence.count(0)), gap)[0]
            )
        assert total <= 1 + 1e-9

    def test_reading_between_points_never_overstates(self) -> None:
        size = 0.5 + 1 / 200
        differences = counted(7, 2, 0, size)
        units = round(size * UNIT) / UNIT
        exact = math.log(
            sum(
                share * (1 + bet * units) ** 7 * (1 - bet * units) ** 2 for bet, share in zip(BETS, SHARES, strict=True)
            )
        )
        assert exact - 1e-3 < evidence(differences, 0.0)[0] <= exact


class TestInterval:
    def test_it_is_everything_before_the_first_pair(self) -> None:
        assert interval(Differences(), 0.01) == (-1.0, 1.0)

    def test_it_holds_the_mean_and_narrows(self) -> None:
        wide, narrow = interval(counted(30, 10, 160), 0.05), interval(counted(300, 100, 1600), 0.05)
        assert wide[0] < narrow[0] < 0.1 < narrow[1] < wide[1]

    def test_its_ends_are_where_the_evidence_refutes(self) -> None:
        differences = counted(60, 10, 130)
        low, high = interval(differences, 0.05)
        assert evidence(differences, low)[0] == pytest.approx(math.log(2 / 0.05), abs=1e-6)
        assert evidence(differences, -high)[1] == pytest.approx(math.log(2 / 0.05), abs=1e-6)

    def test_it_covers_a_drifting_gap_at_every_time(self) -> None:
        """400 streams of 600 pairs whose gap swings from 0.3 to -0.1; alpha 0.05.

        A miss is the running average of the gaps outside at any of 60 looks. More than 36 misses among 400 have a
        probability below 1 in 1,000 if misses have probability 0.05.
        """
        rng = np.random.default_rng(7)
        pairs, streams = 600, 400
        gaps = 0.1 + 0.2 * np.cos(np.arange(pairs) / 90)
        averages = np.cumsum(gaps) / np.arange(1, pairs + 1)
        misses = 0
        for _ in range(streams):
            drawn = rng.random(pairs)
            values = np.where(drawn < 0.2 + gaps / 2, 1, np.where(drawn > 0.8 + gaps / 2, -1, 0))
            found, missed = Differences(), False
            for place, value in enumerate(values):
                found.add(int(value) * UNIT)
                if place % 10 == 9:
                    low, high = interval(found, 0.05)
                    missed = missed or not low <= averages[place] <= high
            misses += missed
        assert misses <= 36
