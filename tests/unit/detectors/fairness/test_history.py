from __future__ import annotations

import json
import math

import numpy as np
import pytest

from detectors.fairness.differences import UNIT, Differences
from detectors.fairness.evidence import LARGEST_GROWTH
from detectors.fairness.history import FIRST_SHARE, KEPT, SPACING, History


def filled(values: list[int]) -> History:
    history = History()
    for mark, value in enumerate(values):
        history.add(value * UNIT, mark)
    return history


def drawn(seed: int, pairs: int, up: float, down: float) -> list[int]:
    values = np.random.default_rng(seed).random(pairs)
    return [int(one) for one in (values < up).astype(int) - (values > 1 - down).astype(int)]


class TestHistory:
    def test_it_says_nothing_before_the_first_pair(self) -> None:
        assert History().judge(0.02).log_evidence == 0.0

    def test_its_first_epoch_and_the_latest_ones_stay(self) -> None:
        history = filled([0] * (SPACING * 100))
        starts = [epoch.start // SPACING for epoch in history.epochs]
        assert starts[0] == 0
        assert starts[-KEPT:] == list(range(100 - KEPT, 100))

    def test_it_keeps_few_epochs(self) -> None:
        pairs = SPACING * 4096
        history = filled([0] * pairs)
        assert len(history.epochs) <= KEPT * (1 + math.log2(pairs) / 2)

    def test_thinning_loses_no_pair(self) -> None:
        values = drawn(3, 5000, 0.2, 0.1)
        total = Differences()
        for value in values:
            total.add(value * UNIT)
        assert filled(values).since(0) == total

    def test_shares_never_exceed_the_capital(self) -> None:
        history = filled([0] * (SPACING * 50 + 1))
        started = sum(history.share(place) for place in range(len(history.epochs)))
        assert FIRST_SHARE < started <= 1 - (1 - FIRST_SHARE) / 51 + 1e-12

    def test_a_pair_multiplies_the_evidence_by_less_than_the_stated_factor(self) -> None:
        history, before = History(), 0.0
        for mark, value in enumerate(drawn(5, 700, 0.5, 0.2)):
            history.add(value * UNIT, mark)
            after = history.judge(0.02).log_evidence
            assert after <= before + (math.log(LARGEST_GROWTH) if value else 0.0) + 1e-9
            before = after

    def test_it_finds_where_a_gap_began(self) -> None:
        history = filled([*drawn(1, 6000, 0.05, 0.05), *drawn(2, 1500, 0.2, 0.05)])
        verdict = history.judge(0.02)
        assert verdict.log_evidence > math.log(100)
        assert verdict.higher
        assert abs(history.epochs[verdict.epoch].mark - 6000) <= 4 * SPACING

    def test_a_gap_from_the_beginning_began_with_the_first_pair(self) -> None:
        assert filled(drawn(4, 1000, 0.2, 0.05)).judge(0.02).epoch == 0

    def test_without_evidence_it_speaks_of_the_whole(self) -> None:
        assert filled(drawn(6, 3000, 0.1, 0.1)).judge(0.02).epoch == 0

    def test_it_is_stored_exactly(self) -> None:
        history = filled(drawn(8, 3000, 0.3, 0.1))
        again = History.from_json(json.loads(json.dumps(history.to_json())))
        assert again.pairs == history.pairs
        assert again.epochs == history.epochs
        for mark, value in enumerate(drawn(9, 200, 0.3, 0.1)):
            history.add(value * UNIT, mark)
            again.add(value * UNIT, mark)
        assert again.judge(0.02) == history.judge(0.02)

    def test_it_refuses_epochs_that_do_not_follow_one_another(self) -> None:
        written = filled([1] * 200).to_json()
        with pytest.raises(ValueError, match="damaged"):
            History.from_json(written[1:])
