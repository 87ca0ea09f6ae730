"""Envoy AI Gateway: bodies built from internal/tracing of envoyproxy/ai-gateway."""

from __future__ import annotations

from collections.abc import Callable

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.otlp.spans import RawSpan

SCOPE = "envoyproxy/ai-gateway"
LLM = {
    "openinference.span.kind": "LLM",
    "llm.system": "openai",
    "llm.model_name": "gpt",
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "hello",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "hi",
    "llm.token_count.prompt": 25,
    "session.id": "s-1",
}


class TestModes:
    def test_openinference_is_read(self, raw_span: Callable[..., RawSpan]) -> None:
        span = normalise(raw_span(scope=SCOPE, name="ChatCompletion", attributes=LLM))
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
        assert (span.dialect, span.operation, span.input_tokens, span.session_id) == ("envoy", "chat", 25, "s-1")

    def test_the_genai_conventions_are_read(self, raw_span: Callable[..., RawSpan]) -> None:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt"}
        span = normalise(raw_span(scope=SCOPE, name="chat gpt", attributes=attributes))
        assert (span.dialect, span.is_exchange, span.provider) == ("envoy", True, "openai")


class TestCountingTokens:
    def test_it_is_no_exchange(self, raw_span: Callable[..., RawSpan]) -> None:
        span = normalise(raw_span(scope=SCOPE, name="CountTokens", attributes=LLM))
        assert (span.operation, span.is_exchange, span.input_tokens) == ("span", False, None)
