from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.full.escalation import Escalation, draw

IDS = [f"{number:032x}{number * 7919:016x}" for number in range(20_000)]


class TestDraw:
    def test_it_is_the_same_everywhere(self) -> None:
        assert draw("0af7651916cd43dd8448eb211c80319cb7ad6b7169203331") == 0.6499521149951304

    @given(st.text())
    def test_it_lies_in_the_unit_interval(self, exchange_id: str) -> None:
        assert 0.0 <= draw(exchange_id) < 1.0

    def test_it_is_spread_evenly(self) -> None:
        # The Kolmogorov-Smirnov statistic of 20,000 even draws stays below 0.0138 in 999 of 1,000 cases.
        drawn = sorted(draw(one) for one in IDS)
        distance = max(abs(value - (place + 0.5) / len(drawn)) for place, value in enumerate(drawn))
        assert distance < 0.0138


class TestEscalation:
    def test_it_chooses_what_is_flagged(self) -> None:
        rule = Escalation(threshold=0.6, rate=0.0)
        assert [rule.chooses("a", value) for value in (0.59, 0.6, 1.0)] == [False, True, True]

    def test_it_chooses_a_share_of_the_rest(self) -> None:
        rule = Escalation(threshold=1.0, rate=0.05)
        chosen = sum(rule.chooses(one, 0.1) for one in IDS)
        # Five standard deviations of a binomial of 20,000 at 0.05.
        assert abs(chosen - 1000) < 5 * math.sqrt(20_000 * 0.05 * 0.95)

    def test_a_higher_rate_only_adds(self) -> None:
        low, high = (Escalation(1.0, rate) for rate in (0.02, 0.2))
        assert all(high.chooses(one, 0.0) for one in IDS[:2000] if low.chooses(one, 0.0))

    @pytest.mark.parametrize(("threshold", "rate"), [(0.0, 0.0), (1.0, 1.0)])
    def test_everything_can_be_chosen(self, threshold: float, rate: float) -> None:
        assert all(Escalation(threshold, rate).chooses(one, 0.0) for one in IDS[:100])

    @pytest.mark.parametrize(("threshold", "rate"), [(-0.1, 0.5), (0.5, 1.1), (math.nan, 0.5), (0.5, math.inf)])
    def test_it_refuses_what_is_no_share(self, threshold: float, rate: float) -> None:
        with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
            Escalation(threshold, rate)
