from __future__ import annotations

from collections.abc import Callable

import pytest

from custodes.db import Database
from custodes.kernel.clock import MINUTE_NS
from policies.groups import Group, make_group
from policies.rules.compile import CompiledPolicy
from policies.signals import SignalValues, read_signals

Compile = Callable[[str], CompiledPolicy]
Traffic = Callable[..., None]
V7, V8 = make_group({"deployment": "bot-v7"}), make_group({"deployment": "bot-v8"})

TEMPLATE = """\
apiVersion: custodes/v1
kind: Policy
id: p
owner: o
severity: low
scope: {{{scope}}}
signals: {{s: {{{signal}, window: {window}}}}}
group_by: [{group_by}]
when: s > 0.5
"""


@pytest.fixture
def read(database: Database, compiled: Compile) -> Callable[..., dict[Group, SignalValues]]:
    """Read one signal at minute 100."""

    def at(
        signal: str, *, minute: float = 100, window: str = "5m", scope: str = "", group_by: str = "deployment"
    ) -> dict[Group, SignalValues]:
        policy = compiled(TEMPLATE.format(signal=signal, window=window, scope=scope, group_by=group_by))
        with database.read() as tx:
            return read_signals(tx, "default", policy, int(minute * MINUTE_NS))

    return at


class TestReadSignals:
    @pytest.mark.parametrize(
        ("aggregation", "expected"),
        [
            ("count", 4.0),
            ("mean", 0.5),
            ("max", 0.9),
            ("not_assessed_ratio", 0.2),
            ("rate_above(0.5)", 0.5),
        ],
    )
    def test_aggregates_a_window_of_minutes(
        self, read: Callable[..., dict[Group, SignalValues]], traffic: Traffic, aggregation: str, expected: float
    ) -> None:
        traffic(97, "toxicity", [0.1, 0.3, None])
        traffic(99, "toxicity", [0.7, 0.9])
        values = read(f"metric: toxicity, agg: {aggregation}")
        assert values == {V7: {"s": pytest.approx(expected)}}

    @pytest.mark.parametrize(("aggregation", "exact"), [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)])
    def test_gives_quantiles_within_one_bin(
        self, read: Callable[..., dict[Group, SignalValues]], traffic: Traffic, aggregation: str, exact: float
    ) -> None:
        for part in range(5):
            traffic(95 + part, "toxicity", [(200 * part + n) / 1000 for n in range(200)])
        assert read(f"metric: toxicity, agg: {aggregation}")[V7]["s"] == pytest.approx(exact, abs=1 / 128)

    def test_reads_latency_and_cost_from_their_own_metrics(
        self, read: Callable[..., dict[Group, SignalValues]], traffic: Traffic
    ) -> None:
        traffic(99, "latency_ms", [1000.0] * 19 + [20_000.0])
        traffic(99, "cost_usd", [0.25, 0.5, None])
        assert read("agg: latency_p95")[V7]["s"] == pytest.approx(1000, rel=0.3)
        assert read("agg: cost_sum")[V7]["s"] == pytest.approx(0.75)

    def test_counts_exchanges_whether_or_not_their_latency_is_known(
        self, read: Callable[..., dict[Group, SignalValues]], traffic: Traffic
    ) -> None:
        traffic(99, "latency_ms", [1000.0, None, None])
        assert read("agg: count")[V7]["s"] == 3.0

    @pytest.mark.parametrize(("minute", "expected"), [(100, 2.0), (100.99, 2.0), (101, 2.0), (99, 1.0), (104.5, 1.0)])
    def test_counts_whole_minutes_before_now(
        self, read: Callable[..., dict[Group, SignalValues]], traffic: Traffic, minute: float, expected: float
    ) -> None:
        # Data of minute 98 belong to its end, 99; the window (94, 99] holds them, (99.5, 104.5] does not.
        traffic(98, "toxicity", [0.5])
        traffic(99, "toxicity", [0.5])
        assert read("metric: toxicity, agg: count", minute=minute)[V7]["s"] == expected

    def test_does_not_look_ahead(self, read: Callable[..., dict[Group, SignalValues]], traffic: Traffic) -> None:
        traffic(100, "toxicity", [0.99])
        traffic(200, "toxicity", [0.99])
        assert read("metric: toxicity, agg: max") == {}

    def test_groups_by_segment_and_merges_the_rest(
        self, read: Callable[..., dict[Group, SignalValues]], traffic: Traffic
    ) -> None:
        traffic(99, "toxicity", [0.2], model="m-1")
        traffic(99, "toxicity", [0.4], model="m-2")
        traffic(99, "toxicity", [0.8], deployment="bot-v8")
        values = read("metric: toxicity, agg: mean")
        assert values == {V7: {"s": pytest.approx(0.3)}, V8: {"s": pytest.approx(0.8)}}

    def test_sees_only_its_scope_and_project(
        self, read: Callable[..., dict[Group, SignalValues]], traffic: Traffic
    ) -> None:
        traffic(99, "toxicity", [0.2])
        traffic(99, "toxicity", [0.9], environment="test")
        traffic(99, "toxicity", [0.9], project="other")
        assert read("metric: toxicity, agg: max", scope="environment: prod") == {V7: {"s": pytest.approx(0.2)}}

    def test_always_has_the_one_group_of_a_policy_without_group_by(
        self, read: Callable[..., dict[Group, SignalValues]]
    ) -> None:
        assert read("metric: toxicity, agg: mean", group_by="") == {Group(): {"s": None}}
        assert read("metric: toxicity, agg: count", group_by="") == {Group(): {"s": 0.0}}

    @pytest.mark.parametrize("aggregation", ["mean", "p95", "max", "rate_above(0.5)"])
    def test_gives_no_data_when_nothing_could_be_assessed(
        self, read: Callable[..., dict[Group, SignalValues]], traffic: Traffic, aggregation: str
    ) -> None:
        traffic(99, "toxicity", [None, None])
        assert read(f"metric: toxicity, agg: {aggregation}") == {V7: {"s": None}}
        assert read("metric: toxicity, agg: not_assessed_ratio") == {V7: {"s": 1.0}}

    @pytest.mark.parametrize("signal", ["agg: drift_alarm", "metric: toxicity, agg: fairness_gap_low"])
    def test_gives_no_data_while_no_monitor_has_written_any(
        self, read: Callable[..., dict[Group, SignalValues]], signal: str
    ) -> None:
        assert read(signal, group_by="") == {Group(): {"s": None}}
