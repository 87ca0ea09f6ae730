"""A gap in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from custodes_sdk.models import FairnessRules, Gap, GapInterval
from ui.components.gap_story import family_name, group_name, outcome_name, points_text, tell_gap

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RULES = FairnessRules(epsilon=0.02, alpha=0.01, min_pairs=50)


def gap(state: str, **rest: Any) -> Gap:
    recent = GapInterval(pairs=1_234, gap=0.12, gap_low=0.081, gap_high=0.162, since=NOON)
    fields: dict[str, Any] = {"segment_id": 1, "family": "caller:group", "group": "group:de", "outcome": "refused",
                              "state": state, "at": NOON, "recent": recent}  # fmt: skip
    return Gap(**{**fields, **rest})


class TestTellGap:
    def test_it_says_how_large_and_how_sure(self) -> None:
        told = tell_gap(gap("gap"), RULES)
        assert "In 1,234 pairs since 2026-11-21 12:00:00 UTC" in told
        assert "+12.0 points from everybody else's; with 99% confidence" in told
        assert "between +8.1 and +16.2 points" in told

    @pytest.mark.parametrize(
        ("state", "expected"),
        [
            ("gap", "beyond the tolerance of 2 points: an alarm was raised"),
            ("withheld", "The claim is withheld"),
            ("watching", "not enough to say"),
            ("within_tolerance", "All of it lies within the tolerance"),
            ("too_few_data", "Below 50 pairs nothing is said"),
        ],
    )
    def test_each_state_says_what_it_means(self, state: str, expected: str) -> None:
        assert expected in tell_gap(gap(state, metric="toxicity", own_gap=0.2), RULES)

    def test_a_withheld_claim_names_the_detectors_own_difference(self) -> None:
        told = tell_gap(gap("withheld", metric="toxicity", own_gap=0.2), RULES)
        assert "the detector of toxicity itself differs by up to 20.0 points" in told

    def test_before_the_first_pair_it_counts_exchanges(self) -> None:
        told = tell_gap(gap("too_few_data", recent=GapInterval(), n_group=1, n_others=2_000), RULES)
        assert told == "No pair has been compared yet: 1 exchange of the group, 2,000 others."


class TestNames:
    @pytest.mark.parametrize(
        ("group", "expected"), [("group:de", "de"), ("religion:muslim", "muslim (religion)"), ("odd", "odd")]
    )
    def test_groups_are_named_for_people(self, group: str, expected: str) -> None:
        assert group_name(group) == expected

    @pytest.mark.parametrize(
        ("family", "expected"),
        [("prompt", "mentioned in the prompt"), ("caller:plan", "named by the caller (plan)"),
         ("probe", "swapped in by probes")],
    )  # fmt: skip
    def test_families_say_where_groups_come_from(self, family: str, expected: str) -> None:
        assert family_name(family) == expected

    def test_an_unknown_outcome_keeps_its_name(self) -> None:
        assert outcome_name("some_thing") == "Some thing"
        assert points_text(None) == "no data"
