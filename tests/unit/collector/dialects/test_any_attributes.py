"""Whatever values stand under the names the dialects read, a span normalises into storable fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.content import content_to_json
from collector.dialects import generic, openinference, otel_genai
from collector.dialects.custodes import DEPLOYMENT, DOCUMENTS
from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.operations import OPERATIONS
from collector.otlp.spans import RawEvent, RawSpan

NAMES = st.sampled_from(
    [
        otel_genai.OPERATION,
        *otel_genai.PROVIDER,
        *otel_genai.MODEL,
        *otel_genai.INPUT_TOKENS,
        *otel_genai.OUTPUT_TOKENS,
        *otel_genai.COST,
        *otel_genai.SESSION,
        *otel_genai.USER,
        *otel_genai.TTFT_S,
        otel_genai.INPUT,
        otel_genai.OUTPUT,
        otel_genai.INSTRUCTIONS,
        otel_genai.DOCUMENTS,
        otel_genai.FINISH_REASONS,
        openinference.KIND,
        *openinference.MODEL,
        *openinference.INPUT_TOKENS,
        *openinference.COST,
        *generic.SESSION,
        *generic.USER,
        "input.value",
        "output.value",
        "llm.input_messages.0.message.content",
        "llm.input_messages.0.message.contents.0.message_content.text",
        "llm.input_messages.0.message.contents.0.message_content.image.image.url",
        "llm.input_messages.0.message.tool_calls.0.tool_call.function.arguments",
        "llm.output_messages.0",
        "llm.output_messages.0.message.role",
        "llm.prompts.0.prompt.text",
        "retrieval.documents.0.document.content",
        "retrieval.documents.0.document.score",
        "retrieval.documents.0",
        DOCUMENTS,
        DEPLOYMENT,
        "service.name",
        "service.version",
    ]
)
WORDS = st.sampled_from(
    ["chat", "LLM", "RETRIEVER", "user", "stop", "__REDACTED__", "nan", "1e400", "-5", "", "[", "{}"]
)
KEYS = st.sampled_from(
    ["role", "parts", "content", "type", "text", "tool_calls", "function", "choices", "message", "id"]
)
VALUES = st.recursive(
    st.one_of(
        WORDS,
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.booleans(),
        st.none(),
        st.binary(max_size=4),
        st.sampled_from(
            ['[{"role":"user","content":[{"text":1}]}]', '{"choices":[{"message":5}]}', '["a",{"id":1e999}]']
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=10,
)


class TestNormalise:
    @given(
        attributes=st.dictionaries(NAMES, VALUES, max_size=8),
        resource=st.dictionaries(NAMES, VALUES, max_size=3),
        event_ns=st.integers(0, 2**64 - 1),
    )
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500, deadline=None)
    def test_it_never_fails_and_keeps_every_field_in_its_type(
        self,
        raw_span: Callable[..., RawSpan],
        attributes: dict[str, Any],
        resource: dict[str, Any],
        event_ns: int,
    ) -> None:
        events = [RawEvent("First Token Stream Event", event_ns, attributes)]
        span = normalise(raw_span(attributes=attributes, resource=resource, events=events))
        assert span.operation in OPERATIONS | {"span"}
        for label in (span.service, span.environment, span.deployment, span.provider, span.model):
            assert isinstance(label, str)
        for count in (span.input_tokens, span.output_tokens):
            assert count is None or (type(count) is int and 0 <= count < 2**53)
        for amount in (span.cost_usd, span.ttft_ms):
            assert amount is None or (type(amount) is float and 0 <= amount < float("inf"))
        assert all(isinstance(reason, str) for reason in span.finish_reasons)
        for message in [*span.input_messages, *span.output_messages]:
            assert isinstance(message["role"], str)
            assert all(isinstance(part["type"], str) for part in message["parts"])
        for document in span.retrieved_documents:
            assert set(document) - {"unreadable"} == {"id", "content", "score"}
        content = orjson.loads(content_to_json(span))
        before = extract_exchange(span.input_messages, span.output_messages, span.retrieved_documents)
        after = extract_exchange(content["input_messages"], content["output_messages"], content["retrieved_documents"])
        assert after == before
