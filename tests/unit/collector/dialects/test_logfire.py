"""Logfire: two spans of a streamed call, and version 1 of its format.

Beside the recordings of logfire 5.2.0, bodies of version 1 are built after the source of logfire-sdk 5.4.0.
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

Read = Callable[..., NormalSpan]
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt", "logfire.span_type": "span"}


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span of Logfire's OpenAI instrumentation."""

    def run(attributes: dict[str, Any], scope: str = "logfire.openai", **fields: Any) -> NormalSpan:
        return normalise(raw_span(scope=scope, attributes={**CALL, **attributes}, **fields))

    return run


class TestStream:
    def test_the_span_that_opens_a_stream_is_no_exchange(self, read: Read) -> None:
        span = read({"gen_ai.response.model": "gpt", "request_data": '{"model": "gpt"}'})
        assert (span.operation, span.is_exchange, span.dialect) == ("span", False, "logfire")

    def test_a_pending_span_is_none_either(self, read: Read) -> None:
        assert not read({"logfire.span_type": "pending_span", "gen_ai.response.id": "x"}).is_exchange

    @pytest.mark.parametrize(
        "attributes",
        [
            {"logfire.span_type": "log", "duration": 0.5},
            {"gen_ai.output.messages": "[]"},
            {"gen_ai.response.id": "chatcmpl-1"},
            {"gen_ai.usage.output_tokens": 0},
            {"response_data": "{}"},
            {"gen_ai.operation.name": "embeddings"},
        ],
    )
    def test_a_span_with_an_answer_or_of_another_kind_is_what_it_says(self, read: Read, attributes: Any) -> None:
        assert read(attributes).operation == attributes.get("gen_ai.operation.name", "chat")

    def test_a_failed_call_is_an_exchange_without_an_answer(self, read: Read) -> None:
        assert read({}, status=2).is_exchange

    def test_instrumentations_that_run_beside_it_are_their_own(self, read: Read) -> None:
        span = read({}, scope="pydantic-ai")
        assert (span.dialect, span.is_exchange) == ("pydantic_ai", True)


class TestVersionOne:
    @pytest.mark.parametrize(
        ("response", "reasons"),
        [
            ({"message": {"role": "assistant", "content": "hi"}, "usage": {"prompt_tokens": 3}}, []),
            ({"combined_chunk_content": "hi", "chunk_count": 3}, []),
            ({"text": "hi", "finish_reason": "stop", "usage": None}, ["stop"]),
        ],
    )
    def test_request_and_response_are_read_as_the_api_has_them(
        self, read: Read, response: Any, reasons: list[str]
    ) -> None:
        request = {"model": "gpt", "messages": [{"role": "user", "content": "hello"}], "stream": False}
        span = read({"request_data": json.dumps(request), "response_data": json.dumps(response)})
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response, span.finish_reasons) == ("hello", "hi", reasons)
        assert not {"request_data", "response_data"} & set(span.attributes)

    def test_the_current_format_leaves_no_message_in_the_request(self, read: Read) -> None:
        span = read({"request_data": '{"model": "gpt"}', "gen_ai.response.id": "x"})
        assert span.input_messages == []

    def test_events_of_a_response_are_split_before_the_answer(self, read: Read) -> None:
        events = [
            {"event.name": "gen_ai.system.message", "content": "Be kind.", "role": "system"},
            {"event.name": "gen_ai.user.message", "content": "first", "role": "user"},
            {"event.name": "gen_ai.assistant.message", "content": "yes?", "role": "assistant"},
            {"event.name": "gen_ai.user.message", "content": "hello", "role": "user"},
            {"event.name": "gen_ai.assistant.message", "content": "hi", "role": "assistant"},
        ]
        span = read({"events": json.dumps(events)}, scope="logfire.openai_agents")
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
        assert [one["role"] for one in span.input_messages] == ["system", "user", "assistant", "user"]


class TestScrubbed:
    def test_scrubbed_text_is_no_text(self, read: Read) -> None:
        said = [{"role": "assistant", "parts": [{"type": "text", "content": "[Scrubbed due to 'password']"}]}]
        span = read({"gen_ai.output.messages": json.dumps(said), "gen_ai.input.messages": "[Scrubbed due to 'auth']"})
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response, texts.unreadable) == (None, None, frozenset())

    def test_finish_reasons_are_a_json_text(self, read: Read) -> None:
        assert read({"gen_ai.response.finish_reasons": '["stop"]'}, status=2).finish_reasons == ["stop"]
