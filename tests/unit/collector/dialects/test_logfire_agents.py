"""Logfire's instrumentation of the OpenAI Agents SDK: what went in, what came out, and what kind of step it was.

Attributes as logfire-sdk 5.4.0 sends them for openai-agents 0.24.0.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawSpan

Read = Callable[[dict[str, Any]], NormalSpan]
QUESTION = "When does the warehouse open?"
ANSWER = "The warehouse opens at nine."
ASKED = [{"content": "You are a helpful assistant.", "role": "system"}, {"role": "user", "content": QUESTION}]
ANSWERED = [{"content": ANSWER, "refusal": None, "role": "assistant", "annotations": None, "tool_calls": None}]
COMPLETION = {
    "logfire.msg_template": "Chat completion with {gen_ai.request.model!r}",
    "logfire.span_type": "span",
    "input": json.dumps(ASKED),
    "output": json.dumps(ANSWERED),
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini",
    "request_data": json.dumps({"messages": ASKED + ANSWERED, "model": "gpt-4o-mini"}),
    "gen_ai.usage.input_tokens": 21,
    "gen_ai.usage.output_tokens": 7,
}


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span of this instrumentation with these attributes."""
    return lambda attributes: normalise(raw_span(scope="logfire.openai_agents", attributes=attributes))


class TestCompletion:
    def test_the_answer_is_no_part_of_what_was_asked(self, read: Read) -> None:
        span = read(COMPLETION)
        text = extract_exchange(span.input_messages, span.output_messages, [])
        assert (text.prompt, text.response) == (QUESTION, ANSWER)
        assert [message["role"] for message in span.input_messages] == ["system", "user"]
        assert (span.operation, span.is_exchange, span.dialect) == ("chat", True, "logfire")
        assert (span.model, span.input_tokens, span.output_tokens) == ("gpt-4o-mini", 21, 7)

    def test_its_text_is_not_kept_a_second_time(self, read: Read) -> None:
        assert ANSWER not in json.dumps(read(COMPLETION).attributes)

    def test_a_tool_call_is_the_answer(self, read: Read) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "look_up_hours", "arguments": "{}"}}
        answer = [{"content": None, "role": "assistant", "tool_calls": [call]}]
        span = read({**COMPLETION, "output": json.dumps(answer)})
        assert [part["type"] for message in span.output_messages for part in message["parts"]] == ["tool_call"]


class TestResponses:
    def test_messages_are_those_of_the_events(self, read: Read) -> None:
        events = [
            {"event.name": "gen_ai.user.message", "content": QUESTION, "role": "user"},
            {"event.name": "gen_ai.choice", "index": 0, "message": {"content": ANSWER, "role": "assistant"}},
        ]
        span = read(
            {
                "logfire.msg_template": "Responses API with {gen_ai.request.model!r}",
                "gen_ai.request.model": "gpt-4o-mini",
                "events": json.dumps(events),
            }
        )
        text = extract_exchange(span.input_messages, span.output_messages, [])
        assert (span.is_exchange, text.prompt, text.response) == (True, QUESTION, ANSWER)


class TestSteps:
    @pytest.mark.parametrize(
        ("template", "operation"),
        [
            ("Agent run: {name!r}", "invoke_agent"),
            ("Function: {name}", "execute_tool"),
            ("Guardrail {name!r} {triggered=}", "apply_guardrail"),
            ("OpenAI Agents trace: {name}", "invoke_workflow"),
            ("Turn {turn} for agent Helper", "span"),
            (None, "span"),
        ],
    )
    def test_their_kind_is_told_by_the_template(self, read: Read, template: Any, operation: str) -> None:
        assert read({"logfire.msg_template": template, "gen_ai.system": "openai"}).operation == operation

    def test_a_tool_s_arguments_and_result_are_its_messages(self, read: Read) -> None:
        span = read(
            {
                "logfire.msg_template": "Function: {name}",
                "name": "look_up_hours",
                "input": '{"place": "warehouse"}',
                "output": "Open from nine to five.",
            }
        )
        assert span.output_messages[0]["parts"] == [{"type": "text", "content": "Open from nine to five."}]
        assert span.input_messages

    def test_the_group_of_a_trace_is_its_session(self, read: Read) -> None:
        assert read({"logfire.msg_template": "OpenAI Agents trace: {name}", "group_id": "s-42"}).session_id == "s-42"
