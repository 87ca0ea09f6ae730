"""Langfuse: every type of observation, and values in each form its SDKs write.

Beside the recordings of langfuse 5.0.4, attributes here are built after its source and that of version 3.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawSpan

AT = "langfuse.observation."
Read = Callable[..., NormalSpan]


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise an observation of this type with these attributes (dots as double underscores)."""

    def run(kind: str | None = "generation", /, scope: str = "langfuse-sdk", **named: Any) -> NormalSpan:
        fields = {name: named.pop(name) for name in ("resource", "start_ns", "events", "name") if name in named}
        attributes = {AT + name.replace("__", "."): value for name, value in named.items()}
        if kind is not None:
            attributes[AT + "type"] = kind
        return normalise(raw_span(scope=scope, attributes=attributes, **fields))

    return run


class TestTypes:
    @pytest.mark.parametrize(
        ("kind", "operation"),
        [
            ("generation", "chat"),
            ("embedding", "embeddings"),
            ("retriever", "retrieval"),
            ("agent", "invoke_agent"),
            ("tool", "execute_tool"),
            ("guardrail", "apply_guardrail"),
            ("span", "span"),
            ("chain", "span"),
            ("evaluator", "span"),
            ("event", "span"),
            ("something new", "span"),
            (None, "span"),
        ],
    )
    def test_a_type_is_an_operation(self, read: Read, kind: str | None, operation: str) -> None:
        span = read(kind, input="hello", output="hi")
        assert (span.operation, span.is_exchange, span.dialect) == (operation, operation == "chat", "langfuse")
        assert (AT + "input") not in span.attributes

    def test_what_the_wrapper_for_javascript_names_an_embedding_is_one(self, read: Read) -> None:
        """As @langfuse/openai 5.11.1 sends it: a generation without an answer."""
        span = read(name="OpenAI.embeddings", input="When does the warehouse open?", output="")
        assert (span.operation, span.is_exchange) == ("embeddings", False)
        assert read(name="OpenAI.chat", input="hello", output="hi").is_exchange

    def test_the_type_wins_over_what_the_conventions_say(self, raw_span: Callable[..., RawSpan]) -> None:
        attributes = {AT + "type": "agent", "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt"}
        assert normalise(raw_span(attributes=attributes)).operation == "invoke_agent"

    def test_a_retriever_has_documents(self, read: Read) -> None:
        found = [{"page_content": "It opens at nine.", "metadata": {"source": "a.md"}, "type": "Document"}]
        span = read("retriever", input="When?", output=json.dumps(found))
        assert span.retrieved_documents == [{"id": "a.md", "content": "It opens at nine.", "score": None}]
        assert span.output_messages == []

    def test_what_a_retriever_returned_that_is_no_document_is_kept(self, read: Read) -> None:
        span = read("retriever", output='{"rows": 3}')
        assert span.retrieved_documents == []
        assert span.output_messages[0]["parts"] == [{"type": "json", "content": {"rows": 3}}]


class TestText:
    @pytest.mark.parametrize(
        ("given", "prompt"),
        [
            ("hello", "hello"),
            ('[{"role": "user", "content": "hello"}]', "hello"),
            ('{"messages": [{"role": "user", "content": "hello"}], "tools": []}', "hello"),
            ('{"args": ["hello"], "kwargs": {}}', "hello"),
            ("[REDACTED]", None),
            ("<fully masked due to failed mask function>", None),
        ],
    )
    def test_the_prompt_is_json_or_plain_text(self, read: Read, given: str, prompt: str | None) -> None:
        span = read(input=given)
        assert extract_exchange(span.input_messages, [], []).prompt == prompt

    @pytest.mark.parametrize(
        ("returned", "response"),
        [
            ("hi", "hi"),
            ('{"role": "assistant", "content": "hi"}', "hi"),
            ('{"answer_code": 4, "why": "closed"}', '{"answer_code": 4, "why": "closed"}'),
            ('{"content": "hi", "finish_reason": "length"}', "hi"),
        ],
    )
    def test_the_response_is_what_the_model_said_even_in_json(self, read: Read, returned: str, response: str) -> None:
        span = read(output=returned)
        assert extract_exchange([], span.output_messages, []).response == response

    def test_json_that_was_cut_is_unreadable(self, read: Read) -> None:
        span = read(input='[{"role": "user", "content": "hel')
        assert extract_exchange(span.input_messages, [], []).unreadable == {"prompt"}


class TestFigures:
    @pytest.mark.parametrize(
        ("usage", "tokens"),
        [
            ({"prompt_tokens": 21, "completion_tokens": 7, "total_tokens": 28}, (21, 7)),
            ({"prompt_tokens": 21, "completion_tokens": 7, "prompt_tokens_details": None}, (21, 7)),
            ({"input": 21, "output": 7, "total": 28}, (21, 7)),
            ({"input": 11, "input_cached_tokens": 10, "output": 5, "output_reasoning": 2}, (21, 7)),
            ({"input": 11, "cache_read_input_tokens": 10, "output": 7}, (21, 7)),
            ({"input_tokens": 21, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 5}}, (21, 7)),
            ({"input": "21", "output": "7"}, (21, 7)),
            ({"input": "Infinity", "output": -1}, (None, None)),
            ({"input": 2**53 - 1, "input_more": 2**53 - 1}, (None, None)),
            ({"input": True, "output": [7]}, (None, None)),
            ({}, (None, None)),
            ([1], (None, None)),
        ],
    )
    def test_tokens_are_read_in_every_form(self, read: Read, usage: Any, tokens: tuple[int | None, int | None]) -> None:
        span = read(usage_details=json.dumps(usage))
        assert (span.input_tokens, span.output_tokens) == tokens

    @pytest.mark.parametrize(
        ("cost", "total"),
        [
            ({"input": 0.25, "output": 0.5, "total": 0.75}, 0.75),
            ({"input": 0.25, "output": 0.5}, 0.75),
            ({"total": "0.75"}, 0.75),
            ({"total": "Infinity", "input": 0.25}, 0.25),
            ({"total": -1}, None),
            ({"total": float("inf")}, None),
            (None, None),
        ],
    )
    def test_cost_is_the_total_or_the_sum(self, read: Read, cost: Any, total: float | None) -> None:
        assert read(cost_details=json.dumps(cost)).cost_usd == total

    def test_parents_that_repeat_them_do_not_count(self, read: Read) -> None:
        span = read("agent", usage_details='{"input": 21}', cost_details='{"total": 1.0}')
        assert (span.input_tokens, span.cost_usd) == (None, None)

    @pytest.mark.parametrize(
        ("written", "ttft_ms"),
        [
            ('"2026-11-20T22:37:29.860879Z"', 10.879),
            ("2026-11-20T22:37:29.860879+00:00", 10.879),
            ('"2026-11-20T23:37:29.860879+01:00"', 10.879),
            ('"2026-11-20T22:37:29.860879"', 10.879),
            ('"2026-11-20T22:37:29.849Z"', None),
            ('"soon"', None),
            ('"0001-01-01T00:00:00+23:59"', None),
            (5, None),
        ],
    )
    def test_the_start_of_the_answer_gives_time_to_first_token(
        self, read: Read, written: Any, ttft_ms: float | None
    ) -> None:
        start = datetime(2026, 11, 20, 22, 37, 29, 850_000, tzinfo=UTC)
        span = read(completion_start_time=written, start_ns=int(start.timestamp()) * 10**9 + 850_000_000)
        assert span.ttft_ms == ttft_ms

    @pytest.mark.parametrize(("written", "reasons"), [('"stop"', ["stop"]), ("length", ["length"]), ('["a"]', ["a"])])
    def test_finish_reason_is_metadata(self, read: Read, written: str, reasons: list[str]) -> None:
        assert read(metadata__finish_reason=written).finish_reasons == reasons

    def test_model_is_both_asked_for_and_answering(self, read: Read) -> None:
        span = read(model__name="gpt")
        assert (span.model, span.deployment, span.provider) == ("gpt", "gpt", "")


class TestContext:
    @pytest.mark.parametrize("where", ["span", "resource"])
    def test_environment_stands_on_the_span_or_its_resource(self, raw_span: Callable[..., RawSpan], where: str) -> None:
        named: Any = {"langfuse.environment": "staging"}
        resource = {"service.name": "bot", "deployment.environment": "prod", **(named if where == "resource" else {})}
        attributes = {AT + "type": "span", **(named if where == "span" else {})}
        assert normalise(raw_span(attributes=attributes, resource=resource)).environment == "staging"

    def test_session_and_user_reach_spans_of_other_instrumentations(self, raw_span: Callable[..., RawSpan]) -> None:
        attributes = {
            "gen_ai.operation.name": "chat",
            "langfuse.session.id": "s",
            "langfuse.user.id": "u",
            "langfuse.environment": "staging",
            "langfuse.trace.tags": ["a"],
        }
        span = normalise(raw_span(attributes=attributes))
        assert (span.session_id, span.user_id, span.environment) == ("s", "u", "staging")
        assert (span.dialect, span.is_exchange) == ("otel_genai", True)
