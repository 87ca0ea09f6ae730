"""Semantic Kernel: shapes of semantic-kernel 1.45 and of .NET's documentation; recordings are in the golden tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from collector.dialects.normalise import normalise
from collector.otlp.spans import RawEvent, RawSpan

SCOPE = "semantic_kernel.utils.telemetry.model_diagnostics.decorators"


class TestOperation:
    @pytest.mark.parametrize(
        ("name", "operation"),
        [("chat", "chat"), ("chat.completions", "chat"), ("text_completions", "text_completion")],
    )
    def test_its_own_names_are_known(self, raw_span: Callable[..., RawSpan], name: str, operation: str) -> None:
        span = normalise(raw_span(scope=SCOPE, attributes={"gen_ai.operation.name": name, "gen_ai.system": "openai"}))
        assert (span.operation, span.is_exchange, span.dialect) == (operation, True, "semantic_kernel")

    def test_the_loop_around_the_calls_is_none(self, raw_span: Callable[..., RawSpan]) -> None:
        attributes = {"sk.available_functions": "find"}
        assert normalise(raw_span(scope="semantic_kernel.connectors", attributes=attributes)).operation == "span"


class TestTokens:
    def test_those_of_early_releases_count(self, raw_span: Callable[..., RawSpan]) -> None:
        told = {"gen_ai.response.prompt_tokens": 16, "gen_ai.response.completion_tokens": 28}
        attributes = {"gen_ai.operation.name": "chat.completions", "gen_ai.system": "openai", **told}
        span = normalise(raw_span(scope="Microsoft.SemanticKernel.Diagnostics", attributes=attributes))
        assert (span.input_tokens, span.output_tokens) == (16, 28)


class TestFinishReasons:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("stop,stop", ["stop", "stop"]),
            ("FinishReason.STOP", ["stop"]),
            ("FinishReason.STOP,FinishReason.TOOL_CALLS", ["stop", "tool_calls"]),
            ("None", []),
            ("", []),
            (5, ["5"]),
        ],
    )
    def test_they_are_one_text(self, raw_span: Callable[..., RawSpan], value: object, expected: list[str]) -> None:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.response.finish_reason": value}
        assert normalise(raw_span(scope=SCOPE, attributes=attributes)).finish_reasons == expected


class TestMessages:
    def test_they_come_on_events(self, raw_span: Callable[..., RawSpan]) -> None:
        """As .NET's Semantic Kernel sends them with sensitive diagnostics on."""
        events = [
            RawEvent("gen_ai.content.prompt", 0, {"gen_ai.prompt": '[{"role": "user", "content": "hello"}]'}),
            RawEvent("gen_ai.content.completion", 0, {"gen_ai.completion": '[{"role": "assistant", "content": "hi"}]'}),
        ]
        attributes = {"gen_ai.operation.name": "chat.completions", "gen_ai.system": "openai"}
        span = normalise(raw_span(scope="Microsoft.SemanticKernel.Diagnostics", attributes=attributes, events=events))
        assert span.input_messages == [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]
        assert span.output_messages == [{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}]
