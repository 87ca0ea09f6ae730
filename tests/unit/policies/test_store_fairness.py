from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, select

from custodes.db import Database
from custodes.db.tables import fairness_gap, segment
from custodes.kernel.clock import MINUTE_NS
from policies.errors import PolicyError
from policies.groups import Group, make_group
from policies.rules.compile import CompiledPolicy
from policies.signals import SignalValues, read_signals

Compile = Callable[[str], CompiledPolicy]
AddGap = Callable[..., None]
Read = Callable[..., dict[Group, SignalValues]]
V7, V8 = make_group({"deployment": "bot-v7"}), make_group({"deployment": "bot-v8"})

TEMPLATE = """\
apiVersion: custodes/v1
kind: Policy
id: p
owner: o
severity: low
scope: {{{scope}}}
signals: {{s: {{{signal}, window: 1h}}}}
group_by: [{group_by}]
when: s > 0.02
"""
LOW, HIGH = "metric: toxicity, agg: fairness_gap_low", "metric: toxicity, agg: fairness_gap_high"


@pytest.fixture
def add_gap(database: Database) -> AddGap:
    """Store one gap as the monitor writes it: the ends for this gap alone, and wider ones for all together."""

    def add(
        minute: int,
        low: float,
        high: float,
        *,
        people: str = "group:de",
        outcome: str = "toxic",
        deployment: str = "bot-v7",
        service: str = "support-bot",
        family: str = "caller:group",
        withheld: bool = False,
        project: str = "default",
    ) -> None:
        labels = {"service": service, "environment": "prod", "deployment": deployment, "model": "m"}
        with database.write() as tx:
            tx.execute(tx.insert(segment).values(project_id=project, **labels).on_conflict_do_nothing())
            where = [segment.c.project_id == project, *(segment.c[name] == label for name, label in labels.items())]
            values: dict[str, Any] = {
                "project_id": project, "segment_id": tx.execute(select(segment.c.id).where(*where)).scalar_one(),
                "family": family, "group_name": people, "outcome": outcome, "minute": minute, "pairs": 500,
                "gap": (low + high) / 2, "low": low, "high": high, "family_low": low - 0.01,
                "family_high": high + 0.01, "withheld": withheld,
            }  # fmt: skip
            tx.execute(insert(fairness_gap).values(**values))

    return add


@pytest.fixture
def read(database: Database, compiled: Compile) -> Read:
    """Read one signal at minute 1,000."""

    def at(signal: str, *, scope: str = "", group_by: str = "deployment") -> dict[Group, SignalValues]:
        policy = compiled(TEMPLATE.format(signal=signal, scope=scope, group_by=group_by))
        with database.read() as tx:
            return read_signals(tx, "default", policy, 1_000 * MINUTE_NS)

    return at


class TestFairnessSignals:
    def test_without_a_group_of_people_the_strongest_end_counts(self, add_gap: AddGap, read: Read) -> None:
        add_gap(990, 0.05, 0.15)
        add_gap(990, -0.2, -0.08, people="group:fr")
        assert read(LOW) == {V7: {"s": pytest.approx(0.04)}}
        assert read(HIGH) == {V7: {"s": pytest.approx(-0.07)}}

    def test_a_group_of_people_by_name_has_its_own_interval(self, add_gap: AddGap, read: Read) -> None:
        add_gap(990, 0.05, 0.15)
        add_gap(990, -0.2, -0.08, people="group:fr")
        assert read(f'{LOW}, group: "group:fr"') == {V7: {"s": pytest.approx(-0.2)}}

    def test_the_newest_reading_of_the_window_counts(self, add_gap: AddGap, read: Read) -> None:
        add_gap(950, 0.3, 0.4)
        add_gap(999, 0.01, 0.02)
        add_gap(1_000, 0.7, 0.8)  # Its minute is not over yet.
        assert read(LOW) == {V7: {"s": pytest.approx(0.0)}}

    def test_without_a_reading_in_the_window_there_is_no_data(self, add_gap: AddGap, read: Read) -> None:
        add_gap(939, 0.3, 0.4)
        assert read(LOW) == {}
        assert read(LOW, group_by="") == {Group(): {"s": None}}

    def test_a_gap_the_detector_could_have_made_is_left_out(self, add_gap: AddGap, read: Read) -> None:
        add_gap(980, 0.3, 0.4)
        add_gap(990, 0.3, 0.4, withheld=True)
        assert read(LOW) == {}

    def test_deployments_scope_outcome_and_project_are_told_apart(self, add_gap: AddGap, read: Read) -> None:
        add_gap(990, 0.05, 0.15)
        add_gap(990, 0.15, 0.25, deployment="bot-v8")
        add_gap(990, 0.5, 0.6, service="other")
        add_gap(990, 0.5, 0.6, outcome="slow")
        add_gap(990, 0.5, 0.6, project="other")
        assert read(LOW, scope="service: support-bot") == {
            V7: {"s": pytest.approx(0.04)},
            V8: {"s": pytest.approx(0.14)},
        }
        assert read("metric: latency_ms, agg: fairness_gap_low", group_by="") == {Group(): {"s": pytest.approx(0.49)}}

    def test_families_are_read_together(self, add_gap: AddGap, read: Read) -> None:
        add_gap(990, 0.05, 0.15)
        add_gap(980, 0.15, 0.25, people="religion:muslim", family="prompt")
        assert read(LOW) == {V7: {"s": pytest.approx(0.14)}}

    @pytest.mark.parametrize(
        ("signal", "problem"),
        [
            ("agg: fairness_gap_low", "fairness_gap_low needs a metric; known are toxicity, hallucination"),
            ("metric: cost_usd, agg: fairness_gap_low", "no gap of 'cost_usd' is watched"),
            ("metric: toxicity, agg: mean, group: de", "group goes with fairness_gap_high and fairness_gap_low only"),
        ],
    )
    def test_a_signal_that_means_nothing_is_refused(self, compiled: Compile, signal: str, problem: str) -> None:
        with pytest.raises(PolicyError, match=problem):
            compiled(TEMPLATE.format(signal=signal, scope="", group_by=""))
