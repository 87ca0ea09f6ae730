"""Metrics from the bytes of a request to the answers of the API: exact figures, whatever is sent again or restarted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from collector.otlp.body import Encoding
from collector.otlp.spans import Rejection
from collector.rest.queries import metrics as queries
from collector.signals import SignalIntake
from custodes.db.tables import metric_point, metric_series
from custodes.kernel.clock import SECOND_NS
from custodes.kernel.settings import IngestSettings

FOLDER = Path(__file__).parents[3] / "data" / "otlp"
GOLDEN: dict[str, dict[str, dict[str, list[float]]]] = json.loads((FOLDER / "golden-metrics.json").read_text())
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
RECORDED = {"from": "2026-11-20T22:00:00Z", "to": "2026-11-21T02:00:00Z"}
DURATION = "gen_ai.client.operation.duration"
NEW_DURATION = "gen_ai.client.inference.duration"
USAGE = "gen_ai.client.token.usage"

Write = Callable[..., bytes]


def send(server: Any, body: bytes, headers: dict[str, str] = PROTOBUF) -> dict[str, Any] | bytes:
    answer = server.client("ingester").post("/v1/metrics", content=body, headers=headers)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] | bytes = answer.json() if headers is JSON else answer.content
    return found


def ask(server: Any, name: str = "", **query: str | int) -> Any:
    answer = server.client("viewer").get(f"/api/v1/metrics{'/' if name else ''}{name}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def totals(answer: Any) -> dict[str, tuple[int, float]]:
    """Return count and sum by group, and check that the points add up to them."""
    for one in answer["series"]:
        assert sum(point["count"] for point in one["points"]) == one["total"]["count"]
        assert sum(point["sum"] or 0 for point in one["points"]) == pytest.approx(one["total"]["sum"])
    return {",".join(one["group"].values()): (one["total"]["count"], one["total"]["sum"]) for one in answer["series"]}


def values(answer: Any) -> dict[str, float]:
    return {",".join(one["group"].values()): one["total"]["value"] for one in answer["series"]}


def usage(now_ns: int, *points: tuple[float, str, int, float], start_s: float = 600.0, **more: Any) -> dict[str, Any]:
    """Return a histogram of token usage: (age in seconds, token type, count, sum) for each point."""
    return {
        "name": more.get("name", USAGE),
        "unit": "{token}",
        "histogram": {
            "aggregationTemporality": more.get("temporality", 2),
            "dataPoints": [
                {
                    "attributes": {"gen_ai.token.type": side} if side else {"gen_ai.operation.name": "chat"},
                    "startTimeUnixNano": str(now_ns - int(start_s * SECOND_NS)),
                    "timeUnixNano": str(now_ns - int(age_s * SECOND_NS)),
                    "count": str(count),
                    "sum": total,
                    "explicitBounds": [10, 100],
                    "bucketCounts": ["0", str(count), "0"],
                }
                for age_s, side, count, total in points
            ],
        },
    }


def number(kind: str, name: str, now_ns: int, *points: tuple[float, float], **more: Any) -> dict[str, Any]:
    """Return a gauge or sum: (age in seconds, value) for each point."""
    listed = [
        {
            "attributes": more.get("attributes", {}),
            "startTimeUnixNano": str(now_ns - 600 * SECOND_NS),
            "timeUnixNano": str(now_ns - int(age_s * SECOND_NS)),
            "asDouble": value,
        }
        for age_s, value in points
    ]
    temporality = {} if kind == "gauge" else {"aggregationTemporality": 2, "isMonotonic": True}
    return {"name": name, "unit": "1", kind: {**temporality, "dataPoints": listed}}


class TestRecordedClients:
    @pytest.mark.parametrize("name", sorted(GOLDEN))
    def test_counts_and_sums_are_what_the_client_measured(self, server: Any, name: str) -> None:
        send(server, (FOLDER / f"{name}-metrics.bin").read_bytes())
        for metric, expected in GOLDEN[name].items():
            grouped = ask(server, metric, group_by="gen_ai.token.type", **RECORDED)
            assert totals(grouped) == {key: tuple(figures) for key, figures in expected.items()}

    def test_processes_of_one_service_add_up(self, server: Any) -> None:
        for name in GOLDEN:
            body = (FOLDER / f"{name}-metrics.bin").read_bytes()
            send(server, body)
            send(server, body)
        assert totals(ask(server, USAGE, group_by="gen_ai.token.type", service="lab", **RECORDED)) == {
            "input": (5, 141.0),
            "output": (4, 50.0),
        }
        first = ask(server, "gen_ai.client.operation.time_to_first_chunk", **RECORDED)["series"][0]["total"]
        assert (first["count"], first["p50"], first["p95"]) == (1, *[pytest.approx(0.011114462)] * 2)
        with server.database.read() as tx:
            assert tx.execute(select(func.count()).select_from(metric_point)).scalar_one() == 13

    def test_usage_counters_of_the_new_names_are_the_sums_of_the_old_histogram(self, server: Any) -> None:
        send(server, (FOLDER / "genai-1.3b0-tools-metrics.bin").read_bytes())
        for side, expected in (("input", 75.0), ("output", 32.0)):
            counter = ask(server, f"gen_ai.client.inference.usage.{side}_tokens", **RECORDED)
            assert (counter["kind"], values(counter)) == ("sum", {"": expected})
            histogram = ask(server, f"gen_ai.client.inference.operation.{side}_tokens", **RECORDED)
            assert totals(histogram) == {"": (2, expected)}


class TestCatalogue:
    def test_it_lists_each_metric_with_where_it_comes_from(self, server: Any) -> None:
        send(server, (FOLDER / "genai-1.3b0-chat-metrics.bin").read_bytes())
        rows = ask(server)["rows"]
        assert [(one["name"], one["unit"], one["kind"]) for one in rows] == [
            (DURATION, "s", "histogram"),
            (USAGE, "{token}", "histogram"),
        ]
        assert (rows[1]["services"], rows[1]["series"]) == (["lab"], 2)
        assert "gen_ai.token.type" in rows[1]["attributes"]
        assert (rows[0]["same_as"], rows[0]["last_seen"]) == ([NEW_DURATION], "2026-11-20T22:29:33.465072Z")

    def test_it_knows_the_latest_time_whatever_the_order(self, local_server: Any, write_metrics: Write) -> None:
        for age_s in (60.0, 30.0, 90.0):
            send(local_server, write_metrics([number("gauge", "vllm:x", local_server.now_ns, (age_s, 1.0))]), JSON)
        (row,) = ask(local_server)["rows"]
        assert row["last_seen"] == ask(local_server, "vllm:x", to="now-30s")["to"]

    def test_it_holds_only_the_project_s_own(self, local_server: Any) -> None:
        send(local_server, (FOLDER / "genai-1.3b0-chat-metrics.bin").read_bytes())
        other = local_server.client("viewer", project="second")
        assert other.get("/api/v1/metrics").json()["rows"] == []
        assert other.get(f"/api/v1/metrics/{USAGE}").status_code == 404


class TestTemporality:
    def test_cumulative_points_count_by_their_differences(self, server: Any, write_metrics: Write) -> None:
        now_ns = server.now_ns
        points = [(180.0, "input", 2, 50.0), (120.0, "input", 2, 50.0), (60.0, "input", 5, 140.0)]
        for point in reversed(points):
            send(server, write_metrics([usage(now_ns, point)]), JSON)
        assert totals(ask(server, USAGE, **{"from": "now-1h"})) == {"": (5, 140.0)}
        assert totals(ask(server, USAGE, **{"from": "now-150s"})) == {"": (3, 90.0)}
        by_minute = ask(server, USAGE, step=60, **{"from": "now-180s"})["series"][0]["points"]
        assert [point["count"] for point in by_minute] == [0, 0, 3]

    def test_a_restarted_process_counts_from_zero(self, server: Any, write_metrics: Write) -> None:
        now_ns = server.now_ns
        send(server, write_metrics([usage(now_ns, (120.0, "input", 7, 70.0))]), JSON)
        send(server, write_metrics([usage(now_ns, (60.0, "input", 9, 90.0), start_s=100.0)]), JSON)
        assert totals(ask(server, USAGE)) == {"": (16, 160.0)}

    def test_processes_that_tell_nothing_of_themselves_are_told_apart_by_their_start(
        self, server: Any, write_metrics: Write
    ) -> None:
        now_ns = server.now_ns
        for age_s, count in ((180.0, 10), (120.0, 20), (60.0, 30)):
            send(server, write_metrics([usage(now_ns, (age_s, "input", count, 1.0 * count), start_s=500.0)]), JSON)
            body = write_metrics([usage(now_ns, (age_s - 1, "input", 2 * count, 2.0 * count), start_s=400.0)])
            send(server, body, JSON)
        assert totals(ask(server, USAGE)) == {"": (90, 90.0)}

    def test_what_began_before_the_range_does_not_fall_into_it(self, local_server: Any, write_metrics: Write) -> None:
        body = write_metrics([usage(local_server.now_ns, (60.0, "input", 1000, 9e9), start_s=7 * 86_400.0)])
        send(local_server, body, JSON)
        assert ask(local_server, USAGE)["series"] == []
        assert totals(ask(local_server, USAGE, **{"from": "now-8d"})) == {"": (1000, 9e9)}

    def test_delta_points_count_each(self, server: Any, write_metrics: Write) -> None:
        points = [(180.0, "input", 2, 50.0), (120.0, "input", 2, 50.0)]
        body = write_metrics([usage(server.now_ns, *points, temporality=1)])
        send(server, body, JSON)
        send(server, body, JSON)
        assert totals(ask(server, USAGE)) == {"": (4, 100.0)}

    def test_gauges_are_averaged_and_counters_grow(self, server: Any, write_metrics: Write) -> None:
        now_ns = server.now_ns
        metrics = [
            number("gauge", "vllm:num_requests_running", now_ns, (120.0, 4.0), (60.0, 2.0)),
            number("sum", "vllm:generation_tokens", now_ns, (120.0, 100.0), (60.0, 250.0)),
        ]
        send(server, write_metrics(metrics), JSON)
        running = ask(server, "vllm:num_requests_running", step=60, **{"from": "now-180s"})
        assert [point["value"] for point in running["series"][0]["points"]] == [None, 4.0, 2.0]
        assert (running["kind"], values(running)) == ("gauge", {"": 3.0})
        assert values(ask(server, "vllm:generation_tokens")) == {"": 250.0}


class TestNames:
    def test_either_name_finds_what_clients_of_both_generations_sent(self, server: Any, write_metrics: Write) -> None:
        now_ns = server.now_ns
        old = write_metrics([usage(now_ns, (60.0, "", 2, 4.0), name=DURATION)], **{"service.name": "old"})
        new = write_metrics([usage(now_ns, (60.0, "", 3, 9.0), name=NEW_DURATION)], **{"service.name": "new"})
        for body in (old, new):
            send(server, body, JSON)
        for name in (DURATION, NEW_DURATION):
            assert totals(ask(server, name, group_by="service")) == {"old": (2, 4.0), "new": (3, 9.0)}

    def test_a_process_that_sends_both_counts_once(self, server: Any, write_metrics: Write) -> None:
        now_ns = server.now_ns
        both = [usage(now_ns, (60.0, "", 2, 4.0), name=name) for name in (DURATION, NEW_DURATION)]
        send(server, write_metrics(both), JSON)
        assert totals(ask(server, DURATION)) == {"": (2, 4.0)}
        assert totals(ask(server, NEW_DURATION)) == {"": (2, 4.0)}

    def test_the_new_duration_leaves_embeddings_out(self, local_server: Any) -> None:
        send(local_server, (FOLDER / "genai-1.3b0-embeddings-metrics.bin").read_bytes())
        answer = local_server.client("viewer").get(f"/api/v1/metrics/{NEW_DURATION}", params=RECORDED)
        assert answer.status_code == 404

    def test_token_histograms_of_the_new_names_have_a_token_type(self, server: Any, write_metrics: Write) -> None:
        name = "gen_ai.client.inference.operation.input_tokens"
        send(server, write_metrics([usage(server.now_ns, (60.0, "", 2, 40.0), name=name)]), JSON)
        assert totals(ask(server, USAGE, group_by="gen_ai.token.type")) == {"input": (2, 40.0)}


class TestLimits:
    def test_series_beyond_the_limit_are_refused_and_known_ones_go_on(self, server: Any, write_metrics: Write) -> None:
        signals = SignalIntake(
            server.database, server.contents, IngestSettings(max_series=2), server.metrics, server.clock
        )

        def ingest(age_s: float, *names: str) -> Any:
            metrics = [number("gauge", f"vllm:{name}", server.now_ns, (age_s, 1.0)) for name in names]
            return signals.ingest_metrics("default", write_metrics(metrics), Encoding.JSON)

        assert ingest(60.0, "a", "b", "c").rejected == {Rejection("bot", "too_many_series"): 1}
        again = ingest(30.0, "a", "b", "c", "d")
        assert (again.accepted, again.rejected) == (2, {Rejection("bot", "too_many_series"): 2})
        with server.database.read() as tx:
            assert tx.execute(select(func.count()).select_from(metric_series)).scalar_one() == 2

    def test_attributes_are_no_place_for_texts(self, local_server: Any, write_metrics: Write) -> None:
        metric = number("gauge", "vllm:a", local_server.now_ns, (1.0, 1.0), attributes={"x": "y" * 5000})
        answer = send(local_server, write_metrics([metric]), JSON)
        assert isinstance(answer, dict)
        assert answer["partialSuccess"]["rejectedDataPoints"] == "1"
        assert "attribute_too_long" in answer["partialSuccess"]["errorMessage"]

    def test_credentials_in_attributes_are_not_kept(self, local_server: Any, write_metrics: Write) -> None:
        metric = number("gauge", "vllm:a", local_server.now_ns, (1.0, 1.0), attributes={"api_key": "s3cret"})
        send(local_server, write_metrics([metric]), JSON)
        with local_server.database.read() as tx:
            assert "s3cret" not in tx.execute(select(metric_series.c.attributes)).scalar_one()

    def test_the_outcome_is_counted(self, local_server: Any, write_metrics: Write) -> None:
        now_ns = local_server.now_ns
        metrics = [
            number("gauge", "vllm:a", now_ns, (1.0, 1.0), (1.0, 2.0)),
            number("gauge", "cpu.time", now_ns, (1.0, 1.0)),
        ]
        send(local_server, write_metrics(metrics), JSON)
        counter = local_server.metrics.metric_points
        assert [counter.labels(outcome=one)._value.get() for one in ("accepted", "duplicate", "rejected")] == [1, 1, 1]

    def test_hostile_names_are_stored(self, server: Any, write_metrics: Write) -> None:
        metric = number("gauge", "vllm:\0" + "x" * 400, server.now_ns, (1.0, 1.0), attributes={"a\0": "\0"})
        send(server, write_metrics([{**metric, "unit": "u" * 99}], **{"service.name": "\0" * 300}), JSON)
        (row,) = ask(server)["rows"]
        assert (len(row["name"]), len(row["unit"])) == (256, 64)

    def test_an_answer_is_computed_from_so_many_points_at_most(
        self, local_server: Any, write_metrics: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "MAX_POINTS", 2)
        points = [(float(age_s), 1.0) for age_s in (1, 2, 3)]
        send(local_server, write_metrics([number("gauge", "vllm:a", local_server.now_ns, *points)]), JSON)
        answer = local_server.client("viewer").get("/api/v1/metrics/vllm:a")
        assert (answer.status_code, "shorter" in answer.json()["detail"]) == (400, True)

    def test_groups_are_the_largest_fifty(self, local_server: Any, write_metrics: Write) -> None:
        now_ns = local_server.now_ns
        metrics = [number("gauge", "vllm:a", now_ns, (1.0, 1.0), attributes={"gpu": n}) for n in range(53)]
        send(local_server, write_metrics(metrics), JSON)
        answer = ask(local_server, "vllm:a", group_by="gpu")
        assert (len(answer["series"]), answer["omitted_groups"]) == (50, 3)


class TestQuestions:
    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ({"step": 1, "from": "now-1h"}, 400),
            ({"step": 0}, 400),
            ({"group_by": "a,b,c,d,e"}, 400),
            ({"from": "later"}, 400),
            ({"aggregate": "max"}, 400),
        ],
    )
    def test_a_mistake_is_named(self, local_server: Any, query: dict[str, Any], status: int) -> None:
        send(local_server, (FOLDER / "genai-1.3b0-chat-metrics.bin").read_bytes())
        assert local_server.client("viewer").get(f"/api/v1/metrics/{USAGE}", params=query).status_code == status

    def test_an_unknown_metric_is_not_found(self, local_server: Any) -> None:
        assert local_server.client("viewer").get("/api/v1/metrics/nothing").status_code == 404

    def test_buckets_lie_at_multiples_of_the_step_and_cover_the_range(self, local_server: Any) -> None:
        send(local_server, (FOLDER / "genai-1.3b0-chat-metrics.bin").read_bytes())
        answer = ask(local_server, USAGE, step=3600, **RECORDED)
        assert (answer["step_s"], [point["t"][11:16] for point in answer["series"][0]["points"]]) == (
            3600,
            ["22:00", "23:00", "00:00", "01:00"],
        )

    def test_an_ingester_may_not_read(self, local_server: Any) -> None:
        assert local_server.client("ingester").get("/api/v1/metrics").status_code == 403
