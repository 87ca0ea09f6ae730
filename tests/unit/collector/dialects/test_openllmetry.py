"""OpenLLMetry: flattened messages of old, documents in events, and the marks that tell its spans.

Beside the recordings, shapes come from opentelemetry-instrumentation-openai 0.54.0 and -chromadb 0.62.4.
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

OPENAI_SCOPE = "opentelemetry.instrumentation.openai.v1"
CHROMA_SCOPE = "opentelemetry.instrumentation.chromadb"
Read = Callable[..., NormalSpan]


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span with these attributes."""

    def run(attributes: dict[str, Any], **fields: Any) -> NormalSpan:
        return normalise(raw_span(attributes=attributes, **{"scope": OPENAI_SCOPE, **fields}))

    return run


class TestFlattened:
    BASE = {"llm.request.type": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt"}  # noqa: RUF012

    def test_messages_keep_their_order_beyond_ten(self, read: Read) -> None:
        attributes = dict(self.BASE)
        for index in range(12):
            attributes |= {f"gen_ai.prompt.{index}.role": "user", f"gen_ai.prompt.{index}.content": f"m{index}"}
        span = read(attributes)
        assert [one["parts"][0]["content"] for one in span.input_messages] == [f"m{index}" for index in range(12)]

    @pytest.mark.parametrize(
        ("prompt", "completion"),
        [
            ("gen_ai.prompt.0.content", "gen_ai.completion.0.content"),
            ("llm.prompts.0.content", "llm.completions.0.content"),
        ],
    )
    def test_content_without_a_role_belongs_to_its_side(self, read: Read, prompt: str, completion: str) -> None:
        """As agentgateway writes it, and the first releases."""
        span = read({prompt: "hello", completion: "hi", "gen_ai.request.model": "gpt"}, scope="agentgateway")
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
        assert (span.dialect, span.operation) == ("openllmetry", "chat")

    def test_content_of_several_parts_is_a_json_list(self, read: Read) -> None:
        parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
        span = read({**self.BASE, "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": json.dumps(parts)})
        assert span.input_messages[0]["parts"] == [
            {"type": "text", "content": "look"},
            {"type": "uri", "modality": "image", "uri": "https://x/y.png"},
        ]

    @pytest.mark.parametrize("said", ["[1, 2]", '["a"]', "[cut", '[{"a": 1}]', '{"a": 1}'])
    def test_json_that_somebody_said_is_text(self, read: Read, said: str) -> None:
        span = read({**self.BASE, "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": said})
        assert extract_exchange([], span.output_messages, []).response == said

    @pytest.mark.parametrize(
        ("written", "role"),
        [("human", "user"), ("Assistant", "assistant"), ("tool", "tool"), ("", "user"), (5, "user")],
    )
    def test_roles_of_every_spelling_are_read(self, read: Read, written: Any, role: str) -> None:
        span = read({**self.BASE, "gen_ai.prompt.0.role": written, "gen_ai.prompt.0.content": "hello"})
        assert [(one["role"], one["parts"][0]["content"]) for one in span.input_messages] == [(role, "hello")]

    def test_refusal_calls_and_reasons_are_read(self, read: Read) -> None:
        at = "gen_ai.completion."
        span = read(
            {
                **self.BASE,
                f"{at}0.finish_reason": "stop",
                f"{at}0.role": "assistant",
                f"{at}0.refusal": "I can't.",
                f"{at}1.finish_reason": "tool_calls",
                f"{at}1.role": "assistant",
                f"{at}1.tool_calls.0.id": "c0",
                f"{at}1.tool_calls.0.name": "find",
                f"{at}1.tool_calls.0.arguments": '{"q": 1}',
                f"{at}1.tool_calls.1.id": "c1",
                f"{at}1.tool_calls.1.name": "look",
                f"{at}1.tool_calls.1.arguments": "{}",
            }
        )
        refusal, calls = span.output_messages
        assert refusal["parts"] == [{"type": "refusal", "content": "I can't."}]
        assert [(one["name"], one["arguments"]) for one in calls["parts"]] == [("find", {"q": 1}), ("look", {})]
        assert span.finish_reasons == ["stop", "tool_calls"]
        assert not any(key.startswith(at) for key in span.attributes)

    def test_what_a_content_filter_held_back_is_no_text(self, read: Read) -> None:
        at = "gen_ai.completion.0."
        held = {f"{at}role": "assistant", f"{at}content": "FILTERED", f"{at}finish_reason": "content_filter"}
        span = read({**self.BASE, **held, f"{at}content_filter_results": "{}"})
        assert span.output_messages[0]["parts"] == [{"type": "redacted"}]
        said = read({**self.BASE, **held, f"{at}finish_reason": "stop"})
        assert extract_exchange([], said.output_messages, []).response == "FILTERED"

    @pytest.mark.parametrize(
        ("kind", "operation"),
        [("chat", "chat"), ("completion", "text_completion"), ("embedding", "embeddings"), ("rerank", "retrieval")],
    )
    def test_the_request_type_is_the_operation(self, read: Read, kind: str, operation: str) -> None:
        assert read({**self.BASE, "llm.request.type": kind}).operation == operation

    def test_the_oldest_names_of_tokens_and_user_are_read(self, read: Read) -> None:
        usage = {"llm.usage.prompt_tokens": 25, "llm.usage.completion_tokens": 12, "llm.user": "u"}
        span = read({**self.BASE, **usage})
        assert (span.input_tokens, span.output_tokens, span.user_id) == (25, 12, "u")


class TestDocuments:
    def event(self, **fields: Any) -> RawEvent:
        return RawEvent("db.query.result", 0, {f"db.query.result.{name}": value for name, value in fields.items()})

    def test_a_vector_store_is_a_retrieval_of_the_documents_in_its_events(self, read: Read) -> None:
        events = [
            self.event(id="a", distance=0.1, document="It opens at nine.", metadata="{}"),
            self.event(id="b", score=0.5, metadata='{"text": "Gate four."}'),
            self.event(id="c", distance=0.3),
        ]
        attributes = {"db.system": "chroma", "db.operation": "query"}
        span = read(attributes, events=events, scope=CHROMA_SCOPE, name="chroma.query")
        assert span.retrieved_documents == [
            {"id": "a", "content": "It opens at nine.", "score": None},
            {"id": "b", "content": "Gate four.", "score": 0.5},
            {"id": "c", "content": None, "score": None},
        ]
        assert (span.operation, span.dialect, span.provider) == ("retrieval", "openllmetry", "chroma")
        assert span.events == []

    def test_those_of_milvus_are_found_in_their_entity(self, read: Read) -> None:
        fields: dict[str, Any] = {"id": 4, "distance": 0.2, "entity": '{"text": "It opens at nine."}'}
        event = RawEvent("db.search.result", 0, {f"db.search.result.{key}": one for key, one in fields.items()})
        span = read({"db.system": "milvus"}, events=[event])
        assert span.retrieved_documents == [{"id": "4", "content": "It opens at nine.", "score": None}]

    def test_a_store_that_was_written_to_is_no_retrieval(self, read: Read) -> None:
        span = read({"db.system": "chroma", "db.operation": "add"}, scope=CHROMA_SCOPE)
        assert (span.operation, span.dialect) == ("span", "openllmetry")


class TestDetect:
    @pytest.mark.parametrize(
        ("scope", "ours"),
        [
            ("opentelemetry.instrumentation.anthropic", True),
            ("opentelemetry.instrumentation.openai.v1", True),
            ("opentelemetry.instrumentation.openai_v2", False),
            ("opentelemetry.instrumentation.requests", False),
            ("openai", False),
        ],
    )
    def test_a_scope_of_its_libraries_is_enough(self, read: Read, scope: str, ours: bool) -> None:
        span = read({"gen_ai.operation.name": "chat"}, scope=scope)
        assert span.dialect == ("openllmetry" if ours else "otel_genai")
