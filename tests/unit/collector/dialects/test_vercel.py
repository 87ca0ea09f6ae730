"""Vercel AI SDK 7: what recorded bodies (in the golden tests) do not show; bodies built from @ai-sdk/otel 1.0."""

from __future__ import annotations

import json
from collections.abc import Callable

from collector.dialects.normalise import normalise
from collector.otlp.spans import RawSpan


class TestReranking:
    def test_it_is_a_retrieval_with_its_documents_best_first(self, raw_span: Callable[..., RawSpan]) -> None:
        attributes = {
            "gen_ai.operation.name": "rerank",
            "gen_ai.provider.name": "cohere",
            "gen_ai.request.model": "rerank-v3",
            "ai.documents": [json.dumps("sunny"), json.dumps({"id": "d2", "text": "rainy"})],
            "ai.ranking": ['{"index": 1, "relevanceScore": 0.9}', '{"index": 0, "relevanceScore": 0.2}'],
        }
        span = normalise(raw_span(scope="gen_ai", attributes=attributes))
        assert (span.operation, span.is_exchange, span.dialect) == ("retrieval", False, "vercel")
        assert span.retrieved_documents == [
            {"id": "d2", "content": "rainy", "score": 0.9},
            {"id": None, "content": "sunny", "score": 0.2},
        ]
        assert "ai.documents" not in span.attributes

    def test_the_span_around_it_is_none(self, raw_span: Callable[..., RawSpan]) -> None:
        attributes = {"gen_ai.operation.name": "rerank", "ai.documents": ['"sunny"', '"rainy"']}
        assert normalise(raw_span(scope="gen_ai", attributes=attributes)).operation == "span"


class TestContext:
    def test_session_and_user_come_from_the_runtime_context(self, raw_span: Callable[..., RawSpan]) -> None:
        attributes = {
            "gen_ai.operation.name": "chat",
            "ai.settings.context.sessionId": "s-1",
            "ai.settings.context.userId": "u-1",
        }
        span = normalise(raw_span(scope="gen_ai", attributes=attributes))
        assert (span.session_id, span.user_id) == ("s-1", "u-1")


class TestSteps:
    def test_agents_and_their_steps_are_not_counted(self, raw_span: Callable[..., RawSpan]) -> None:
        for name, operation in (("invoke_agent", "invoke_agent"), ("agent_step", "span")):
            attributes = {"gen_ai.operation.name": name, "gen_ai.usage.input_tokens": 25}
            span = normalise(raw_span(scope="gen_ai", attributes=attributes))
            assert (span.operation, span.is_exchange, span.input_tokens) == (operation, False, None)
