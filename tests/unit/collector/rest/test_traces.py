"""``/traces``: the list with its filters and pages, and one trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, update

from collector.dialects.span import NormalSpan
from collector.rest.queries import trace_rows
from custodes.db.tables import trace
from custodes.kernel.clock import MINUTE_NS, SECOND_NS, ns_to_rfc3339

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
for: 2m
"""


def ids(answer: Any) -> list[int]:
    """Return the numbers of the traces in an answer, as ``chat`` was given them."""
    assert answer.status_code == 200, answer.text
    return [int(row["trace_id"], 16) - 1 for row in answer.json()["rows"]]


class TestTheList:
    def test_it_is_newest_first_and_empty_without_traces(self, server: Any, chat: Chat) -> None:
        client = server.client("viewer")
        assert client.get("/api/v1/traces").json() == {"rows": [], "next_cursor": None}
        server.store(chat(0, age_s=30), chat(1, age_s=90), chat(2, age_s=60))
        assert ids(client.get("/api/v1/traces")) == [0, 2, 1]

    def test_a_row_says_what_is_promised(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, age_s=60, resource={"custodes.deployment": "bot-v7"}))
        server.score({"toxicity": 0.25, "hallucination": None})
        row = server.client("viewer").get("/api/v1/traces").json()["rows"][0]
        assert row == {
            "trace_id": f"{1:032x}",
            "name": "chat gpt",
            "start": ns_to_rfc3339(server.now_ns - MINUTE_NS),
            "duration_ms": 1000.0,
            "service": "bot",
            "environment": "prod",
            "deployment": "bot-v7",
            "model": "gpt",
            "session_id": None,
            "user_id": None,
            "spans": 1,
            "exchanges": 1,
            "states": {"toxicity": "assessed", "hallucination": "not_assessed"},
            "scores": {"toxicity": 0.25},
            "incident_ids": [],
        }

    def test_scores_are_the_highest_of_the_trace(self, server: Any, chat: Chat) -> None:
        server.store(chat(0), chat(1, trace_id=f"{1:032x}"), chat(2, trace_id=f"{1:032x}"))
        values = {f"{1:016x}": 0.1, f"{2:016x}": 0.7, f"{3:016x}": None}
        server.score(lambda key: {"toxicity": values[key]})
        row = server.client("viewer").get("/api/v1/traces").json()["rows"][0]
        assert (row["scores"], row["states"]) == ({"toxicity": 0.7}, {"toxicity": "assessed"})

    def test_what_waits_for_a_score_is_pending(self, server: Any, chat: Chat) -> None:
        server.store(chat(0))
        row = server.client("viewer").get("/api/v1/traces").json()["rows"][0]
        assert row["scores"] == {}
        assert set(row["states"].values()) == {"pending"}

    def test_a_page_of_fifty_takes_no_more_queries_than_one_of_two(self, server: Any, chat: Chat) -> None:
        server.store(*(chat(n, age_s=n) for n in range(50)))
        server.score({"toxicity": 0.5})
        server.add_policy(POLICY)
        server.open_incident("i-1", group={"deployment": "gpt"})
        client = server.client("viewer")
        client.get("/api/v1/me")  # Notes the use of the key, once a minute.
        counts = []
        for limit in (2, 50):
            statements: list[str] = []
            listener = lambda *given: statements.append(given[2])  # noqa: B023, E731
            event.listen(server.database.engine, "before_cursor_execute", listener)
            client.get(f"/api/v1/traces?limit={limit}")
            event.remove(server.database.engine, "before_cursor_execute", listener)
            counts.append(len([one for one in statements if one.startswith("SELECT")]))
        assert counts[0] == counts[1] <= 6


class TestFilters:
    @pytest.fixture
    def client(self, server: Any, chat: Chat) -> Any:
        """A viewer of four scored traces: 0 mild, 1 toxic, 2 of another service without text, 3 waiting."""
        server.store(
            chat(0, age_s=400, attributes={"session.id": "s-1", "user.id": "ann"}),
            chat(1, age_s=300, attributes={"gen_ai.request.model": "gpt-9", "session.id": "S%_2"}),
            chat(2, age_s=200, service="Search", name="find papers"),
        )
        values: dict[str, float | None] = {f"{1:016x}": 0.2, f"{2:016x}": 0.9, f"{3:016x}": None}
        server.score(lambda key: {"toxicity": values[key]})
        server.store(chat(3, age_s=100))
        return server.client("viewer")

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("service=bot", [3, 1, 0]),
            ("service=search", []),
            ("service=Search", [2]),
            ("model=gpt-9", [1]),
            ("session=s-1", [0]),
            ("user=ann", [0]),
            ("from=now-250s", [3, 2]),
            ("to=now-250s", [1, 0]),
            ("from=now-350s&to=now-150s", [2, 1]),
            ("metric=toxicity", [2, 1, 0]),
            ("metric=toxicity&min=0.2", [1, 0]),
            ("metric=toxicity&min=0.21", [1]),
            ("metric=toxicity&max=0.5", [0]),
            ("metric=toxicity&min=0.5&max=0.95&service=bot", [1]),
            ("metric=hallucination", []),
            ("metric=toxicity&state=assessed", [1, 0]),
            ("metric=toxicity&state=not_assessed", [2]),
            ("metric=toxicity&state=pending", [3]),
            ("state=assessed", [1, 0]),
            ("state=not_assessed", [2]),
            ("state=pending", [3]),
            ("q=sear", [2]),
            ("q=PAPERS", [2]),
            ("q=ann", [0]),
            ("q=s%25_2", [1]),
            ("q=%25", [1]),
            ("q=_2", [1]),
            ("q=00000000000000000000000000000003", [2]),
            ("q=0003", [2]),
            ("q=hello", []),
            ("q=none+of+them", []),
        ],
    )
    def test_each_selects_what_it_says(self, client: Any, query: str, expected: list[int]) -> None:
        assert ids(client.get(f"/api/v1/traces?{query}")) == expected

    @pytest.mark.parametrize(("query", "expected"), [("min=0.2", [1, 0]), ("min=0.21", [1]), ("max=0.1", [])])
    def test_scores_are_found_the_same_where_many_match(
        self, client: Any, query: str, expected: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(trace_rows, "_FEW_SCORES", 0)
        assert ids(client.get(f"/api/v1/traces?metric=toxicity&{query}")) == expected

    def test_a_service_is_found_inside_a_trace_that_began_elsewhere(self, server: Any, chat: Chat) -> None:
        shared = f"{77:032x}"
        server.store(
            chat(
                0,
                service="gateway",
                trace_id=shared,
                prompt=None,
                response=None,
                attributes={"gen_ai.operation.name": "x"},
            ),
            chat(1, service="bot", trace_id=shared, parent_span_id=f"{1:016x}", age_s=59),
        )
        with server.database.write() as tx:
            tx.execute(update(trace).values(service="gateway"))
        client = server.client("viewer")
        for service in ("gateway", "bot"):
            assert len(client.get(f"/api/v1/traces?service={service}").json()["rows"]) == 1

    @pytest.mark.parametrize(
        ("query", "named"),
        [
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("limit=x", "limit"),
            ("min=0.5", "metric"),
            ("metric=toxicity&min=1.5", "min"),
            ("metric=toxicity&max=nan", "max"),
            ("metric=tox", "metric"),
            ("state=done", "state"),
            ("from=yesterday", "from"),
            ("from=now&to=now-1h", "from"),
            ("cursor=x", "cursor"),
            ("q=", "q"),
            ("service=" + "x" * 300, "service"),
            ("sevice=bot", "sevice"),
        ],
    )
    def test_a_mistake_is_a_400_that_names_the_parameter(self, local_server: Any, query: str, named: str) -> None:
        answer = local_server.client("viewer").get(f"/api/v1/traces?{query}")
        assert answer.status_code == 400
        assert named in answer.json()["detail"]

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(q=st.text(min_size=1, max_size=20))
    def test_any_text_is_searched_for_or_refused(self, local_server: Any, q: str) -> None:
        key = getattr(local_server, "viewer", None) or local_server.client("viewer")
        local_server.viewer = key
        assert key.get("/api/v1/traces", params={"q": q}).status_code in (200, 400)


class TestPages:
    def read_all(self, client: Any, limit: int, between: Callable[[], None] = lambda: None) -> list[int]:
        found: list[int] = []
        cursor = None
        while True:
            answer = client.get("/api/v1/traces", params={"limit": limit} | ({"cursor": cursor} if cursor else {}))
            found += ids(answer)
            cursor = answer.json()["next_cursor"]
            if cursor is None:
                return found
            between()

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
    def test_together_they_are_the_list_although_times_repeat(self, server: Any, chat: Chat, limit: int) -> None:
        server.store(*(chat(n, age_s=60 - n // 3) for n in range(7)))
        client = server.client("viewer")
        whole = ids(client.get("/api/v1/traces"))
        assert sorted(whole) == list(range(7))
        assert self.read_all(client, limit) == whole

    def test_traces_that_arrive_meanwhile_neither_repeat_nor_hide_others(self, server: Any, chat: Chat) -> None:
        server.store(*(chat(n, age_s=60 + n) for n in range(6)))
        fresh = iter(range(100, 200))
        found = self.read_all(server.client("viewer"), 2, lambda: server.store(chat(next(fresh), age_s=10)))
        assert found == list(range(6))


class TestIncidentIds:
    def incident_ids(self, server: Any) -> dict[int, list[str]]:
        rows = server.client("viewer").get("/api/v1/traces").json()["rows"]
        return {int(row["trace_id"], 16) - 1: row["incident_ids"] for row in rows}

    def test_they_follow_scope_group_and_time(self, server: Any, chat: Chat) -> None:
        in_group = {"custodes.deployment": "v7"}
        server.store(
            chat(0, age_s=60, resource=in_group),
            chat(1, age_s=60, resource={"custodes.deployment": "v6"}),
            chat(2, age_s=60, service="search", resource=in_group),
            chat(3, age_s=10 * 60 + 300, resource=in_group),
            chat(4, age_s=10 * 60 + 500, resource=in_group),
        )
        server.add_policy(POLICY)
        opened_ns = server.now_ns - 10 * MINUTE_NS
        server.open_incident("i-1", group={"deployment": "v7"}, opened_ns=opened_ns)
        # Trace 3 lies inside the 5 minutes of window and 2 of "for" before the opening; trace 4 does not.
        assert self.incident_ids(server) == {0: ["i-1"], 1: [], 2: [], 3: ["i-1"], 4: []}

    def test_they_end_with_the_resolution(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, age_s=60), chat(1, age_s=300))
        server.add_policy(POLICY)
        resolved_ns = server.now_ns - 200 * SECOND_NS
        server.open_incident(
            "i-1", group={}, opened_ns=resolved_ns - 60 * SECOND_NS, resolved_ns=resolved_ns, state="resolved"
        )
        assert self.incident_ids(server) == {0: [], 1: ["i-1"]}

    def test_one_trace_says_the_same_as_the_list(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, age_s=60))
        server.add_policy(POLICY)
        server.open_incident("i-1", group={"deployment": "gpt"})
        assert self.incident_ids(server) == {0: ["i-1"]}
        assert server.client("viewer").get(f"/api/v1/traces/{1:032x}").json()["incident_ids"] == ["i-1"]


class TestOneTrace:
    SECRET = "the customer's secret"

    def store(self, server: Any, chat: Chat) -> str:
        attributes = {
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.response.finish_reasons": ["stop"],
            "note": self.SECRET,
            "nested": {"deep": [self.SECRET]},
            "gen_ai.request.model": "gpt",
            "custodes.long": self.SECRET * 20,
        }
        server.store(
            chat(
                0, prompt=self.SECRET, response=self.SECRET, attributes=attributes, status=2, status_message=self.SECRET
            )
        )
        server.score({"toxicity": 0.4, "hallucination": None})
        return f"{1:032x}"

    def test_it_has_every_promised_field_of_a_span(self, server: Any, chat: Chat) -> None:
        span = server.client("viewer").get(f"/api/v1/traces/{self.store(server, chat)}").json()["spans"][0]
        promised = (
            "span_id parent_span_id name operation kind start end duration_ms status service environment provider "
            "model deployment input_messages output_messages retrieved_documents input_tokens output_tokens cost_usd "
            "session_id user_id finish_reasons ttft_ms dialect complete dropped_attributes attributes"
        )
        assert set(promised.split()) <= set(span)
        assert (span["operation"], span["kind"], span["status"]) == ("chat", "client", "error")
        assert (span["input_tokens"], span["output_tokens"], span["finish_reasons"]) == (7, 5, ["stop"])

    def test_it_shows_that_content_was_erased(self, server: Any, chat: Chat) -> None:
        mates = {"trace_id": f"{1:032x}"}
        server.store(chat(0, attributes={"user.id": "ann"}), chat(1, attributes={"user.id": "bob"}, age_s=1, **mates))
        with server.database.write() as tx:
            assert server.contents.destroy_subject_keys(tx, "default", "ann") == 1
        spans = server.dev_client().get(f"/api/v1/traces/{1:032x}").json()["spans"]
        assert [one["content_problem"] for one in spans] == ["erased", None]
        assert [one["input_messages"] == [] for one in spans] == [True, False]

    @pytest.mark.parametrize("role", ["viewer", "analyst", "admin", "auditor"])
    def test_no_key_gets_captured_text(self, server: Any, chat: Chat, role: str) -> None:
        answer = server.client(role).get(f"/api/v1/traces/{self.store(server, chat)}")
        found = answer.json()
        assert self.SECRET not in answer.text
        assert found["text_visible"] is False
        span, exchange = found["spans"][0], found["exchanges"][0]
        assert [span[one] for one in ("input_messages", "output_messages", "retrieved_documents")] == [None] * 3
        assert [exchange[one] for one in ("prompt", "response", "contexts")] == [None] * 3
        assert span["attributes"]["gen_ai.request.model"] == "gpt"

    def test_the_developer_on_this_machine_does(self, server: Any, chat: Chat) -> None:
        found = server.dev_client().get(f"/api/v1/traces/{self.store(server, chat)}").json()
        assert found["text_visible"] is True
        text = {"type": "text", "content": self.SECRET}
        assert found["spans"][0]["input_messages"] == [{"role": "user", "parts": [text]}]
        assert found["spans"][0]["attributes"]["note"] == self.SECRET
        assert (found["exchanges"][0]["prompt"], found["exchanges"][0]["response"]) == (self.SECRET, self.SECRET)

    def test_its_scores_name_their_maker(self, server: Any, chat: Chat) -> None:
        found = server.client("viewer").get(f"/api/v1/traces/{self.store(server, chat)}").json()["exchanges"][0]
        assert (found["id"], found["state"]) == (f"{1:032x}{1:016x}", "partial")
        score = found["scores"]["toxicity"]
        assert (score["value"], score["state"], score["labels"], score["spans"]) == (
            0.4,
            "assessed",
            {"insult": 0.4},
            [],
        )
        assert score["detector"] == {"name": "toxicity/builtin", "version": "1.0.0", "digest": "sha256:" + "0" * 64}
        missing = found["scores"]["hallucination"]
        assert (missing["value"], missing["state"], missing["reason"]) == (None, "not_assessed", "no_text")

    def test_spans_come_in_the_order_they_began(self, server: Any, chat: Chat) -> None:
        shared = f"{1:032x}"
        server.store(chat(0, age_s=10, trace_id=shared), chat(1, age_s=30, trace_id=shared))
        spans = server.client("viewer").get(f"/api/v1/traces/{shared}").json()["spans"]
        assert [one["span_id"] for one in spans] == [f"{2:016x}", f"{1:016x}"]

    @pytest.mark.parametrize(("trace_id", "status"), [("1" * 32, 404), ("0" * 32, 400), ("xyz", 400), ("1" * 31, 400)])
    def test_what_is_not_there_is_said(self, local_server: Any, trace_id: str, status: int) -> None:
        assert local_server.client("viewer").get(f"/api/v1/traces/{trace_id}").status_code == status
