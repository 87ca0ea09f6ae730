"""Silences match what they say, hold for severe incidents only with a second person, and end by themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from custodes.kernel.clock import DAY_NS, HOUR_NS
from custodes.kernel.errors import InvalidInputError
from policies.groups import make_group
from policies.incidents import Incident
from policies.silences import Silence, check_silence, find_silence

REASON = "load test until noon"
INCIDENT = Incident(
    "i", "default", "toxicity-spike", "sha256:1", make_group({"deployment": "bot-v7"}), "medium", "new", "t", "s", 0, 0
)


def silence(ends_ns: int = HOUR_NS, **changes: Any) -> Silence:
    plain: dict[str, Any] = {"id": "s", "project_id": "default", "reason": REASON, "author": "ann", "created_ns": 0}
    plain |= {"matchers": {"policy": "toxicity-spike"}, "starts_ns": 0, "ends_ns": ends_ns}
    return Silence(**{**plain, **changes})


class TestMatching:
    @pytest.mark.parametrize(
        ("matchers", "expected"),
        [
            ({"policy": "toxicity-spike"}, True),
            ({"policy": "tox*"}, True),
            ({"policy": "latency"}, False),
            ({"deployment": "bot-v7", "severity": "medium"}, True),
            ({"deployment": "bot-v8"}, False),
            ({"service": "support-bot"}, True),
            ({"service": "other"}, False),
            ({"model": "*"}, True),
            ({"model": "m-1"}, False),
        ],
    )
    def test_it_compares_every_matcher(self, matchers: dict[str, str], expected: bool) -> None:
        assert silence(matchers=matchers).matches(INCIDENT, {"service": "support-bot"}) is expected

    def test_it_compares_long_labels_in_the_form_groups_have(self) -> None:
        name = "d" * 300
        long = replace(INCIDENT, group=make_group({"deployment": name}))
        assert silence(matchers={"deployment": name[:256]}).matches(long, {}) is False
        assert silence(matchers={"deployment": "d" * 20 + "*"}).matches(long, {})

    @pytest.mark.parametrize("severity", ["high", "critical"])
    def test_it_leaves_severe_incidents_loud_until_somebody_else_agrees(self, severity: str) -> None:
        severe = replace(INCIDENT, severity=severity)
        assert not silence().matches(severe, {})
        assert silence().needs_approval()
        assert silence(approver="bob").matches(severe, {})
        assert not silence(approver="bob").needs_approval()
        assert not silence(matchers={"severity": "low"}).needs_approval()


class TestTime:
    def test_it_begins_and_ends(self) -> None:
        one = silence(starts_ns=10, ends_ns=20)
        assert [one.state(now) for now in (9, 10, 19, 20)] == ["pending", "active", "active", "ended"]
        assert replace(one, ended_ns=15).state(15) == "ended"

    def test_it_finds_the_one_that_holds_longest(self) -> None:
        short, long, over = silence(id="a"), silence(id="b", ends_ns=2 * HOUR_NS), silence(id="c", ends_ns=1)
        assert find_silence([short, long, over], INCIDENT, {}, 5) is long
        assert find_silence([over], INCIDENT, {}, 5) is None


class TestCheck:
    @pytest.mark.parametrize(
        ("matchers", "reason", "starts_ns", "ends_ns", "message"),
        [
            ({}, REASON, 0, HOUR_NS, "without matchers"),
            ({"polcy": "x"}, REASON, 0, HOUR_NS, "did you mean 'policy'"),
            ({"policy": "*", "service": "**"}, REASON, 0, HOUR_NS, "match everything"),
            ({"policy": ""}, REASON, 0, HOUR_NS, "1 to 256"),
            ({"policy": "[ab]"}, REASON, 0, HOUR_NS, "1 to 256"),
            ({"policy": "x"}, "quiet", 0, HOUR_NS, "10 to 1000"),
            ({"policy": "x"}, REASON, 0, 0, "ends later"),
            ({"policy": "x"}, REASON, HOUR_NS, HOUR_NS, "ends later"),
            ({"policy": "x"}, REASON, 0, 31 * DAY_NS, "at most 30 days"),
            ({"policy": "x"}, REASON, 40 * DAY_NS, 41 * DAY_NS, "at most 30 days"),
        ],
    )
    def test_it_refuses_what_would_hide_too_much(
        self, matchers: dict[str, str], reason: str, starts_ns: int, ends_ns: int, message: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=message):
            check_silence(matchers, reason, starts_ns, ends_ns, 0)

    def test_it_takes_a_sensible_one(self) -> None:
        check_silence({"policy": "x*"}, REASON, 0, 30 * DAY_NS, 0)
