"""``/overview`` and ``/timeseries``: numbers that equal those computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.span import NormalSpan
from collector.rest.overview import read_aggregation
from collector.rest.parameters import TimeRange
from collector.rest.queries.timeseries import MAX_BUCKETS, STEPS_S, bucket_starts, pick_step
from custodes.db.tables import policy_state
from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS, ns_to_rfc3339
from custodes.kernel.errors import InvalidInputError
from custodes.kernel.histogram import Histogram
from policies.rules.vocabulary import Aggregation

Chat = Callable[..., NormalSpan]
POLICY = """
apiVersion: custodes/v1
kind: Policy
id: tox
owner: a@example.org
severity: high
scope: {service: bot}
signals: {t: {metric: toxicity, agg: p95, window: 5m}}
group_by: [deployment]
when: "t > 0.8"
"""
VALUES: list[float | None] = [0.1, 0.2, 0.3, 0.9, None]


def fill(server: Any, chat: Chat) -> None:
    """Five exchanges of ``bot`` (one without text) within five minutes, and one of ``search`` an hour ago."""
    server.store(*(chat(n, age_s=30 + 60 * n) for n in range(5)), chat(5, age_s=3600, service="search"))
    by_key = {f"{n + 1:016x}": value for n, value in enumerate([*VALUES, 0.05])}
    server.score(lambda key: {"toxicity": by_key[key], "hallucination": None})


def overview(server: Any, query: str = "") -> Any:
    answer = server.client("viewer").get(f"/api/v1/overview{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestOverviewOfNothing:
    def test_it_says_so(self, server: Any) -> None:
        found = overview(server)
        assert found["summary"].startswith("No traces yet")
        assert (found["services"], found["open_incidents"], found["recent_events"]) == ([], [], [])
        assert found["last_trace_at"] is None
        counts = ("traces", "exchanges", "pending", "assessed", "not_assessed")
        assert found["totals"] == {**dict.fromkeys(counts, 0), "not_assessed_reasons": {}}

    def test_it_says_when_only_the_range_is_empty(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, age_s=7200))
        server.score({"toxicity": 0.1})
        found = overview(server, "?from=now-1h")
        assert found["summary"].startswith("No exchanges in this time range")
        assert found["last_trace_at"] == ns_to_rfc3339(server.now_ns - 7200 * 10**9)
        assert [one["status"] for one in found["services"]] == ["no_data"]

    def test_it_shows_traffic_that_waits_for_its_first_score(self, server: Any, chat: Chat) -> None:
        server.store(chat(0))
        server.now_ns += 1  # The end of a range is exclusive.
        found = overview(server)
        assert (found["totals"]["exchanges"], found["totals"]["pending"]) == (1, 1)
        assert "none scored yet" in found["summary"]
        assert [one["service"] for one in found["services"]] == ["bot"]


class TestOverview:
    def test_its_numbers_are_those_computed_by_hand(self, server: Any, chat: Chat) -> None:
        fill(server, chat)
        found = overview(server)
        assert found["totals"] == {
            "traces": 6,
            "exchanges": 6,
            "pending": 0,
            "assessed": 5,
            "not_assessed": 1,
            "not_assessed_reasons": {"no_text": 1},
        }
        bot = next(one for one in found["services"] if one["service"] == "bot")
        assert (bot["environment"], bot["deployments"], bot["models"]) == ("prod", ["gpt"], ["gpt"])
        assert (bot["exchanges"], bot["not_assessed_ratio"]) == (5, 0.2)
        # The newest exchange began 30 s ago and took one.
        assert bot["last_seen"] == ns_to_rfc3339(server.now_ns - 29 * 10**9)
        assessed = [value for value in VALUES if value is not None]
        toxicity, expected = bot["metrics"]["toxicity"], Histogram.of(assessed)
        assert toxicity["n"] == 4
        assert toxicity["mean"] == pytest.approx(sum(assessed) / 4)
        assert (toxicity["p50"], toxicity["p95"]) == (expected.quantile(0.5), expected.quantile(0.95))
        assert toxicity["rate_above_05"] == 0.25
        assert bot["metrics"]["hallucination"] == {
            "n": 0,
            "mean": None,
            "p50": None,
            "p95": None,
            "rate_above_05": None,
        }
        assert bot["metrics"]["latency_ms"]["mean"] == 1000.0

    def test_its_sparkline_holds_every_exchange_once(self, server: Any, chat: Chat) -> None:
        fill(server, chat)
        bot = next(one for one in overview(server, "?from=now-1h")["services"] if one["service"] == "bot")
        points = bot["sparkline"]
        assert sum(one["exchanges"] for one in points) == 5
        assert len(points) <= 31
        assert [one["t"] for one in points] == sorted(one["t"] for one in points)
        assert max(one["toxicity_p95"] or 0 for one in points) > 0.8
        assert {one["hallucination_p95"] for one in points} == {None}

    def test_services_come_worst_first(self, server: Any, chat: Chat) -> None:
        server.store(
            *(chat(n, service=name) for n, name in enumerate(["calm", "toxic", "silent", "firing", "waiting"]))
        )
        levels = {f"{n + 1:016x}": value for n, value in enumerate([0.1, 0.7, 0.9, 0.2, 0.3])}
        server.score(lambda key: {"toxicity": levels[key]})
        server.add_policy(POLICY.replace("service: bot", "environment: prod").replace("deployment", "service"))
        server.open_incident("i-1", group={"service": "firing"})
        with server.database.write() as tx:
            key = {"project_id": "default", "policy_id": "tox", "version": "sha256:1", "since_ns": 0, "body": b"{}"}
            for service, state in (("waiting", "pending"), ("silent", "error"), ("calm", "ok")):
                group = {"group_key": f'{{"service":"{service}"}}', "state": state}
                tx.execute(policy_state.insert().values(**key, **group))
        found = [(one["service"], one["status"]) for one in overview(server)["services"]]
        assert found == [
            ("firing", "firing"),
            ("waiting", "pending"),
            ("silent", "no_data"),
            ("toxic", "ok"),
            ("calm", "ok"),
        ]

    def test_an_incident_concerns_only_services_in_its_scope_and_group(self, server: Any, chat: Chat) -> None:
        server.store(chat(0), chat(1, service="search"))
        server.score({"toxicity": 0.5})
        server.add_policy(POLICY)
        server.open_incident("i-1", group={"deployment": "gpt"})
        found = overview(server)
        assert {one["service"]: one["open_incidents"] for one in found["services"]} == {"bot": 1, "search": 0}
        assert [one["id"] for one in found["open_incidents"]] == ["i-1"]
        assert found["summary"].startswith("bot has an open incident; 2 exchanges")

    def test_a_service_that_fell_silent_is_kept_for_a_week(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, age_s=6.9 * 86400, service="recent"), chat(1, age_s=7.1 * 86400, service="gone"))
        server.score({"toxicity": 0.5})
        assert [(one["service"], one["status"]) for one in overview(server)["services"]] == [("recent", "no_data")]

    def test_its_summary_says_when_nothing_could_raise_an_alarm(self, server: Any, chat: Chat) -> None:
        fill(server, chat)
        assert overview(server)["summary"].startswith("No policy is active")
        server.add_policy(POLICY)
        assert overview(server)["summary"] == "2 of 2 services within every policy; 6 exchanges, 83 % of them assessed."

    def test_recent_events_are_newest_first(self, server: Any) -> None:
        before = server.now_ns - HOUR_NS
        server.add_policy(POLICY, activated_ns=before)
        server.open_incident("i-1", group={}, opened_ns=before + 1, resolved_ns=before + 2, state="resolved", title="T")
        found = [(one["kind"], one["text"], one["incident_id"]) for one in overview(server)["recent_events"]]
        assert found == [
            ("incident.resolved", "T", "i-1"),
            ("incident.opened", "T", "i-1"),
            ("policy.activated", "tox", None),
        ]


def series(server: Any, query: str) -> Any:
    answer = server.client("viewer").get(f"/api/v1/timeseries?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestTimeseries:
    def test_it_holds_every_bucket_of_the_range(self, server: Any, chat: Chat) -> None:
        fill(server, chat)
        found = series(server, "metric=toxicity&agg=mean&from=now-10m&step=60&service=bot")
        assert (found["metric"], found["agg"], found["step_s"]) == ("toxicity", "mean", 60)
        assert [one["group"] for one in found["series"]] == ["all"]
        points = found["series"][0]["points"]
        assert [one["t"] for one in points] == [ns_to_rfc3339(server.now_ns - n * MINUTE_NS) for n in range(10, 0, -1)]
        assert [one["value"] for one in points] == [None] * 6 + [0.9, 0.3, 0.2, 0.1]
        assert [one["n"] for one in points] == [0] * 6 + [1, 1, 1, 1]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("metric=toxicity&agg=count", 4.0),
            ("metric=exchanges&agg=count", 5.0),
            ("metric=toxicity&agg=max", 0.9),
            ("metric=toxicity&agg=p50", Histogram.of([0.1, 0.2, 0.3, 0.9]).quantile(0.5)),
            ("metric=toxicity&agg=p99", Histogram.of([0.1, 0.2, 0.3, 0.9]).quantile(0.99)),
            ("metric=toxicity&agg=rate_above:0.5", 0.25),
            ("metric=toxicity&agg=rate_above(0.25)", 0.5),
            ("metric=toxicity&agg=not_assessed_ratio", 0.2),
            ("metric=latency_ms&agg=mean", 1000.0),
        ],
    )
    def test_every_aggregation_is_the_one_it_says(self, server: Any, chat: Chat, query: str, expected: float) -> None:
        fill(server, chat)
        points = series(server, f"{query}&service=bot&step=3600&from=now-1h")["series"][0]["points"]
        values = [one["value"] for one in points if one["n"]]
        assert values == [pytest.approx(expected)]

    def test_groups_come_with_the_most_traffic_first(self, server: Any, chat: Chat) -> None:
        fill(server, chat)
        found = series(server, "metric=exchanges&agg=count&group_by=service")
        assert [one["group"] for one in found["series"]] == ["bot", "search"]
        assert [sum(point["value"] for point in one["points"]) for one in found["series"]] == [5.0, 1.0]

    def test_it_is_empty_without_traffic(self, server: Any) -> None:
        assert series(server, "metric=toxicity&agg=p95")["series"] == []

    @pytest.mark.parametrize(
        "query",
        [
            "agg=p95",
            "metric=toxicity",
            "metric=tox&agg=p95",
            "metric=toxicity&agg=p96",
            "metric=toxicity&agg=drift_alarm",
            "metric=toxicity&agg=rate_above:x",
            "metric=exchanges&agg=p95",
            "metric=toxicity&agg=p95&step=90",
            "metric=toxicity&agg=p95&step=60&from=now-1d",
            "metric=toxicity&agg=p95&group_by=user",
            "metric=toxicity&agg=p95&from=now-400d",
        ],
    )
    def test_a_mistake_is_a_400(self, local_server: Any, query: str) -> None:
        assert local_server.client("viewer").get(f"/api/v1/timeseries?{query}").status_code == 400


class TestSteps:
    @pytest.mark.parametrize(
        ("range_ns", "step_s"), [(HOUR_NS, 60), (5 * HOUR_NS, 60), (DAY_NS, 300), (30 * DAY_NS, 10800)]
    )
    def test_the_server_picks_the_smallest_that_fits(self, range_ns: int, step_s: int) -> None:
        start_ns = 1_795_300_200_000_000_000 // (3 * HOUR_NS) * 3 * HOUR_NS
        picked = pick_step(TimeRange(start_ns, start_ns + range_ns), MAX_BUCKETS)
        assert picked == min(one for one in STEPS_S if one >= step_s)

    def test_buckets_begin_at_multiples_of_the_step(self) -> None:
        assert list(bucket_starts(range(7, 16), 300)) == [5, 10, 15]

    def test_the_longest_range_fits(self) -> None:
        step_s = pick_step(TimeRange(0, 366 * DAY_NS), MAX_BUCKETS)
        assert len(bucket_starts(range(366 * 1440), step_s)) <= MAX_BUCKETS


class TestReadAggregation:
    def test_both_ways_to_write_a_rate_are_read(self) -> None:
        assert (
            read_aggregation("rate_above:0.5") == read_aggregation("rate_above(0.5)") == Aggregation("rate_above", 0.5)
        )

    @pytest.mark.parametrize("written", ["", "p1", "rate_above", "rate_above:", "rate_above:nan", "cost_sum"])
    def test_anything_else_is_our_error(self, written: str) -> None:
        with pytest.raises(InvalidInputError):
            read_aggregation(written)
