from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detectors.fairness.pairing import QUEUE, Pairing


class TestPairing:
    def test_it_pairs_with_the_newest_of_the_other_side(self) -> None:
        pairing = Pairing()
        assert pairing.arrive(member=True, outcome=1) is None
        assert pairing.arrive(member=True, outcome=2) is None
        assert pairing.arrive(member=False, outcome=7) == (2, 7)
        assert pairing.arrive(member=False, outcome=8) == (1, 8)

    def test_it_names_the_group_first_whoever_came_last(self) -> None:
        pairing = Pairing()
        pairing.arrive(member=False, outcome=7)
        assert pairing.arrive(member=True, outcome=1) == (1, 7)

    def test_a_group_seen_once_makes_one_pair_at_most(self) -> None:
        pairing = Pairing()
        pairing.arrive(member=True, outcome=1)
        assert [pairing.arrive(member=False, outcome=0) for _ in range(100)].count(None) == 99

    def test_it_lets_the_oldest_go(self) -> None:
        pairing = Pairing()
        for outcome in range(QUEUE + 5):
            pairing.arrive(member=True, outcome=outcome)
        found = [pairing.arrive(member=False, outcome=0) for _ in range(QUEUE)]
        assert found == [(outcome, 0) for outcome in reversed(range(5, QUEUE + 5))]
        assert pairing.arrive(member=False, outcome=0) is None

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60), st.lists(st.integers(0, 9), max_size=60))
    def test_whom_it_pairs_does_not_depend_on_outcomes(
        self, arrivals: list[tuple[bool, int]], others: list[int]
    ) -> None:
        first, second = Pairing(), Pairing()
        for place, (member, outcome) in enumerate(arrivals):
            other = others[place] if place < len(others) else 0
            paired = first.arrive(member=member, outcome=outcome), second.arrive(member=member, outcome=other)
            assert (paired[0] is None) == (paired[1] is None)
            assert len(first.waiting) == len(second.waiting) <= QUEUE
