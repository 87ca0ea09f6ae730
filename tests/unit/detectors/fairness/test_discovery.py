from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.fairness.discovery import arrival_share, discover, equal_shares


class TestDiscover:
    def test_one_hypothesis_needs_one_over_alpha(self) -> None:
        assert discover([math.log(100.0)], [1.0], 0.01) == [True]
        assert discover([math.log(99.9)], [1.0], 0.01) == [False]

    def test_many_together_need_less_than_each_alone(self) -> None:
        shares = equal_shares(10)
        assert discover([math.log(210.0)] * 5 + [0.0] * 5, shares, 0.01) == [True] * 5 + [False] * 5
        assert discover([math.log(210.0)] + [0.0] * 9, shares, 0.01) == [False] * 10

    def test_each_claim_has_evidence_of_its_own(self) -> None:
        """A large share and a crowd of other claims do not make up for missing evidence."""
        evidence = [math.log(50.0), *[math.log(1e9)] * 9]
        assert discover(evidence, [0.5, *[0.5 / 9] * 9], 0.01)[0] is False

    @given(st.lists(st.floats(-50, 50), min_size=1, max_size=12), st.floats(0.001, 0.5))
    def test_more_evidence_never_takes_a_claim_back(self, evidence: list[float], alpha: float) -> None:
        shares = equal_shares(len(evidence))
        before = discover(evidence, shares, alpha)
        after = discover([one + 1 for one in evidence], shares, alpha)
        assert all(late or not early for early, late in zip(before, after, strict=True))

    @pytest.mark.parametrize("shares", [[0.6, 0.6], [1.0], [0.5, 0.0]])
    def test_it_refuses_shares_that_do_not_add_up(self, shares: list[float]) -> None:
        with pytest.raises(ValueError, match="shares"):
            discover([1.0, 1.0], shares, 0.01)


class TestArrivalShare:
    def test_they_sum_to_one_and_fall(self) -> None:
        shares = [arrival_share(number, 32) for number in range(1, 33)]
        assert sum(shares) == pytest.approx(1.0)
        assert shares == sorted(shares, reverse=True)
