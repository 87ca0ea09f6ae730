from __future__ import annotations

from collections.abc import Callable

import pytest

from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.errors import ConflictError
from policies.groups import make_group
from policies.incidents import Incident, number_to_text, open_incident, resolve_incident
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
