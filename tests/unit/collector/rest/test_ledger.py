"""``/ledger``, ``/coverage`` and ``/models``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawSpan, Rejection
from collector.rest.queries.coverage import INPUT_BIT, OUTPUT_BIT, UNREADABLE_BIT
from collector.store import store_spans
from custodes.kernel.clock import HOUR_NS, ns_to_rfc3339

Chat = Callable[..., NormalSpan]
CUT_OFF = {"gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "te'}


def get(server: Any, path: str) -> Any:
    answer = server.client("viewer").get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestLedger:
    def test_everything_that_arrived_is_accounted_for(self, server: Any, chat: Chat) -> None:
        rejected = Counter({Rejection("bot", "zero_trace_id"): 2, Rejection("search", "too_deep"): 1})
        with server.database.write() as tx:
            store_spans(tx, "default", [chat(0), chat(1), chat(0)], rejected, server.now_ns, server.rows)
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


class TestCoverage:
    def test_a_service_with_everything_needs_no_hint(self, server: Any, chat: Chat) -> None:
        usage = {"gen_ai.usage.input_tokens": 1, "gen_ai.usage.output_tokens": 1}
        server.store(chat(0, attributes=usage))
        assert get(server, "coverage")["rows"] == [
            {
                "service": "bot",
                "dialects": {"otel_genai": 1},
                "exchanges": 1,
                "with_text_ratio": 1.0,
                "dropped_attributes": 0,
                "missing_usage": 0,
                "hint": None,
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
            ({}, "include_usage"),
        ],
    )
    def test_it_says_what_to_change_first(self, server: Any, chat: Chat, fields: dict[str, Any], word: str) -> None:
        server.store(chat(0, **fields))
        row = get(server, "coverage")["rows"][0]
        assert word in row["hint"]

    def test_it_counts_per_service_within_the_range(self, server: Any, chat: Chat) -> None:
        server.store(chat(0), chat(1, response=None), chat(2, service="search"), chat(3, age_s=90000))
        rows = get(server, "coverage")["rows"]
        assert [(row["service"], row["exchanges"], row["with_text_ratio"]) for row in rows] == [
            ("bot", 2, 0.5),
            ("search", 1, 1.0),
        ]

    def test_the_bits_it_reads_are_the_ones_the_dialects_write(
        self, chat_span: Chat, raw_span: Callable[..., RawSpan]
    ) -> None:
        both = INPUT_BIT | OUTPUT_BIT
        assert chat_span("a", "b").completeness & both == both
        assert chat_span("a", None).completeness & both == INPUT_BIT
        assert chat_span(None, "b").completeness & both == OUTPUT_BIT
        assert normalise(raw_span()).completeness & (both | UNREADABLE_BIT) == 0
        assert chat_span("a", "b").completeness & UNREADABLE_BIT == 0
        assert normalise(raw_span(attributes=dict.fromkeys(map(str, range(255))))).completeness & UNREADABLE_BIT == 0
        cut = chat_span("a", None, attributes=CUT_OFF).completeness
        assert cut & (both | UNREADABLE_BIT) == INPUT_BIT | UNREADABLE_BIT


class TestModels:
    def test_it_lists_detectors_that_have_scored(self, server: Any, chat: Chat) -> None:
        assert get(server, "models")["rows"] == []
        server.store(chat(0))
        server.score({"toxicity": 0.1})
        assert [(row["name"], row["version"]) for row in get(server, "models")["rows"]] == [
            ("toxicity/builtin", "1.0.0")
        ]
