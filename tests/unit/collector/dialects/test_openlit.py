"""OpenLIT: the conventions, and what it writes beside them.

It does not install beside the clients that were recorded, so attributes are built after the source of openlit 1.45.0.
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
BASE = {
    "telemetry.sdk.name": "openlit",
    "gen_ai.sdk.version": "3.52.0",
    "service.name": "bot",
    "deployment.environment": "staging",
}


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span of OpenLIT's OpenAI instrumentation."""

    def run(attributes: dict[str, Any], scope: str = "openlit.instrumentation.openai") -> NormalSpan:
        return normalise(raw_span(scope=scope, attributes={**BASE, **attributes}))

    return run


class TestCall:
    CALL = {  # noqa: RUF012
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt",
        "gen_ai.response.model": "gpt-2026",
        "gen_ai.request.user": "u-1",
        "gen_ai.request.stream": True,
        "gen_ai.server.time_to_first_token": 0.25,
        "gen_ai.usage.input_tokens": 21,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.client.token.usage": 28,
        "gen_ai.usage.cost": 0.5,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}]),
    }

    @pytest.mark.parametrize("scope", ["openlit.instrumentation.openai", "test"])
    def test_it_is_read_whole(self, read: Read, scope: str) -> None:
        span = read(self.CALL, scope)
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (span.dialect, span.operation, texts.prompt, texts.response) == ("openlit", "chat", "hello", "hi")
        assert (span.model, span.deployment, span.provider) == ("gpt-2026", "gpt", "openai")
        assert (span.input_tokens, span.output_tokens, span.cost_usd) == (21, 7, 0.5)
        assert (span.user_id, span.environment, span.finish_reasons) == ("u-1", "staging", ["stop"])
        assert span.ttft_ms == 250.0

    def test_without_a_stream_there_is_no_first_token(self, read: Read) -> None:
        assert read({**self.CALL, "gen_ai.request.stream": False}).ttft_ms is None


class TestVectorStore:
    @pytest.mark.parametrize(
        ("operation", "kind"), [("GET", "retrieval"), ("query", "retrieval"), ("INSERT", "span"), (None, "span")]
    )
    def test_a_search_is_a_retrieval(self, read: Read, operation: str | None, kind: str) -> None:
        attributes = {"gen_ai.operation.name": "vectordb", "db.system.name": "chroma"}
        if operation is not None:
            attributes["db.operation.name"] = operation
        span = read(attributes, "openlit.instrumentation.chroma")
        assert (span.operation, span.provider, span.is_exchange) == (kind, "chroma", False)

    def test_documents_of_a_retriever_are_read(self, read: Read) -> None:
        documents = json.dumps([{"id": "a", "score": 0.5, "content": "It opens at nine."}])
        names = {"gen_ai.retrieval.documents": documents, "gen_ai.retrieval.query.text": "When?"}
        span = read({"gen_ai.operation.name": "retrieval", **names})
        assert span.retrieved_documents == [{"id": "a", "content": "It opens at nine.", "score": 0.5}]
        assert extract_exchange(span.input_messages, [], []).prompt == "When?"
        assert not set(names) & set(span.attributes)


class TestDetect:
    def test_the_name_of_the_sdk_on_the_resource_is_not_enough(self, raw_span: Callable[..., RawSpan]) -> None:
        resource = {"service.name": "bot", "telemetry.sdk.name": "openlit"}
        assert (
            normalise(raw_span(attributes={"gen_ai.operation.name": "chat"}, resource=resource)).dialect == "otel_genai"
        )
