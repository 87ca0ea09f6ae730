import math

import pytest

from bench.drift import run_length_interval, share_interval


class TestShareInterval:
    def test_it_is_that_of_clopper_and_pearson(self) -> None:
        assert share_interval(3, 20) == pytest.approx((0.0321, 0.3789), abs=1e-4)

    def test_it_reaches_the_ends_when_all_or_none_were_hit(self) -> None:
        low, high = share_interval(0, 50)
        assert low == 0.0
        assert high == pytest.approx(1 - 0.025 ** (1 / 50))
        assert share_interval(50, 50)[1] == 1.0


class TestRunLengthInterval:
    def test_it_is_that_of_a_constant_rate(self) -> None:
        # Ten alarms in 1,000: the exact Poisson interval of ten is (4.795, 18.39).
        assert run_length_interval(10, 1000.0) == pytest.approx((1000 / 18.390, 1000 / 4.795), rel=1e-3)

    def test_it_has_no_upper_end_without_an_alarm(self) -> None:
        low, high = run_length_interval(0, 1000.0)
        assert low == pytest.approx(1000 / -math.log(0.025))
        assert high == math.inf
