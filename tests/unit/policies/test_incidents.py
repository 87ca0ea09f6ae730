from __future__ import annotations

from collections.abc import Callable

import pytest

from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS
from custodes.kernel.errors import ConflictError, InvalidInputError
from policies.groups import make_group
from policies.incidents import (
    Incident,
    acknowledge_incident,
    assign_incident,
    change_severity,
    escalate_incident,
    label_incident,
    may_regress,
    mute_incident,
    number_to_text,
    open_incident,
    regress_incident,
    resolve_incident,
    unmute_incident,
)
from policies.rules.compile import CompiledPolicy


@pytest.fixture
def opened(policy_text: str, compiled: Callable[[str], CompiledPolicy]) -> Incident:
    group = make_group({"deployment": "bot-v7"})
    values = {"n": 80.0, "tox_p95": 0.93359}
    return open_incident(compiled(policy_text), group, values, project_id="default", incident_id="i-1", now_ns=5)


class TestOpenIncident:
    def test_says_in_numbers_why_it_fired(self, opened: Incident) -> None:
        assert opened.title == "toxicity-spike: deployment=bot-v7"
        assert opened.summary == (
            "toxicity-spike fired for deployment=bot-v7: n is 80 and tox_p95 is 0.934, "
            "so `n >= 50.0 && tox_p95 > 0.80` held for 5m."
        )
        assert (opened.state, opened.severity, opened.opened_ns) == ("new", "high", 5)

    def test_fits_its_columns_whatever_the_labels(
        self, policy_text: str, compiled: Callable[[str], CompiledPolicy]
    ) -> None:
        group = make_group(dict.fromkeys(("deployment", "model", "service", "environment"), "v" * 250))
        made = open_incident(compiled(policy_text), group, {}, project_id="p", incident_id="i", now_ns=0)
        assert len(made.title) <= 256
        assert "n is no data" in made.summary


class TestResolveIncident:
    def test_adds_how_long_it_lasted_and_why_it_ended(self, opened: Incident) -> None:
        resolved = resolve_incident(opened, "clear holds", 5 + 12 * MINUTE_NS)
        assert resolved.summary.endswith("held for 5m. Resolved after 12m: clear holds.")
        assert (resolved.state, resolved.resolved_ns) == ("resolved", 5 + 12 * MINUTE_NS)

    def test_happens_once(self, opened: Incident) -> None:
        with pytest.raises(ConflictError, match="already resolved"):
            resolve_incident(resolve_incident(opened, "x", 10), "x", 11)


class TestHandling:
    def test_acknowledging_stops_escalation_and_names_who(self, opened: Incident) -> None:
        taken = acknowledge_incident(opened, "ann", 9)
        assert (taken.state, taken.assignee, taken.escalate_ns, taken.revision) == ("acknowledged", "ann", None, 2)
        assert acknowledge_incident(assign_incident(opened, "bob", 8), "ann", 9).assignee == "bob"
        with pytest.raises(ConflictError, match="already"):
            acknowledge_incident(taken, "bob", 10)

    def test_a_mute_ends_where_it_began(self, opened: Incident) -> None:
        taken = acknowledge_incident(opened, "ann", 9)
        muted = mute_incident(mute_incident(taken, 10 * HOUR_NS, 10), 5 * HOUR_NS, 11)
        assert (muted.state, muted.muted_state, muted.muted_until_ns) == ("muted", "acknowledged", 5 * HOUR_NS)
        back = unmute_incident(muted, 12)
        assert (back.state, back.muted_state, back.muted_until_ns) == ("acknowledged", None, None)
        with pytest.raises(ConflictError):
            unmute_incident(back, 13)

    @pytest.mark.parametrize("until_ns", [0, 5, 5 + 31 * DAY_NS])
    def test_a_mute_ends_later_and_not_too_late(self, opened: Incident, until_ns: int) -> None:
        with pytest.raises(InvalidInputError, match="within 30 days"):
            mute_incident(opened, until_ns, 5)

    def test_a_resolved_incident_remembers_that_it_was_muted(self, opened: Incident) -> None:
        assert resolve_incident(mute_incident(opened, HOUR_NS, 6), "x", 7).was_muted
        assert not resolve_incident(opened, "x", 7).was_muted

    def test_nothing_of_this_happens_to_a_resolved_one(self, opened: Incident) -> None:
        resolved = resolve_incident(opened, "x", 7)
        changes: list[Callable[[], Incident]] = [
            lambda: acknowledge_incident(resolved, "a", 8),
            lambda: escalate_incident(resolved, 8),
            lambda: mute_incident(resolved, HOUR_NS, 8),
            lambda: change_severity(resolved, "low", 8),
        ]
        for change in changes:
            with pytest.raises(ConflictError, match="is resolved"):
                change()
        assert label_incident(resolved, "false_alarm", "ann", 8).labelled_by == "ann"

    def test_escalating_comes_once(self, opened: Incident) -> None:
        escalating = escalate_incident(opened, 8)
        assert (escalating.state, escalating.escalate_ns) == ("escalating", None)
        with pytest.raises(ConflictError):
            escalate_incident(escalating, 9)


class TestRegression:
    def test_keeps_id_opening_and_assignee(
        self, opened: Incident, policy_text: str, compiled: Callable[[str], CompiledPolicy]
    ) -> None:
        resolved = resolve_incident(acknowledge_incident(opened, "ann", 6), "x", 7)
        again = regress_incident(resolved, compiled(policy_text), {"n": 99.0, "tox_p95": 0.9}, 20)
        assert (again.id, again.opened_ns, again.assignee) == (opened.id, opened.opened_ns, "ann")
        assert (again.state, again.episode_ns, again.resolved_ns, again.acknowledged_ns) == (
            "regressed",
            20,
            None,
            None,
        )
        assert "n is 99" in again.summary
        assert resolve_incident(again, "y", 20 + MINUTE_NS).summary.endswith("Resolved after 1m: y.")
        with pytest.raises(ConflictError, match="is open"):
            regress_incident(again, compiled(policy_text), {}, 21)

    def test_happens_soon_and_not_to_what_somebody_has_judged(self, opened: Incident) -> None:
        resolved = resolve_incident(opened, "x", 10)
        assert may_regress(resolved, 10 + HOUR_NS, HOUR_NS)
        assert not may_regress(resolved, 11 + HOUR_NS, HOUR_NS)
        assert not may_regress(label_incident(resolved, "false_alarm", "ann", 11), 12, HOUR_NS)
        assert not may_regress(opened, 12, HOUR_NS)


class TestEscalation:
    @pytest.mark.parametrize(
        ("severity", "written", "default_ns", "expected_ns"),
        [
            ("high", None, HOUR_NS, HOUR_NS),
            ("medium", None, HOUR_NS, None),
            ("high", None, 0, None),
            ("low", "10m", HOUR_NS, 10 * MINUTE_NS),
            ("critical", "0", HOUR_NS, None),
        ],
    )
    def test_falls_due_as_the_policy_or_the_setting_says(
        self,
        policy_text: str,
        compiled: Callable[[str], CompiledPolicy],
        severity: str,
        written: str | None,
        default_ns: int,
        expected_ns: int | None,
    ) -> None:
        text = policy_text.replace("severity: high", f"severity: {severity}")
        policy = compiled(text if written is None else text.replace("no_data:", f"escalate_after: {written}\nno_data:"))
        made = open_incident(
            policy,
            make_group({}),
            {},
            project_id="p",
            incident_id="i",
            now_ns=0,
            escalate_after_ns=default_ns,
        )
        assert made.escalate_ns == expected_ns


class TestNumberToText:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, "no data"),
            (80.0, "80"),
            (0.93359, "0.934"),
            (0.00012345, "0.000123"),
            (12345.678, "12345.678"),
            (-0.5, "-0.500"),
        ],
    )
    def test_is_short_and_exact_enough(self, value: float | None, expected: str) -> None:
        assert number_to_text(value) == expected
