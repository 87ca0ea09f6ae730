"""VoltAgent: bodies built from the source of @voltagent/core 2.10."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawSpan

Read = Callable[..., NormalSpan]


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span with these attributes."""

    def run(attributes: dict[str, Any], scope: str = "@voltagent/core") -> NormalSpan:
        return normalise(raw_span(scope=scope, attributes=attributes))

    return run


class TestOperation:
    @pytest.mark.parametrize(
        ("kind", "operation"),
        [
            ("llm", "span"),
            ("tool", "execute_tool"),
            ("memory", "span"),
            ("retriever", "retrieval"),
            ("agent", "invoke_agent"),
        ],
    )
    def test_the_kind_of_the_span_goes_before_that_of_its_agent(self, read: Read, kind: str, operation: str) -> None:
        span = read({"span.type": kind, "entity.type": "agent"})
        assert (span.operation, span.dialect) == (operation, "voltagent")

    def test_a_model_s_span_is_a_call_only_where_it_has_an_answer(self, read: Read) -> None:
        attributes = {"span.type": "llm", "llm.model": "gpt", "llm.usage.prompt_tokens": 25}
        assert read(attributes).is_exchange is False
        span = read({**attributes, "output": "Opening hours"})
        assert (span.is_exchange, span.input_tokens) == (True, 25)


class TestAgent:
    def test_everything_it_says_is_read(self, read: Read) -> None:
        attributes = {
            "entity.type": "agent",
            "voltagent.operation_id": "o",
            "voltagent.conversation_id": "s-1",
            "user.id": "u-1",
            "ai.model.name": "gpt",
            "ai.response.finish_reason": "stop",
            "usage.prompt_tokens": 25,
            "usage.completion_tokens": 12,
            "usage.cost": 0.5,
            "agent.messages": json.dumps([{"role": "user", "content": [{"type": "text", "text": "hello"}]}]),
            "agent.messages.ui": "hello",
            "agent.stateSnapshot": "hello",
            "output": '{"answer": 42}',
        }
        span = read(attributes, scope="renamed")
        assert (span.operation, span.is_exchange, span.dialect, span.model) == ("chat", True, "voltagent", "gpt")
        assert (span.input_tokens, span.output_tokens, span.cost_usd) == (25, 12, 0.5)
        assert (span.session_id, span.user_id, span.finish_reasons) == ("s-1", "u-1", ["stop"])
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", '{"answer": 42}')
        assert "hello" not in json.dumps(span.attributes)


class TestTool:
    def test_what_it_got_and_gave_is_no_answer_of_a_model(self, read: Read) -> None:
        span = read({"span.type": "tool", "entity.type": "agent", "input": '{"place": "here"}', "output": "found"})
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == (None, None)
        assert [one["role"] for one in span.input_messages + span.output_messages] == ["tool", "tool"]


class TestRetriever:
    def test_what_it_gives_is_documents(self, read: Read) -> None:
        span = read({"span.type": "retriever", "input": "weather", "output": '[{"id": "d1", "content": "sunny"}]'})
        assert span.retrieved_documents == [{"id": "d1", "content": "sunny", "score": None}]
        assert span.output_messages == []
