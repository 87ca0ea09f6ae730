"""Inference servers' own spans: bodies built from vllm/tracing and from the names SGLang has in common with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.normalise import normalise
from collector.otlp.spans import RawSpan

FIGURES: dict[str, Any] = {
    "gen_ai.latency.time_to_first_token": 0.115,
    "gen_ai.latency.e2e": 0.25,
    "gen_ai.latency.time_in_queue": 0.001,
    "gen_ai.usage.prompt_tokens": 25,
    "gen_ai.usage.completion_tokens": 12,
    "gen_ai.request.id": "chatcmpl-1",
    "gen_ai.request.n": 1,
}


class TestRequest:
    def test_figures_are_read_and_there_is_no_text(self, raw_span: Callable[..., RawSpan]) -> None:
        span = normalise(raw_span(scope="vllm.llm_engine", name="llm_request", kind=2, attributes=FIGURES))
        assert (span.operation, span.is_exchange, span.dialect, span.provider) == ("chat", True, "vllm", "vllm")
        assert (span.input_tokens, span.output_tokens, span.ttft_ms) == (25, 12, 115.0)
        assert (span.input_messages, span.output_messages, span.model) == ([], [], "")

    @pytest.mark.parametrize(
        ("request_id", "operation"),
        [
            ("chatcmpl-1", "chat"),
            ("resp_1", "chat"),
            ("cmpl-1-0", "text_completion"),
            ("embd-1", "embeddings"),
            ("score-1", "span"),
        ],
    )
    def test_its_id_tells_which_api_was_called(
        self, raw_span: Callable[..., RawSpan], request_id: str, operation: str
    ) -> None:
        attributes = {**FIGURES, "gen_ai.request.id": request_id}
        assert normalise(raw_span(scope="vllm.llm_engine", attributes=attributes)).operation == operation

    def test_names_of_the_conventions_are_read_too(self, raw_span: Callable[..., RawSpan]) -> None:
        attributes = {
            "gen_ai.latency.e2e": 1.0,
            "gen_ai.operation.name": "text_completion",
            "gen_ai.request.model": "phi",
            "gen_ai.response.model": "phi-4",
            "gen_ai.usage.input_tokens": "25",
        }
        span = normalise(raw_span(scope="vllm", attributes=attributes))
        assert (span.operation, span.model, span.deployment, span.input_tokens) == (
            "text_completion",
            "phi-4",
            "phi",
            25,
        )

    def test_sglang_s_requests_have_the_same_names(self, raw_span: Callable[..., RawSpan]) -> None:
        span = normalise(raw_span(scope="sglang", name="Req 1a2b", attributes={"rid": "1a2b", **FIGURES}))
        assert (span.provider, span.input_tokens, span.ttft_ms) == ("sglang", 25, 115.0)


class TestOtherSpans:
    def test_stages_and_start_up_are_no_calls(self, raw_span: Callable[..., RawSpan]) -> None:
        for name, attributes in (
            ("prefill", {"gen_ai.latency.time_in_model_prefill": 0.1}),
            ("load_model", {"code.function": "load"}),
        ):
            span = normalise(raw_span(scope="vllm.worker", name=name, attributes=attributes))
            assert (span.operation, span.is_exchange) == ("span", False)

    def test_triton_s_and_tgi_s_timings_stay_attributes(self, raw_span: Callable[..., RawSpan]) -> None:
        """Built from Triton's user guide; TGI's span has the fields of its router."""
        for attributes in ({"triton.model_name": "gpt"}, {"total_time": "1.2s", "time_per_token": "3ms"}):
            span = normalise(raw_span(scope="", name="compute", attributes=attributes))
            assert (span.operation, span.is_exchange) == ("span", False)
            assert attributes.items() <= span.attributes.items()
