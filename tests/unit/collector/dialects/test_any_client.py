"""Whatever values stand under the names a client's dialect reads, a span normalises into storable fields."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.dialects import langfuse, langsmith, logfire, mlflow, openlit, openllmetry, pydantic_ai, traceloop
from collector.dialects.normalise import normalise
from collector.dialects.operations import OPERATIONS
from collector.otlp.spans import RawEvent, RawSpan

SHARED = ["gen_ai.operation.name", "gen_ai.request.model", "gen_ai.system", "session.id", "user.id"]
CLIENTS: dict[str, tuple[str, list[str]]] = {
    "langfuse": (
        langfuse.SCOPE,
        [langfuse.TYPE, langfuse.INPUT, langfuse.OUTPUT, *langfuse.MODEL, langfuse.USAGE, langfuse.COST,
         langfuse.FIRST_TOKEN, langfuse.FINISH_REASON, *langfuse.SESSION, *langfuse.USER, *langfuse.ENVIRONMENT],
    ),
    "mlflow": (
        mlflow.SCOPE,
        [mlflow.TYPE, mlflow.INPUTS, mlflow.OUTPUTS, *mlflow.MODEL, *mlflow.REQUEST_MODEL, *mlflow.PROVIDER,
         mlflow.USAGE, mlflow.COST, *mlflow.SESSION, *mlflow.USER],
    ),
    "langsmith": (
        langsmith.SCOPE,
        [langsmith.TYPE, langsmith.INPUTS, langsmith.OUTPUTS, *langsmith.MODEL, *langsmith.PROVIDER, langsmith.USAGE,
         *langsmith.SESSION, *langsmith.USER, langsmith.FINISH_REASONS],
    ),
    "logfire": (
        "logfire.openai",
        [logfire.SPAN_TYPE, logfire.REQUEST, logfire.RESPONSE, logfire.EVENTS, "gen_ai.output.messages"],
    ),
    "pydantic_ai": (
        pydantic_ai.SCOPE,
        [pydantic_ai.ALL_MESSAGES, pydantic_ai.ALL_EVENTS, pydantic_ai.EVENTS, pydantic_ai.FINAL_RESULT,
         pydantic_ai.PARAMETERS, "agent_name", "model_name", "gen_ai.tool.name"],
    ),
    "openlit": (
        "openlit.instrumentation.openai",
        [*openlit.TTFT_S, *openlit.STREAMED, *openlit.USER, *openlit.ENVIRONMENT, openlit.DATABASE_OPERATION,
         *openlit.PROVIDER],
    ),
    "openllmetry": (
        "opentelemetry.instrumentation.openai.v1",
        [openllmetry.REQUEST_TYPE, *openllmetry.MODEL, *openllmetry.PROVIDER, *openllmetry.INPUT_TOKENS,
         *openllmetry.OUTPUT_TOKENS, *openllmetry.USER, "gen_ai.prompt.0.role", "gen_ai.prompt.0.content",
         "gen_ai.prompt.0.tool_calls.0.arguments", "gen_ai.prompt.0.tool_calls.0", "gen_ai.prompt.0",
         "gen_ai.prompt.x.content", "gen_ai.prompt.", "gen_ai.completion.0.content",
         "gen_ai.completion.0.finish_reason", "gen_ai.completion.0.refusal", "gen_ai.completion.0.reasoning",
         "gen_ai.completion.0.tool_call_id",
         "gen_ai.completion.99999999999.content", "llm.prompts.0.content", "llm.completions.0.content"],
    ),
    "traceloop": (
        "traceloop.tracer",
        [traceloop.KIND, *traceloop.INPUT, *traceloop.OUTPUT, *traceloop.SESSION, *traceloop.USER],
    ),
}  # fmt: skip
TEXTS = st.sampled_from(
    [
        "chat", "generation", "retriever", "RETRIEVER", '"LLM"', "llm", "workflow", "span", "user", "tool", "FILTERED",
        "content_filter", "nan", "-5", "1e400", "", "null", '"', '"x"', "[", "{}", "__REDACTED__", "2026-11-20T22:37Z",
        '"9999-12-31T23:59:59-23:59"', '{"input": NaN, "output": -1, "total": Infinity}', "{'role': 'user'}",
        '[{"role": "tool", "tool_call_id": 5, "content": [{"type": "text"}]}]', '{"messages": [[{"lc": 1}]]}',
        '{"generations": [[{"text": 5}]], "choices": {}}', '[{"event.name": 5, "message": []}]', '{"args": [[[]]]}',
        '{"documents": [["a"]], "ids": [[null]]}', '{"input_tokens": 1e300, "total_cost": "x"}',
    ]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        TEXTS,
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.booleans(),
        st.none(),
        st.binary(max_size=4),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["role", "content", "input", "total", "message", "id", "type"]), inner),
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("client", sorted(CLIENTS))
class TestNormalise:
    @given(data=st.data(), event_ns=st.integers(0, 2**64 - 1))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
    def test_it_never_fails_and_keeps_every_field_in_its_type(
        self, raw_span: Callable[..., RawSpan], client: str, data: st.DataObject, event_ns: int
    ) -> None:
        scope, names = CLIENTS[client]
        attributes: dict[str, Any] = data.draw(st.dictionaries(st.sampled_from(names + SHARED), VALUES, max_size=8))
        found = {f"db.query.result.{name}": data.draw(VALUES) for name in ("id", "document", "metadata", "score")}
        events = [RawEvent("db.query.result", event_ns, found), RawEvent("mlflow.chunk.item.0", event_ns, {})]
        span = normalise(raw_span(scope=scope, attributes=attributes, events=events))
        assert span.operation in OPERATIONS | {"span"}
        for label in (span.environment, span.deployment, span.provider, span.model):
            assert isinstance(label, str)
        for identifier in (span.session_id, span.user_id):
            assert identifier is None or type(identifier) is str
        for count in (span.input_tokens, span.output_tokens):
            assert count is None or (type(count) is int and count >= 0)
        for amount in (span.cost_usd, span.ttft_ms):
            assert amount is None or (type(amount) is float and math.isfinite(amount) and amount >= 0)
        assert all(isinstance(reason, str) for reason in span.finish_reasons)
        for message in [*span.input_messages, *span.output_messages]:
            assert isinstance(message["role"], str)
            assert all(isinstance(part["type"], str) for part in message["parts"])
        for document in span.retrieved_documents:
            assert set(document) - {"unreadable"} == {"id", "content", "score"}
