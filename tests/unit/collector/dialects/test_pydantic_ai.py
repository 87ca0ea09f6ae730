"""Pydantic AI: agent runs of every version of its format, and calls of the first.

Beside the recordings of pydantic-ai-slim 2.68.0 (version 5), older versions are built after its documentation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.event_messages import split_events
from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawSpan

Read = Callable[..., NormalSpan]
CONVERSATION = [
    {"role": "user", "parts": [{"type": "text", "content": "hello"}]},
    {"role": "assistant", "parts": [{"type": "text", "content": "hi"}], "finish_reason": "stop"},
]
EVENTS = [
    {"content": "Be kind.", "role": "system", "gen_ai.message.index": 0, "event.name": "gen_ai.system.message"},
    {"content": "hello", "role": "user", "gen_ai.message.index": 0, "event.name": "gen_ai.user.message"},
    {"content": "42", "role": "tool", "id": "c", "name": "find", "event.name": "gen_ai.tool.message"},
    {"index": 0, "message": {"role": "assistant", "content": "hi"}, "event.name": "gen_ai.choice"},
]


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span of Pydantic AI's."""
    return lambda attributes: normalise(raw_span(scope="pydantic-ai", attributes=attributes))


class TestAgentRun:
    @pytest.mark.parametrize("named", [{"gen_ai.operation.name": "invoke_agent"}, {}])
    def test_it_is_never_an_exchange_and_counts_nothing(self, read: Read, named: dict[str, str]) -> None:
        span = read(
            {
                **named,
                "agent_name": "helper",
                "model_name": "gpt",
                "pydantic_ai.all_messages": json.dumps(CONVERSATION),
                "final_result": "hi",
                "gen_ai.aggregated_usage.input_tokens": 54,
                "gen_ai.usage.input_tokens": 54,
                "operation.cost": 1.0,
            }
        )
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (span.operation, span.is_exchange, span.dialect) == ("invoke_agent", False, "pydantic_ai")
        assert (texts.prompt, texts.response, span.model) == ("hello", "hi", "gpt")
        assert (span.input_tokens, span.cost_usd) == (None, None)
        assert not {"pydantic_ai.all_messages", "final_result"} & set(span.attributes)

    def test_events_of_version_one_are_read(self, read: Read) -> None:
        span = read({"agent_name": "helper", "all_messages_events": json.dumps(EVENTS)})
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (span.operation, texts.prompt, texts.response) == ("invoke_agent", "hello", "hi")


class TestCall:
    def test_events_of_version_one_are_read(self, read: Read) -> None:
        span = read({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt", "events": json.dumps(EVENTS)})
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (span.is_exchange, texts.prompt, texts.response) == (True, "hello", "hi")
        assert span.input_messages[2]["parts"][0]["response"] == "42"

    def test_text_that_was_not_included_is_no_text(self, read: Read) -> None:
        hidden = [{"role": "user", "parts": [{"type": "text"}]}]
        span = read({"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(hidden)})
        assert extract_exchange(span.input_messages, [], []).prompt is None

    def test_cost_is_read(self, read: Read) -> None:
        assert read({"gen_ai.operation.name": "chat", "operation.cost": 0.25}).cost_usd == 0.25

    def test_a_tool_of_version_two_is_a_tool(self, read: Read) -> None:
        span = read({"gen_ai.tool.name": "find", "tool_arguments": "{}", "tool_response": "42"})
        assert (span.operation, span.is_exchange) == ("execute_tool", False)


class TestSplitEvents:
    @pytest.mark.parametrize("value", [None, 5, "", "text", {}, [], [5, None], "[5]"])
    def test_without_events_there_are_no_messages(self, value: Any) -> None:
        assert split_events(value) == ([], [])

    def test_a_cut_list_is_unreadable_on_both_sides(self) -> None:
        before, after = split_events('[{"content": "hel')
        assert extract_exchange(before, after, []).unreadable == {"prompt", "response"}

    def test_the_name_of_an_event_gives_the_role_it_lacks(self) -> None:
        before, after = split_events([{"event.name": "gen_ai.user.message", "content": "hello"}, {"message": "hi"}])
        assert [(one["role"]) for one in (*before, *after)] == ["user", "assistant"]
