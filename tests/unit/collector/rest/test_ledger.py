"""``/ledger``, ``/coverage`` and ``/models``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from sqlalchemy import select

from collector.arrivals import prepare_request
from collector.dialects.normalise import normalise
from collector.dialects.span import PROMPT_BIT, RESPONSE_BIT, UNREADABLE_BIT, NormalSpan
from collector.otlp.spans import RawSpan, Rejection
from collector.price_rows import Price
from collector.rest.queries import coverage
from collector.store import store_requests
from collector.store_prices import put_prices
from custodes.db.tables import exchange, genai_event, score
from custodes.kernel.clock import HOUR_NS, MINUTE_NS, ns_to_rfc3339

Chat = Callable[..., NormalSpan]
CUT_OFF = {"gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "te'}


def get(server: Any, path: str) -> Any:
    answer = server.client("viewer").get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestLedger:
    def test_everything_that_arrived_is_accounted_for(self, server: Any, chat: Chat) -> None:
        rejected = Counter({Rejection("bot", "zero_trace_id"): 2, Rejection("search", "too_deep"): 1})
        spans = [chat(0), chat(1), chat(0)]
        request = prepare_request("default", spans, rejected, server.now_ns, server.contents)
        with server.database.write() as tx:
            store_requests(tx, [request], server.rows, server.contents)
        server.store(chat(2, service="search"))
        server.score(lambda key: {"toxicity": None if key.endswith("2") else 0.1})
        found = get(server, "ledger")
        assert found == {
            "received": 7,
            "stored": 3,
            "duplicates": 1,
            "rejected": {"too_deep": 1, "zero_trace_id": 2},
            "exchanges": 3,
            "assessed": 2,
            "not_assessed": {"no_text": 1},
            "pending": 0,
        }
        assert found["received"] == found["stored"] + found["duplicates"] + sum(found["rejected"].values())
        assert get(server, "ledger?service=search")["rejected"] == {"too_deep": 1}

    def test_a_range_counts_by_minute_of_arrival(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, age_s=9 * 3600))
        before = ns_to_rfc3339(server.now_ns)
        server.now_ns += HOUR_NS
        server.store(chat(1))
        assert get(server, f"ledger?from={ns_to_rfc3339(server.now_ns)}")["received"] == 1
        assert get(server, f"ledger?to={before}")["received"] == 0
        assert get(server, "ledger")["received"] == 2

    def test_an_empty_project_has_zeros(self, server: Any) -> None:
        found = get(server, "ledger")
        assert (found["received"], found["rejected"], found["not_assessed"]) == (0, {}, {})


class TestMinutes:
    def test_each_minute_and_service_balances_and_they_add_up_to_the_ledger(self, server: Any, chat: Chat) -> None:
        rejected = Counter({Rejection("bot", "zero_trace_id"): 2})
        spans = [chat(0), chat(1), chat(0)]
        request = prepare_request("default", spans, rejected, server.now_ns, server.contents)
        with server.database.write() as tx:
            store_requests(tx, [request], server.rows, server.contents)
        server.now_ns += 2 * MINUTE_NS
        server.store(chat(2), chat(3, service="search"), chat(1))
        rows = get(server, "ledger/minutes")["rows"]
        first, second = ns_to_rfc3339(server.now_ns), ns_to_rfc3339(server.now_ns - 2 * MINUTE_NS)
        assert [(row["minute"], row["service"], row["received"]) for row in rows] == [
            (first, "bot", 2),
            (first, "search", 1),
            (second, "bot", 5),
        ]
        total = get(server, "ledger")
        for name in ("received", "stored", "duplicates", "exchanges", "pending"):
            assert sum(row[name] for row in rows) == total[name]
        for row in rows:
            assert row["received"] == row["stored"] + row["duplicates"] + sum(row["rejected"].values())
        assert rows[2]["rejected"] == {"zero_trace_id": 2}

    def test_pages_neither_repeat_nor_leave_out(self, server: Any, chat: Chat) -> None:
        for number in range(7):
            server.store(chat(number, service=f"s{number % 3}"))
            server.now_ns += (number % 2) * MINUTE_NS
        whole = get(server, "ledger/minutes?limit=500")
        assert whole["next_cursor"] is None
        seen: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = get(server, f"ledger/minutes?limit=2{cursor and f'&cursor={cursor}'}")
            seen += page["rows"]
            cursor = page["next_cursor"]
        assert seen == whole["rows"]
        assert len(seen) > 4

    def test_it_shows_the_last_hour_and_one_service_when_asked(self, server: Any, chat: Chat) -> None:
        server.store(chat(0))
        server.now_ns += HOUR_NS + MINUTE_NS
        server.store(chat(1), chat(2, service="search"))
        assert len(get(server, "ledger/minutes")["rows"]) == 2
        assert [row["service"] for row in get(server, "ledger/minutes?service=search")["rows"]] == ["search"]
        assert len(get(server, "ledger/minutes?from=now-1d")["rows"]) == 3

    @pytest.mark.parametrize("query", ["limit=0", "limit=501", "cursor=x", "from=now&to=now-1h", "minute=3"])
    def test_a_mistake_is_400(self, local_server: Any, query: str) -> None:
        assert local_server.client("viewer").get(f"/api/v1/ledger/minutes?{query}").status_code == 400


class TestCoverage:
    WHOLE: ClassVar = {
        "gen_ai.usage.input_tokens": 1,
        "gen_ai.usage.output_tokens": 1,
    }

    def test_a_service_with_everything_needs_no_hint(self, server: Any, chat: Chat) -> None:
        server.store(replace(chat(0, attributes=self.WHOLE), cost_usd=0.1))
        assert get(server, "coverage")["rows"] == [
            {
                "service": "bot",
                "dialects": {"otel_genai": 1},
                "exchanges": 1,
                "newest_traces": None,
                "with_text_ratio": 1.0,
                "text_from_logs": 0,
                "dropped_attributes": 0,
                "unreadable": 0,
                "incomplete": 0,
                "missing_usage": 0,
                "missing_cost": 0,
                "logs_without_span": 0,
                "clock_skew_ms": 0,
                "hint": None,
                "hints": [],
            }
        ]

    @pytest.mark.parametrize(
        ("fields", "word"),
        [
            ({"prompt": None, "response": None}, "CAPTURE_MESSAGE_CONTENT"),
            ({"response": None}, "CAPTURE_MESSAGE_CONTENT"),
            ({"dropped_attributes": 7}, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
            ({"response": None, "attributes": CUT_OFF}, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
            ({"attributes": {"custodes.documents": '["fa'}}, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
            ({"complete": False}, "end every span"),
            ({}, "include_usage"),
            ({"attributes": WHOLE}, "custodes price set 'gpt'"),
        ],
    )
    def test_it_says_what_to_change_first(self, server: Any, chat: Chat, fields: dict[str, Any], word: str) -> None:
        server.store(chat(0, **fields))
        row = get(server, "coverage")["rows"][0]
        assert word in row["hint"]
        assert row["hints"][0] == row["hint"]

    def test_it_counts_per_service_within_the_range(self, server: Any, chat: Chat) -> None:
        server.store(chat(0), chat(1, response=None), chat(2, service="search"), chat(3, age_s=90000))
        rows = get(server, "coverage")["rows"]
        assert [(row["service"], row["exchanges"], row["with_text_ratio"]) for row in rows] == [
            ("bot", 2, 0.5),
            ("search", 1, 1.0),
        ]

    def test_each_service_is_looked_at_by_itself_and_the_bound_is_said(
        self, server: Any, chat: Chat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(coverage, "MAX_TRACES", 4)
        server.store(chat(0, service="quiet", age_s=3600), *[chat(number, age_s=60) for number in range(1, 6)])
        assert [
            (row["service"], row["exchanges"], row["newest_traces"]) for row in get(server, "coverage")["rows"]
        ] == [
            ("bot", 2, 2),
            ("quiet", 1, None),
        ]

    def test_no_more_than_a_bound_of_services_is_looked_at(
        self, server: Any, chat: Chat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(coverage, "MAX_SERVICES", 2)
        server.store(*[chat(number, service=name) for number, name in enumerate(["c", "", "a", "b"])])
        assert [row["service"] for row in get(server, "coverage")["rows"]] == ["", "a"]

    def test_a_price_that_is_known_by_now_is_not_asked_for(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, attributes=self.WHOLE))
        assert "custodes price set" in get(server, "coverage")["rows"][0]["hint"]
        known = Price(model="gpt", provider="", input_usd_per_mtok=1.0, output_usd_per_mtok=1.0)
        with server.database.write() as tx:
            put_prices(tx, "default", [known], actor="t", actor_role="", now_ns=server.now_ns)
        row = get(server, "coverage")["rows"][0]
        assert (row["missing_cost"], row["hint"]) == (1, None)

    @pytest.mark.parametrize("reason", ["erased", "content_unreadable"])
    def test_text_whose_key_is_gone_is_no_text_and_no_fault_of_the_client(
        self, server: Any, chat: Chat, reason: str
    ) -> None:
        server.store(chat(0, attributes=self.WHOLE))
        with server.database.write() as tx:
            number = tx.execute(select(exchange.c.span_id)).scalar_one()
            lost = {"state": "not_assessed", "reason": reason, "detector_id": 1, "scored_ns": server.now_ns}
            tx.execute(score.insert().values([{"span_id": number, "metric": m, **lost} for m in ("a", "b")]))
        row = get(server, "coverage")["rows"][0]
        assert (row["exchanges"], row["with_text_ratio"], row["text_from_logs"]) == (1, 0.0, 0)
        assert not any("CAPTURE" in hint for hint in row["hints"])

    @pytest.mark.parametrize(
        ("age_s", "skew_ms", "word"), [(-59, 60_000, "ahead"), (60, 0, None), (3601, -3_600_000, "behind")]
    )
    def test_it_estimates_the_clock(
        self, server: Any, chat: Chat, age_s: float, skew_ms: int, word: str | None
    ) -> None:
        # A chat lasts one second; those of a service whose clock is ahead end after they arrive.
        server.store(*[chat(number, age_s=age_s) for number in range(3)])
        row = get(server, "coverage")["rows"][0]
        assert row["clock_skew_ms"] == skew_ms
        assert any(f"clock is {word}" in hint for hint in row["hints"]) == (word is not None)

    def test_a_call_that_is_completed_later_does_not_accuse_the_clock(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, complete=False, response=None))
        server.now_ns += HOUR_NS
        late = chat(0, age_s=0)
        server.store(replace(late, start_ns=server.now_ns - MINUTE_NS, end_ns=server.now_ns))
        assert get(server, "coverage")["rows"][0]["clock_skew_ms"] == 0

    def test_text_that_came_as_log_events_counts(self, server: Any, chat: Chat) -> None:
        server.store(chat(0, prompt=None, response=None), chat(1, response=None))
        self.log(server, 0, 1)
        assert get(server, "coverage")["rows"][0]["with_text_ratio"] == 0.0
        self.log(server, 0, 2)
        self.log(server, 1, 2)
        row = get(server, "coverage")["rows"][0]
        assert (row["with_text_ratio"], row["text_from_logs"], row["logs_without_span"]) == (1.0, 2, 0)

    def test_messages_whose_span_never_comes_are_noticed_after_a_minute(self, server: Any) -> None:
        self.log(server, 7, 3)
        assert get(server, "coverage")["rows"] == []
        server.now_ns += 2 * MINUTE_NS
        row = get(server, "coverage")["rows"][0]
        assert (row["service"], row["exchanges"], row["with_text_ratio"]) == ("bot", 0, None)
        assert row["logs_without_span"] == 1
        assert "OTEL_TRACES_EXPORTER" in row["hint"]

    def log(self, server: Any, number: int, sides: int) -> None:
        """Store a log event of the chat with this number that has messages for ``sides``: 1 input, 2 output."""
        with server.database.write() as tx:
            tx.execute(
                genai_event.insert().values(
                    id=number * 10 + sides,
                    project_id="default",
                    trace_id=bytes.fromhex(f"{number + 1:032x}"),
                    span_id=bytes.fromhex(f"{number + 1:016x}"),
                    digest=bytes([sides]) * 16,
                    name="gen_ai.client.inference.operation.details",
                    service="bot",
                    time_ns=server.now_ns,
                    received_ns=server.now_ns,
                    sides=sides,
                    joined=True,
                    codec=0,
                    key_id=None,
                    body=b"{}",
                )
            )

    def test_the_bits_it_reads_are_the_ones_the_dialects_write(
        self, chat_span: Chat, raw_span: Callable[..., RawSpan]
    ) -> None:
        both = PROMPT_BIT | RESPONSE_BIT
        assert chat_span("a", "b").completeness & both == both
        assert chat_span("a", None).completeness & both == PROMPT_BIT
        assert chat_span(None, "b").completeness & both == RESPONSE_BIT
        assert normalise(raw_span()).completeness & (both | UNREADABLE_BIT) == 0
        assert chat_span("a", "b").completeness & UNREADABLE_BIT == 0
        assert normalise(raw_span(attributes=dict.fromkeys(map(str, range(255))))).completeness & UNREADABLE_BIT == 0
        cut = chat_span("a", None, attributes=CUT_OFF).completeness
        assert cut & (both | UNREADABLE_BIT) == PROMPT_BIT | UNREADABLE_BIT


class TestModels:
    def test_it_lists_detectors_that_have_scored(self, server: Any, chat: Chat) -> None:
        assert get(server, "models")["rows"] == []
        server.store(chat(0))
        server.score({"toxicity": 0.1})
        assert [(row["name"], row["version"]) for row in get(server, "models")["rows"]] == [
            ("toxicity/builtin", "1.0.0")
        ]
