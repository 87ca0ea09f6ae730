from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.clock import HOUR_NS, MINUTE_NS, SECOND_NS
from policies.hooks.schedule import SHORTEST_PAUSE_NS, WAITS_NS, plan_retry


class TestSchedule:
    def test_is_the_one_of_standard_webhooks(self) -> None:
        assert [wait / SECOND_NS for wait in WAITS_NS[:3]] == [0, 5, 300]
        assert sum(WAITS_NS) == 75 * HOUR_NS + 35 * MINUTE_NS + 5 * SECOND_NS
        assert len(WAITS_NS) == 10

    @given(st.integers(1, 9), st.integers(0, 2**32))
    def test_waits_within_ten_percent_of_the_schedule(self, attempts: int, seed: int) -> None:
        again = plan_retry(attempts, 0, random.Random(seed))
        assert again is not None
        assert 0.9 * WAITS_NS[attempts] - 1 <= again.at_ns <= 1.1 * WAITS_NS[attempts] + 1

    def test_differs_between_senders(self) -> None:
        assert len({plan_retry(3, 0, random.Random(seed)) for seed in range(20)}) > 15

    def test_gives_up_after_the_tenth_attempt(self) -> None:
        assert plan_retry(9, 0, random.Random(1)) is not None
        assert plan_retry(10, 0, random.Random(1)) is None

    @pytest.mark.parametrize(("asked_s", "expected_s"), [(120, 120), (10**9, 24 * 3600), (0, 5)])
    def test_honours_a_longer_wait_the_receiver_asks_for(self, asked_s: float, expected_s: float) -> None:
        again = plan_retry(1, 0, random.Random(1), retry_after_s=asked_s)
        assert again is not None
        assert again.at_ns == again.not_before_ns == pytest.approx(expected_s * SECOND_NS, rel=0.11)

    @pytest.mark.parametrize(("asked_s", "expected_ns"), [(None, SHORTEST_PAUSE_NS), (600.0, 600 * SECOND_NS)])
    def test_can_be_cut_short_to_what_spares_the_receiver(self, asked_s: float | None, expected_ns: int) -> None:
        again = plan_retry(4, 0, random.Random(1), retry_after_s=asked_s)
        assert again is not None
        assert (again.at_ns > HOUR_NS, again.not_before_ns) == (True, expected_ns)
