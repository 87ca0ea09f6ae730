"""Spring AI: bodies built from the observability chapter of its reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawEvent, RawSpan

Read = Callable[..., NormalSpan]
SCOPE = "org.springframework.boot"


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span of Spring's with these attributes."""

    def run(attributes: dict[str, Any], events: list[RawEvent] | None = None) -> NormalSpan:
        return normalise(raw_span(scope=SCOPE, attributes=attributes, events=events or []))

    return run


class TestOperation:
    @pytest.mark.parametrize("kind", ["chat_client", "advisor"])
    def test_what_is_around_a_call_is_none(self, read: Read, kind: str) -> None:
        attributes = {
            "spring.ai.kind": kind,
            "gen_ai.operation.name": "framework",
            "gen_ai.system": "spring_ai",
            "gen_ai.request.model": "gpt",
            "gen_ai.usage.input_tokens": 25,
            "spring.ai.chat.client.conversation.id": "s-1",
        }
        span = read(attributes)
        assert (span.operation, span.is_exchange, span.input_tokens) == ("span", False, None)
        assert (span.session_id, span.dialect) == ("s-1", "spring_ai")

    def test_a_tool_is_a_tool(self, read: Read) -> None:
        span = read({"spring.ai.kind": "tool_call", "gen_ai.operation.name": "framework"})
        assert (span.operation, span.is_exchange) == ("execute_tool", False)

    def test_the_call_itself_is_one(self, read: Read) -> None:
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt",
            "gen_ai.response.finish_reasons": '["STOP"]',
            "gen_ai.usage.input_tokens": "25",
            "gen_ai.usage.output_tokens": "12",
        }
        span = read(attributes)
        assert (span.operation, span.provider, span.dialect) == ("chat", "openai", "spring_ai")
        assert (span.input_tokens, span.output_tokens, span.finish_reasons) == (25, 12, ["STOP"])

    @pytest.mark.parametrize(("name", "operation"), [("query", "retrieval"), ("add", "span"), ("delete", "span")])
    def test_a_vector_store_retrieves_when_it_is_asked(self, read: Read, name: str, operation: str) -> None:
        attributes = {
            "spring.ai.kind": "vector_store",
            "db.operation.name": name,
            "spring.ai.vectorstore.query.response.documents": '["sunny", "rainy"]',
        }
        span = read(attributes)
        assert span.operation == operation
        assert [one["content"] for one in span.retrieved_documents] == ["sunny", "rainy"]


class TestText:
    @pytest.mark.parametrize("form", ['["hello"]', "hello"])
    def test_before_1_0_it_was_on_the_span(self, read: Read, form: str) -> None:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.prompt": form, "gen_ai.completion": '["hi"]'}
        span = read(attributes)
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
        assert "gen_ai.prompt" not in span.attributes

    def test_or_on_events(self, read: Read) -> None:
        events = [
            RawEvent("gen_ai.content.prompt", 0, {"gen_ai.prompt": "hello"}),
            RawEvent("gen_ai.content.completion", 0, {"gen_ai.completion": "hi"}),
        ]
        span = read({"gen_ai.operation.name": "chat", "gen_ai.system": "openai"}, events)
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
