"""Whatever stands under the names of clients, gateways and servers, their spans normalise into storable fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.dialects import (
    claude_code,
    cloudflare,
    envoy,
    genkit,
    google_adk,
    laminar,
    litellm,
    livekit,
    otel_genai,
    semantic_kernel,
    span_events,
    spring_ai,
    strands,
    vercel,
    vercel_legacy,
    vllm,
    voltagent,
)
from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.operations import OPERATIONS
from collector.dialects.reading import Reading, Shape
from collector.otlp.spans import RawEvent, RawSpan

SCOPES = {
    claude_code: "com.anthropic.claude_code.tracing",
    cloudflare: "",
    envoy: "envoyproxy/ai-gateway",
    genkit: "genkit-tracer",
    google_adk: "gcp.vertex.agent",
    laminar: "lmnr.tracer",
    litellm: "litellm",
    livekit: "livekit-agents",
    semantic_kernel: "semantic_kernel.connectors",
    span_events: "",
    spring_ai: "org.springframework.boot",
    strands: "strands.telemetry.tracer",
    vercel: "gen_ai",
    vercel_legacy: "ai",
    vllm: "vllm.llm_engine",
    voltagent: "@voltagent/core",
}
ALSO = {
    claude_code: ["output", "content", "stop_reason", "cost_usd"],
    genkit: ["genkit:metadata:subtype", "genkit:name"],
    litellm: ["gen_ai.completion.0.function_call.name", "gen_ai.completion.0", "gen_ai.completion.1.function_call"],
    span_events: [
        "content",
        "message",
        "id",
        "role",
        "tool_calls",
        "tool.result",
        "finish_reason",
        "gen_ai.prompt",
        "gen_ai.completion",
        "gen_ai.event.content",
    ],
    vercel_legacy: ["ai.model.provider", "ai.response.finishReason", "ai.values"],
    voltagent: ["span.type", "entity.type"],
}
WORDS = [
    "llm_request",
    "llm",
    "retriever",
    "LLM",
    "model",
    "embedder",
    "flow",
    "tool",
    "execute_tool",
    "chat",
    "rerank",
    "framework",
    "ai.streamText.doStream",
    "ai.rerank.doRerank",
    "vector_store",
    "stop,length",
    "<REDACTED>",
    "nan",
    "-5",
    "1e400",
    "",
    "[",
    '[{"role":',
    "[{'role': 'user', 'content': None}]",
    '{"messages": 5, "contents": [5], "prompt": {}, "usage": [], "items": [1, {"type": "message"}]}',
    '{"content": {"parts": [{"function_call": 5}, {"text": 1}, 7]}, "usage_metadata": {"prompt_token_count": -1}}',
    '{"message": {"content": [5, {"toolRequest": {}}, {"media": {"url": 5}}]}, "documents": [5, {"content": [{}]}]}',
    '{"index": 1e99, "relevanceScore": "x", "response_cost": NaN, "ttft": -1, "data": [5], "input": [{"content": 5}]}',
    '[{"toolCallId": 1, "type": 5}, {"type": "tool-result", "output": {"type": 1, "value": [[]]}}, 3, null]',
]
NAMES = ["span", "llm_request", "call_llm", "raw_gen_ai_request", "CountTokens", "Req 1", "function_tool"]
EVENTS = [*span_events.EVENTS, "tool.output", "ai.stream.firstChunk", "db.query.result"]
KEYS = st.sampled_from(["role", "parts", "content", "type", "text", "index", "messages", "items", "documents", "usage"])
VALUES = st.recursive(
    st.one_of(
        st.sampled_from(WORDS),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.booleans(),
        st.none(),
        st.binary(max_size=4),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=8,
)


def names_of(module: ModuleType) -> list[str]:
    """Return what may be an attribute's name among the constants of the module and of the conventions."""
    found = set(ALSO.get(module, ()))
    for name, value in [*vars(module).items(), *vars(otel_genai).items()]:
        if name.lstrip("_").isupper() and isinstance(value, str | tuple | frozenset | dict):
            listed = [value] if isinstance(value, str) else value
            found.update(one for one in listed if isinstance(one, str))
    return sorted(found)


@pytest.mark.parametrize("module", SCOPES, ids=lambda module: module.__name__.rpartition(".")[2])
class TestNormalise:
    @given(data=st.data())
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
    def test_it_never_fails_and_keeps_every_field_in_its_type(
        self, raw_span: Callable[..., RawSpan], module: ModuleType, data: st.DataObject
    ) -> None:
        attributes = st.dictionaries(st.sampled_from(names_of(module)), VALUES, max_size=8)
        events = st.lists(
            st.builds(RawEvent, st.sampled_from(EVENTS), st.integers(0, 2**64 - 1), attributes), max_size=3
        )
        raw = raw_span(
            scope=SCOPES[module],
            name=data.draw(st.sampled_from(NAMES)),
            attributes=data.draw(attributes),
            events=data.draw(events),
        )
        span = normalise(raw)
        assert span.operation in OPERATIONS | {"span"}
        for label in (span.service, span.environment, span.deployment, span.provider, span.model):
            assert isinstance(label, str)
        for identifier in (span.session_id, span.user_id):
            assert identifier is None or len(identifier) > 0
        for count in (span.input_tokens, span.output_tokens):
            assert count is None or (type(count) is int and count >= 0)
        for amount in (span.cost_usd, span.ttft_ms):
            assert amount is None or (type(amount) is float and 0 <= amount < float("inf"))
        assert all(len(reason) <= 64 for reason in span.finish_reasons)
        for message in [*span.input_messages, *span.output_messages]:
            assert isinstance(message["role"], str)
            assert all(isinstance(part["type"], str) for part in message["parts"])
        for document in span.retrieved_documents:
            assert set(document) - {"unreadable"} == {"id", "content", "score"}
        extract_exchange(span.input_messages, span.output_messages, span.retrieved_documents)

    def test_its_spans_are_told_from_others_by_shape_alone(self, module: ModuleType) -> None:
        dialect = module.DIALECT
        assert not dialect.detect(Shape("app", frozenset({"http.route", "service.name"}), frozenset({"exception"})))

    def test_a_span_that_says_nothing_reads_as_nothing(
        self, raw_span: Callable[..., RawSpan], module: ModuleType
    ) -> None:
        reading = module.DIALECT.read(raw_span(scope=SCOPES[module], name="x", attributes={}))
        said = {one.name for one in fields(Reading) if getattr(reading, one.name) is not None}
        assert said <= {"operation", "provider"}
        assert reading.operation in (None, "span")
