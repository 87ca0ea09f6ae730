from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
from sqlalchemy import insert, select

from custodes.db import Database
from custodes.db.tables import drift_monitor, drift_place, drift_point, segment
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.settings_drift import DriftMetric, DriftSettings
from custodes.runtime.drift_streams import EMBEDDED, QUANTITIES
from policies.groups import Group, make_group
from policies.rules.compile import CompiledPolicy
from policies.rules.vocabulary import DRIFT_METRICS, EMBEDDING_METRIC
from policies.signals import SignalValues, read_signals
from policies.store_drift import EMBEDDED_MONITORS

Compile = Callable[[str], CompiledPolicy]
AddPoint = Callable[..., None]
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
when: s > 0.0
"""
ALARM = "agg: drift_alarm"


@pytest.fixture
def add_point(database: Database) -> AddPoint:
    """Store one minute of one monitor as scoring writes it."""

    def add(
        minute: int,
        alarms: int,
        *,
        name: str = "response",
        maker: str = "e",
        deployment: str = "bot-v7",
        environment: str = "prod",
        models: tuple[str, ...] = ("m",),
        project: str = "default",
    ) -> None:
        labels = {"service": "bot", "environment": environment, "deployment": deployment}
        with database.write() as tx:
            for model in models:
                values = {"project_id": project, **labels, "model": model}
                tx.execute(tx.insert(segment).values(**values).on_conflict_do_nothing())
            place = {"project_id": project, **labels, "seen": 0, "updated_ns": 0}
            tx.execute(tx.insert(drift_place).values(**place).on_conflict_do_nothing())
            where = [drift_place.c[key] == value for key, value in {"project_id": project, **labels}.items()]
            place_id = tx.execute(select(drift_place.c.id).where(*where)).scalar_one()
            monitor: dict[str, Any] = {
                "project_id": project, "place_id": place_id, "name": name, "maker": maker, "reference_id": "r",
                "state": "watching", "first_number": 0, "learned": 0, "seen": 0, "statistic": 0.0, "threshold": 1.0,
                "mark": b"m", "began_ns": 0, "updated_ns": 0,
            }  # fmt: skip
            tx.execute(tx.insert(drift_monitor).values(**monitor).on_conflict_do_nothing())
            same = (drift_monitor.c[key] == monitor[key] for key in ("place_id", "name", "maker"))
            number = tx.execute(select(drift_monitor.c.id).where(*same)).scalar_one()
            point = {"monitor_id": number, "minute": minute, "project_id": project, "seen": 9, "alarms": alarms}
            tx.execute(insert(drift_point).values(**point, statistic=1.0, threshold=5.0))

    return add


@pytest.fixture
def read(database: Database, compiled: Compile) -> Read:
    """Read one signal at minute 1,000."""

    def at(signal: str = ALARM, *, scope: str = "", group_by: str = "deployment") -> dict[Group, SignalValues]:
        policy = compiled(TEMPLATE.format(signal=signal, scope=scope, group_by=group_by))
        with database.read() as tx:
            return read_signals(tx, "default", policy, 1_000 * MINUTE_NS)

    return at


class TestDriftSignals:
    def test_it_counts_the_monitors_that_raised_an_alarm(self, read: Read, add_point: AddPoint) -> None:
        add_point(990, 3)
        add_point(995, 1)
        add_point(995, 0, name="prompt")
        add_point(995, 0, deployment="bot-v8")
        assert read() == {V7: {"s": 1.0}, V8: {"s": 0.0}}
        add_point(996, 1, name="prompt")
        assert read()[V7] == {"s": 2.0}

    def test_it_reads_whole_minutes_inside_the_window_only(self, read: Read, add_point: AddPoint) -> None:
        add_point(939, 1)
        add_point(1_000, 1)
        assert read() == {}
        add_point(940, 1)
        assert read() == {V7: {"s": 1.0}}

    def test_a_number_is_asked_for_by_name(self, read: Read, add_point: AddPoint) -> None:
        add_point(990, 1, name="latency_ms", maker="")
        assert read() == {}
        assert read("metric: latency_ms, agg: drift_alarm") == {V7: {"s": 1.0}}
        assert read("metric: toxicity, agg: drift_alarm") == {}

    def test_without_group_by_it_is_about_all_traffic(self, read: Read, add_point: AddPoint) -> None:
        assert read(group_by="") == {Group(): {"s": None}}
        add_point(990, 1)
        add_point(990, 1, deployment="bot-v8")
        assert read(group_by="") == {Group(): {"s": 2.0}}

    def test_it_keeps_to_scope_and_project(self, read: Read, add_point: AddPoint) -> None:
        add_point(990, 1, environment="staging")
        add_point(990, 1, project="other")
        assert read(scope="environment: prod") == {}
        assert read(scope="environment: staging") == {V7: {"s": 1.0}}

    def test_by_model_it_counts_for_every_model_of_the_deployment(self, read: Read, add_point: AddPoint) -> None:
        add_point(990, 1, models=("a", "b"))
        assert read(group_by="model") == {make_group({"model": one}): {"s": 1.0} for one in ("a", "b")}
        assert read(scope="model: a") == {V7: {"s": 1.0}}
        assert read(scope="model: c") == {}


class TestVocabulary:
    def test_what_can_be_watched_is_what_a_policy_can_ask_for(self) -> None:
        assert set(get_args(DriftMetric)) == set(DRIFT_METRICS) - {EMBEDDING_METRIC}
        assert set(QUANTITIES) <= set(DRIFT_METRICS)
        assert set(DriftSettings().metrics) <= set(DRIFT_METRICS)
        assert EMBEDDED_MONITORS == EMBEDDED
