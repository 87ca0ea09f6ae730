"""OpenTelemetry GenAI: current names, older names, and values in every form they take."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawEvent, RawSpan

MESSAGES = [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Callable[..., NormalSpan]:
    """Normalise a span with these ``gen_ai`` attributes (dots as double underscores)."""

    def run(events: list[RawEvent] | None = None, **attributes: Any) -> NormalSpan:
        named = {f"gen_ai.{key.replace('__', '.')}": value for key, value in attributes.items()}
        return normalise(raw_span(attributes=named, events=events or []))

    return run


Read = Callable[..., NormalSpan]


class TestOperation:
    @pytest.mark.parametrize(
        ("name", "operation", "is_exchange"),
        [
            ("chat", "chat", True),
            ("generate_content", "generate_content", True),
            ("text_completion", "text_completion", True),
            ("chat.completions", "chat", True),
            ("embeddings", "embeddings", False),
            ("invoke_agent", "invoke_agent", False),
            ("execute_tool", "execute_tool", False),
            ("agent_step", "span", False),
            ("framework", "span", False),
            ("CHAT", "chat", True),
            ("RETRIEVER", "retrieval", False),
            ("CHAIN", "span", False),
            ("guardrail.run", "apply_guardrail", False),
        ],
    )
    def test_it_is_a_conventional_name_or_span(self, read: Read, name: str, operation: str, is_exchange: bool) -> None:
        span = read(operation__name=name)
        assert (span.operation, span.is_exchange) == (operation, is_exchange)
        assert span.attributes["gen_ai.operation.name"] == name

    def test_a_call_that_only_names_a_model_is_a_chat(self, read: Read) -> None:
        assert read(system="openai", request__model="gpt").operation == "chat"
        assert read(system="openai").operation == "span"


class TestMessages:
    @pytest.mark.parametrize("form", [lambda value: value, json.dumps])
    def test_they_may_be_structured_or_json_text(self, read: Read, form: Callable[[Any], Any]) -> None:
        span = read(operation__name="chat", input__messages=form(MESSAGES), output__messages=form("hi"))
        assert span.input_messages == MESSAGES
        assert span.output_messages == [{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}]
        assert "gen_ai.input.messages" not in span.attributes

    def test_instructions_stand_first_unless_the_messages_have_their_own(self, read: Read) -> None:
        told = '[{"type": "text", "content": "Be kind."}]'
        assert read(input__messages=MESSAGES, system_instructions=told).input_messages[0]["role"] == "system"
        own = [{"role": "system", "content": "Be brief."}, *MESSAGES]
        roles = [one["role"] for one in read(input__messages=own, system_instructions=told).input_messages]
        assert roles == ["system", "user"]

    @pytest.mark.parametrize(
        ("name", "side"),
        [("input__messages", "prompt"), ("output__messages", "response"), ("system_instructions", "prompt")],
    )
    def test_cut_off_by_the_sdk_they_are_unreadable(self, read: Read, name: str, side: str) -> None:
        cut = json.dumps(MESSAGES)[:-9]
        span = read(operation__name="chat", **{name: cut})
        (message,) = span.input_messages + span.output_messages
        assert message["parts"] == [{"type": "unreadable", "content": cut}]
        assert extract_exchange(span.input_messages, span.output_messages, []).unreadable == {side}


class TestFields:
    def test_the_answering_model_wins_over_the_one_asked_for(self, read: Read) -> None:
        span = read(request__model="gpt", response__model="gpt-2026-01")
        assert (span.model, span.deployment) == ("gpt-2026-01", "gpt")

    @pytest.mark.parametrize("provider", [{"provider__name": "openai"}, {"system": "openai"}])
    @pytest.mark.parametrize(
        "usage",
        [
            {"usage__input_tokens": 25, "usage__output_tokens": 12},
            {"usage__prompt_tokens": 25, "usage__completion_tokens": 12},
            {"usage__input_tokens": "25", "usage__output_tokens": 12.0},
            {"usage__input_tokens": 25, "usage__prompt_tokens": 9, "usage__output_tokens": 12},
        ],
    )
    def test_older_names_are_read_too(self, read: Read, provider: dict[str, Any], usage: dict[str, Any]) -> None:
        span = read(operation__name="chat", **provider, **usage)
        assert (span.provider, span.input_tokens, span.output_tokens) == ("openai", 25, 12)

    @pytest.mark.parametrize("value", [-1, "many", float("nan"), float("inf"), True, [1], 2**60])
    def test_an_unusable_count_is_unknown(self, read: Read, value: Any) -> None:
        span = read(operation__name="chat", usage__input_tokens=value, usage__cost=value)
        assert (span.input_tokens, span.cost_usd) == (None, None)

    def test_a_cost_of_nothing_is_an_unknown_one(self, read: Read) -> None:
        assert read(operation__name="chat", usage__cost=0, usage__input_tokens=3).cost_usd is None

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (["stop"], ["stop"]),
            ('["stop", "length"]', ["stop", "length"]),
            ("stop, length", ["stop", "length"]),
            ("stop", ["stop"]),
            ('"stop"', ["stop"]),
            ([], []),
            (5, []),
        ],
    )
    def test_finish_reasons_are_read_in_every_form(self, read: Read, value: Any, expected: list[str]) -> None:
        assert read(operation__name="chat", response__finish_reasons=value).finish_reasons == expected

    def test_a_single_finish_reason_is_read_where_there_is_no_list(self, read: Read) -> None:
        assert read(operation__name="chat", response__finish_reason="stop").finish_reasons == ["stop"]
        both = {"response__finish_reason": "stop", "response__finish_reasons": ["length"]}
        assert read(operation__name="chat", **both).finish_reasons == ["length"]

    def test_a_finish_reason_on_the_message_is_the_fallback(self, read: Read) -> None:
        output = [{"role": "assistant", "parts": [], "finish_reason": "stop"}]
        assert read(operation__name="chat", output__messages=output).finish_reasons == ["stop"]

    def test_session_user_and_cost_are_read(self, read: Read) -> None:
        span = read(operation__name="chat", conversation__id="s-1", user="u-1", usage__cost=0.25)
        assert (span.session_id, span.user_id, span.cost_usd) == ("s-1", "u-1", 0.25)

    def test_time_to_first_token_is_milliseconds_whatever_it_came_as(self, read: Read, now_ns: int) -> None:
        assert read(operation__name="chat", response__time_to_first_chunk=0.25).ttft_ms == 250.0
        assert read(operation__name="chat", client__operation__time_to_first_chunk=0.25).ttft_ms == 250.0
        start = now_ns - 2_000_000_000
        chunks = [RawEvent("gen_ai.content.completion.chunk", start + ms * 1_000_000, {}) for ms in (90, 30, 60)]
        span = read(events=chunks, operation__name="chat")
        assert span.ttft_ms == 30.0
        assert span.events == []


class TestAgents:
    def test_repeated_usage_of_an_agent_stays_in_its_attributes(self, read: Read) -> None:
        span = read(operation__name="invoke_agent", usage__input_tokens=25, usage__output_tokens=12, usage__cost=1.0)
        assert (span.input_tokens, span.output_tokens, span.cost_usd) == (None, None, None)
        assert span.attributes["gen_ai.usage.input_tokens"] == 25

    def test_retrieved_documents_are_read(self, read: Read) -> None:
        span = read(operation__name="retrieval", retrieval__documents=[{"id": "d1", "score": 0.5}])
        assert span.retrieved_documents == [{"id": "d1", "content": None, "score": 0.5}]
