"""MLflow Tracing: everything in JSON, and span types.

Beside the recordings of mlflow-tracing 3.17.2, attributes here are built after its source.
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


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span of this type; values become JSON, as MLflow writes them."""

    def run(kind: str, values: dict[str, Any] | None = None, **fields: Any) -> NormalSpan:
        attributes = {name: json.dumps(value) for name, value in {"mlflow.spanType": kind, **(values or {})}.items()}
        return normalise(raw_span(scope="mlflow.tracing.provider", attributes=attributes, **fields))

    return run


class TestTypes:
    @pytest.mark.parametrize(
        ("kind", "operation"),
        [
            ("CHAT_MODEL", "chat"),
            ("LLM", "chat"),
            ("EMBEDDING", "embeddings"),
            ("RETRIEVER", "retrieval"),
            ("RERANKER", "retrieval"),
            ("AGENT", "invoke_agent"),
            ("WORKFLOW", "invoke_workflow"),
            ("TOOL", "execute_tool"),
            ("GUARDRAIL", "apply_guardrail"),
            ("CHAIN", "span"),
            ("PARSER", "span"),
            ("EVALUATOR", "span"),
            ("UNKNOWN", "span"),
            ("my own", "span"),
        ],
    )
    def test_a_type_is_an_operation(self, read: Read, kind: str, operation: str) -> None:
        span = read(kind, {"mlflow.spanInputs": {"question": "hello"}, "mlflow.chat.tokenUsage": {"input_tokens": 3}})
        assert (span.operation, span.dialect) == (operation, "mlflow")
        assert span.is_exchange == (operation == "chat")
        assert "mlflow.spanInputs" not in span.attributes

    def test_a_type_without_quotes_is_read_too(self, raw_span: Callable[..., RawSpan]) -> None:
        assert normalise(raw_span(attributes={"mlflow.spanType": "LLM"})).operation == "chat"


class TestFields:
    def test_scalars_lose_their_quotes(self, read: Read) -> None:
        values = {
            "mlflow.llm.model": "gpt-2026",
            "model": "gpt",
            "mlflow.llm.provider": "openai",
            "mlflow.trace.session": "s-1",
            "mlflow.trace.user": "u-1",
        }
        span = read("CHAT_MODEL", values)
        assert (span.model, span.deployment, span.provider) == ("gpt-2026", "gpt", "openai")
        assert (span.session_id, span.user_id) == ("s-1", "u-1")

    @pytest.mark.parametrize("written", ["s-1", '"s-1"'])
    def test_session_and_user_of_the_root_span_are_plain_or_quoted(
        self, raw_span: Callable[..., RawSpan], written: str
    ) -> None:
        attributes = {"mlflow.spanType": '"CHAIN"', "session.id": written, "user.id": written}
        span = normalise(raw_span(attributes=attributes))
        assert (span.session_id, span.user_id) == ("s-1", "s-1")

    def test_usage_and_cost_are_objects(self, read: Read) -> None:
        usage = {"input_tokens": 21, "output_tokens": 7, "total_tokens": 28, "cache_read_input_tokens": 5}
        cost = {"input_cost": 0.25, "output_cost": 0.5, "total_cost": 0.75}
        span = read("LLM", {"mlflow.chat.tokenUsage": usage, "mlflow.llm.cost": cost})
        assert (span.input_tokens, span.output_tokens, span.cost_usd) == (21, 7, 0.75)

    @pytest.mark.parametrize("value", ["many", [1], {"input_tokens": -1, "total_cost": "NaN"}, None, 5])
    def test_unusable_figures_are_unknown(self, read: Read, value: Any) -> None:
        span = read("LLM", {"mlflow.chat.tokenUsage": value, "mlflow.llm.cost": value})
        assert (span.input_tokens, span.output_tokens, span.cost_usd) == (None, None, None)

    @pytest.mark.parametrize(
        ("returned", "response"),
        [
            ("hi", "hi"),
            ('{"answer": 4', '{"answer": 4'),
            ('{"answer": 4}', '{"answer": 4}'),
            ({"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}, "hi"),
            ({"generations": [[{"text": "hi", "message": {"type": "ai", "content": "hi"}}]], "llm_output": {}}, "hi"),
            ([{"type": "ai", "content": "hi"}], "hi"),
            ("[REDACTED]", None),
            (None, None),
        ],
    )
    def test_the_response_is_text_or_a_body(self, read: Read, returned: Any, response: str | None) -> None:
        span = read("CHAT_MODEL", {"mlflow.spanOutputs": returned})
        texts = extract_exchange([], span.output_messages, [])
        assert (texts.response, texts.unreadable) == (response, frozenset())

    @pytest.mark.parametrize(
        "given",
        [
            {"messages": [{"role": "user", "content": "hello"}], "model": "gpt"},
            [[{"content": "hello", "type": "human"}]],
            {"question": "hello"},
            {"prompt": "hello", "temperature": 0},
            "hello",
        ],
    )
    def test_the_prompt_is_found_among_the_inputs(self, read: Read, given: Any) -> None:
        span = read("CHAT_MODEL", {"mlflow.spanInputs": given})
        assert extract_exchange(span.input_messages, [], []).prompt == "hello"

    def test_a_retriever_has_documents(self, read: Read) -> None:
        found = [{"page_content": "It opens at nine.", "metadata": {"doc_uri": "a.md", "chunk_id": 4}, "id": None}]
        span = read("RETRIEVER", {"mlflow.spanInputs": "When?", "mlflow.spanOutputs": found})
        assert span.retrieved_documents == [{"id": "4", "content": "It opens at nine.", "score": None}]
        assert span.output_messages == []

    def test_vectors_are_not_kept(self, read: Read) -> None:
        span = read("EMBEDDING", {"mlflow.spanInputs": {"text": "hello"}, "mlflow.spanOutputs": [[0.5, 0.25]]})
        assert (span.output_messages, "mlflow.spanOutputs" in span.attributes) == ([], False)
        assert extract_exchange(span.input_messages, [], []).prompt == "hello"


class TestStream:
    def test_chunks_give_time_to_first_token_and_are_dropped(self, read: Read, now_ns: int) -> None:
        events = [
            RawEvent(f"mlflow.chunk.item.{index}", now_ns + (index + 1) * 1_000_000, {"mlflow.chunk.value": "hi"})
            for index in range(100)
        ]
        span = read("CHAT_MODEL", events=events, start_ns=now_ns)
        assert (span.ttft_ms, span.events) == (1.0, [])

    def test_it_is_unknown_once_the_first_chunk_was_dropped(self, read: Read, now_ns: int) -> None:
        events = [RawEvent("mlflow.chunk.item.7", now_ns + 8_000_000, {})]
        assert read("CHAT_MODEL", events=events, start_ns=now_ns).ttft_ms is None
