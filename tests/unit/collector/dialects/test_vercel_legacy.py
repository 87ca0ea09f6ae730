"""Vercel AI SDK up to 6: what recorded bodies (in the golden tests) do not show.

Bodies are built from the sources of ai 4.3, 5.0 and 6.0.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawEvent, RawSpan

Read = Callable[..., NormalSpan]
PROMPT = json.dumps([{"role": "user", "content": [{"type": "text", "text": "hello"}]}])


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span of this operation with these attributes below ``ai.`` (dots as double underscores)."""

    def run(operation: str, events: list[RawEvent] | None = None, **attributes: Any) -> NormalSpan:
        named = {f"ai.{key.replace('__', '.')}": value for key, value in attributes.items()}
        return normalise(raw_span(scope="ai", attributes={"ai.operationId": operation, **named}, events=events or []))

    return run


class TestOperation:
    @pytest.mark.parametrize(
        ("name", "operation", "is_exchange"),
        [
            ("ai.generateText.doGenerate", "chat", True),
            ("ai.streamText.doStream", "chat", True),
            ("ai.generateObject.doGenerate", "chat", True),
            ("ai.streamObject.doStream", "chat", True),
            ("ai.generateText", "invoke_agent", False),
            ("ai.streamText", "invoke_agent", False),
            ("ai.embed.doEmbed", "embeddings", False),
            ("ai.embedMany.doEmbed", "embeddings", False),
            ("ai.embed", "span", False),
            ("ai.embedMany", "span", False),
            ("ai.rerank.doRerank", "retrieval", False),
            ("ai.rerank", "span", False),
            ("ai.toolCall", "execute_tool", False),
            ("ai.generateSpeech", "span", False),
        ],
    )
    def test_only_what_calls_a_model_counts(self, read: Read, name: str, operation: str, is_exchange: bool) -> None:
        span = read(name, usage__inputTokens=25, usage__outputTokens=12, model__id="gpt")
        assert (span.operation, span.is_exchange, span.dialect) == (operation, is_exchange, "vercel_legacy")
        counted = operation in ("chat", "embeddings", "retrieval")
        assert (span.input_tokens, span.output_tokens) == ((25, 12) if counted else (None, None))


class TestMessages:
    def test_prompt_and_answer_are_read(self, read: Read) -> None:
        span = read("ai.generateText.doGenerate", prompt__messages=PROMPT, response__text="hi")
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
        assert not [key for key in span.attributes if key.startswith(("ai.prompt", "ai.response.text"))]

    def test_the_parent_s_prompt_has_a_system_text_of_its_own(self, read: Read) -> None:
        span = read("ai.generateText", prompt='{"system": "Be kind.", "prompt": "hello"}', response__text="hi")
        assert [one["role"] for one in span.input_messages] == ["system", "user"]

    @pytest.mark.parametrize("call", [{"args": '{"q":1}', "toolCallType": "function"}, {"input": {"q": 1}}])
    def test_an_answer_has_reasoning_text_files_and_calls_in_this_order(self, read: Read, call: dict[str, Any]) -> None:
        span = read(
            "ai.streamText.doStream",
            response__reasoning="hm",
            response__text="let me look",
            response__files='[{"type": "file", "mediaType": "image/png", "data": "iVBORw0="}]',
            response__toolCalls=json.dumps([{"toolCallId": "c1", "toolName": "find", **call}]),
        )
        (message,) = span.output_messages
        assert message["parts"] == [
            {"type": "reasoning", "content": "hm"},
            {"type": "text", "content": "let me look"},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "iVBORw0="},
            {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}},
        ]

    def test_an_object_is_the_answer_as_it_was_written(self, read: Read) -> None:
        span = read("ai.generateObject.doGenerate", response__object='{"answer": 42}')
        assert extract_exchange([], span.output_messages, []).response == '{"answer": 42}'

    @pytest.mark.parametrize(
        "result",
        [{"result": {"found": 1}}, {"output": {"type": "json", "value": {"found": 1}}}, {"output": {"found": 1}}],
    )
    def test_calls_and_answers_of_tools_in_the_prompt_become_parts(self, read: Read, result: dict[str, Any]) -> None:
        called = {"type": "tool-call", "toolCallId": "c1", "toolName": "find", "input": {"q": 1}}
        answered = {"type": "tool-result", "toolCallId": "c1", "toolName": "find", **result}
        messages = [{"role": "assistant", "content": [called]}, {"role": "tool", "content": [answered]}]
        span = read("ai.generateText.doGenerate", prompt__messages=json.dumps(messages))
        assert [one["parts"] for one in span.input_messages] == [
            [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}}],
            [{"type": "tool_call_response", "id": "c1", "response": {"found": 1}, "name": "find"}],
        ]

    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            (
                {"type": "image", "image": "https://example.org/cat.png"},
                {"type": "uri", "modality": "image", "uri": "https://example.org/cat.png"},
            ),
            (
                {"type": "file", "mediaType": "application/pdf", "data": "https://example.org/a.pdf"},
                {
                    "type": "uri",
                    "modality": "document",
                    "uri": "https://example.org/a.pdf",
                    "mime_type": "application/pdf",
                },
            ),
            (
                {"type": "file", "mediaType": "image/png", "data": {"type": "data", "data": "iVBORw0="}},
                {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "iVBORw0="},
            ),
        ],
    )
    def test_pictures_and_files_are_references(
        self, read: Read, part: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        span = read("ai.generateText.doGenerate", prompt__messages=json.dumps([{"role": "user", "content": [part]}]))
        assert span.input_messages == [{"role": "user", "parts": [expected]}]

    def test_what_is_embedded_is_the_input(self, read: Read) -> None:
        span = read(
            "ai.embedMany.doEmbed", values=['"sunny"', '"rainy"'], embeddings=["[0.5]", "[0.5]"], usage__tokens=4
        )
        assert "ai.embeddings" not in span.attributes
        assert [one["parts"][0]["content"] for one in span.input_messages] == ["sunny", "rainy"]
        assert span.input_tokens == 4


class TestFields:
    def test_usage_of_version_4_has_other_names(self, read: Read) -> None:
        span = read("ai.generateText.doGenerate", usage__promptTokens=25, usage__completionTokens=12)
        assert (span.input_tokens, span.output_tokens) == (25, 12)

    @pytest.mark.parametrize(
        ("name", "provider"),
        [
            ("openai.chat", "openai"),
            ("openai.responses", "openai"),
            ("anthropic.messages", "anthropic"),
            ("google.generative-ai", "gcp.gemini"),
            ("google.vertex.chat", "gcp.vertex_ai"),
            ("amazon-bedrock", "aws.bedrock"),
            ("azure-openai.chat", "azure.ai.openai"),
            ("googleish", "googleish"),
        ],
    )
    def test_the_provider_has_the_name_that_version_7_gives_it(self, read: Read, name: str, provider: str) -> None:
        assert read("ai.generateText.doGenerate", model__provider=name).provider == provider

    def test_models_session_user_and_finish_reason_are_read(self, read: Read) -> None:
        span = read(
            "ai.generateText.doGenerate",
            model__id="gpt",
            response__model="gpt-2026-01",
            telemetry__metadata__sessionId="s-1",
            telemetry__metadata__userId="u-1",
            response__finishReason="stop",
        )
        assert (span.model, span.deployment, span.session_id, span.user_id) == ("gpt-2026-01", "gpt", "s-1", "u-1")
        assert span.finish_reasons == ["stop"]

    def test_time_to_the_first_chunk_is_in_milliseconds_or_an_event(self, read: Read, now_ns: int) -> None:
        assert read("ai.streamText.doStream", response__msToFirstChunk=34.5).ttft_ms == 34.5
        assert read("ai.streamObject.doStream", stream__msToFirstChunk=34.5).ttft_ms == 34.5
        first = RawEvent("ai.stream.firstChunk", now_ns - 2_000_000_000 + 30_000_000, {})
        span = read("ai.streamText.doStream", events=[first])
        assert (span.ttft_ms, span.events) == (30.0, [])


class TestRanking:
    def test_documents_without_a_ranking_keep_their_order(self, read: Read) -> None:
        span = read("ai.rerank.doRerank", documents=['"a"', '{"title": "b"}'])
        assert [one["content"] for one in span.retrieved_documents] == ["a", '{"title": "b"}']

    @pytest.mark.parametrize("rank", ["5", '{"index": 7}', '{"index": -1}', '{"index": "0"}', "[", '{"index": true}'])
    def test_a_rank_that_points_nowhere_is_left_out(self, read: Read, rank: str) -> None:
        span = read(
            "ai.rerank.doRerank", documents=['"a"', '"b"'], ranking=[rank, '{"index": 1, "relevanceScore": 0.5}']
        )
        assert span.retrieved_documents == [{"id": None, "content": "b", "score": 0.5}]
