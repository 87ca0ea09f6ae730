from __future__ import annotations

import json
import random

import pytest

from detectors.fairness.differences import UNIT
from detectors.fairness.gap import MAX_STRATA, GapMonitor


def fed(seed: int, arrivals: int, group: float, other: float, strata: int = 3) -> GapMonitor:
    rng, monitor = random.Random(seed), GapMonitor()
    for mark in range(arrivals):
        member = rng.random() < 0.4
        outcome = UNIT * (rng.random() < (group if member else other))
        monitor.arrive(f"s{rng.randrange(strata)}", member=member, outcome=outcome, mark=mark)
    return monitor


class TestGapMonitor:
    def test_it_pairs_inside_strata_only(self) -> None:
        monitor = GapMonitor()
        assert monitor.arrive("x", member=True, outcome=UNIT, mark=0) is None
        assert monitor.arrive("y", member=False, outcome=0, mark=1) is None
        assert monitor.arrive("x", member=False, outcome=0, mark=2) == UNIT

    def test_a_difference_between_strata_is_no_gap(self) -> None:
        """The group asks in the stratum where refusals are common; inside it everybody is refused alike."""
        rng, monitor = random.Random(11), GapMonitor()
        for mark in range(20_000):
            stratum = rng.choice(("hard", "easy"))
            member = rng.random() < (0.8 if stratum == "hard" else 0.1)
            outcome = UNIT * (rng.random() < (0.4 if stratum == "hard" else 0.02))
            monitor.arrive(stratum, member=member, outcome=outcome, mark=mark)
        reading = monitor.read(0.02, 0.01)
        assert reading.log_evidence < 0
        assert reading.whole.low < 0 < reading.whole.high

    def test_it_reads_every_stratum(self) -> None:
        reading = fed(1, 4000, 0.3, 0.1).read(0.02, 0.01)
        assert sum(one.pairs for one in reading.strata) == reading.whole.pairs
        assert reading.members + reading.others == 4000
        assert reading.whole.gap == pytest.approx(
            sum((one.gap or 0) * one.pairs for one in reading.strata) / reading.whole.pairs
        )

    def test_the_mean_of_the_group_minus_the_others_is_the_gap(self) -> None:
        (stratum,) = fed(1, 500, 0.3, 0.1, strata=1).read(0.02, 0.01).strata
        assert stratum.member_mean is not None
        assert stratum.other_mean is not None
        assert stratum.gap == stratum.member_mean - stratum.other_mean

    def test_it_counts_what_too_many_strata_leave_out(self) -> None:
        monitor = GapMonitor()
        for number in range(MAX_STRATA + 10):
            monitor.arrive(f"s{number}", member=True, outcome=0, mark=number)
        assert len(monitor.strata) == MAX_STRATA
        assert monitor.unplaced == 10

    def test_an_empty_one_has_a_reading(self) -> None:
        reading = GapMonitor().read(0.02, 0.01)
        assert (reading.whole.pairs, reading.whole.gap, reading.whole.low, reading.whole.high) == (0, None, -1.0, 1.0)
        assert reading.log_evidence == 0.0

    def test_it_is_stored_exactly_and_goes_on_alike(self) -> None:
        monitor = fed(2, 3000, 0.2, 0.1)
        again = GapMonitor.from_json(json.loads(json.dumps(monitor.to_json())))
        for one in (monitor, again):
            for mark in range(200):
                one.arrive("s0", member=mark % 3 == 0, outcome=UNIT * (mark % 2), mark=mark)
        assert again.to_json() == monitor.to_json()
        assert again.read(0.02, 0.01) == monitor.read(0.02, 0.01)

    def test_it_refuses_sums_that_do_not_agree(self) -> None:
        written = fed(2, 300, 0.2, 0.1).to_json()
        del written["strata"]["s0"]
        with pytest.raises(ValueError, match="damaged"):
            GapMonitor.from_json(written)
