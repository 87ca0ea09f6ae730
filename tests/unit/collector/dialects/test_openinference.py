"""OpenInference: flattened messages, contents, tool calls, documents; raw input and output only as fallback."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawSpan


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Callable[..., NormalSpan]:
    """Normalise a span of an OpenInference kind with these attributes."""

    def run(kind: str, attributes: dict[str, Any]) -> NormalSpan:
        return normalise(raw_span(attributes={"openinference.span.kind": kind, **attributes}))

    return run


Read = Callable[[str, dict[str, Any]], NormalSpan]


class TestKind:
    @pytest.mark.parametrize(
        ("kind", "operation", "is_exchange"),
        [
            ("LLM", "chat", True),
            ("llm", "chat", True),
            ("EMBEDDING", "embeddings", False),
            ("RETRIEVER", "retrieval", False),
            ("RERANKER", "retrieval", False),
            ("TOOL", "execute_tool", False),
            ("AGENT", "invoke_agent", False),
            ("CHAIN", "span", False),
            ("EVALUATOR", "span", False),
            ("GUARDRAIL", "apply_guardrail", False),
            ("UNKNOWN", "span", False),
            ("NEW", "span", False),
        ],
    )
    def test_it_decides_the_operation(self, read: Read, kind: str, operation: str, is_exchange: bool) -> None:
        span = read(kind, {})
        assert (span.operation, span.is_exchange, span.dialect) == (operation, is_exchange, "openinference")


class TestMessages:
    def test_they_come_in_the_order_of_their_numbers(self, read: Read) -> None:
        attributes = {f"llm.input_messages.{n}.message.content": f"m{n}" for n in reversed(range(12))}
        span = read("LLM", attributes)
        assert [one["parts"][0]["content"] for one in span.input_messages] == [f"m{n}" for n in range(12)]
        assert not [key for key in span.attributes if key.startswith("llm.input_messages")]

    def test_contents_and_tool_calls_become_parts(self, read: Read) -> None:
        prefix = "llm.input_messages.0.message."
        span = read(
            "LLM",
            {
                prefix + "role": "user",
                prefix + "contents.0.message_content.type": "text",
                prefix + "contents.0.message_content.text": "look",
                prefix + "contents.1.message_content.type": "image",
                prefix + "contents.1.message_content.image.image.url": "https://example.org/cat.png",
                "llm.output_messages.0.message.role": "assistant",
                "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
                "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "find",
                "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"q": 1}',
            },
        )
        assert span.input_messages[0]["parts"] == [
            {"type": "text", "content": "look"},
            {"type": "uri", "modality": "image", "uri": "https://example.org/cat.png"},
        ]
        assert span.output_messages == [
            {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}}]}
        ]

    @pytest.mark.parametrize("modality", ["image", "audio", "video", "document"])
    def test_contents_that_are_no_text_are_references(self, read: Read, modality: str) -> None:
        prefix = "llm.input_messages.0.message.contents.0.message_content."
        by_url = {prefix + "type": modality, f"{prefix}{modality}.{modality}.url": "https://example.org/x"}
        inline = {prefix + "type": modality, f"{prefix}{modality}.{modality}.url": f"data:{modality}/x;base64,AAAA"}
        parts = [read("LLM", one).input_messages[0]["parts"][0] for one in (by_url, inline)]
        assert parts[0] == {"type": "uri", "modality": modality, "uri": "https://example.org/x"}
        assert parts[1] == {
            "type": "blob",
            "modality": modality,
            "mime_type": f"{modality}/x",
            "content": "AAAA",
        }

    def test_texts_of_embeddings_are_read_and_vectors_are_not_kept(self, read: Read) -> None:
        prefix = "embedding.embeddings.0.embedding."
        attributes = {prefix + "text": "hello", prefix + "vector": [0.5, 0.25], "output.value": "[[0.5, 0.25]]"}
        span = read("EMBEDDING", attributes)
        assert span.input_messages == [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]
        assert span.output_messages == []
        assert not [key for key in span.attributes if key.startswith("embedding.")]

    def test_a_chain_is_no_call_whatever_else_it_names(self, read: Read) -> None:
        assert not read("CHAIN", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt"}).is_exchange

    @pytest.mark.parametrize("listed_too", [True, False])
    def test_calls_among_the_contents_are_read_once(self, read: Read, listed_too: bool) -> None:
        """As openinference-instrumentation-anthropic 3.1.0 sends them."""
        message = "llm.output_messages.0.message."
        call = {"id": "toolu_1", "function.name": "look_up_hours", "function.arguments": '{"place": "warehouse"}'}
        attributes = {
            message + "role": "assistant",
            message + "contents.0.message_content.type": "text",
            message + "contents.0.message_content.text": "Let me look.",
            message + "contents.1.message_content.type": "tool_use",
            **{f"{message}contents.1.tool_call.{name}": value for name, value in call.items()},
        }
        if listed_too:
            attributes |= {f"{message}tool_calls.0.tool_call.{name}": value for name, value in call.items()}
        assert read("LLM", attributes).output_messages[0]["parts"] == [
            {"type": "text", "content": "Let me look."},
            {"type": "tool_call", "id": "toolu_1", "name": "look_up_hours", "arguments": {"place": "warehouse"}},
        ]

    def test_a_tool_s_answer_names_its_call(self, read: Read) -> None:
        prefix = "llm.input_messages.0.message."
        attributes = {prefix + "role": "tool", prefix + "content": "42", prefix + "tool_call_id": "c1"}
        (message,) = read("LLM", attributes).input_messages
        assert message["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "42"}]

    def test_the_completions_api_is_read(self, read: Read) -> None:
        span = read("LLM", {"llm.prompts.0.prompt.text": "Once", "llm.choices.0.completion.text": "upon"})
        assert span.operation == "text_completion"
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("Once", "upon")

    def test_raw_input_and_output_are_read_only_where_nothing_else_is(self, read: Read) -> None:
        request = json.dumps({"messages": [{"role": "user", "content": "raw"}]})
        answer = json.dumps({"choices": [{"message": {"content": "raw"}, "finish_reason": "stop"}]})
        raw = {"input.value": request, "output.value": answer}
        span = read("LLM", raw)
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response, span.finish_reasons) == ("raw", "raw", ["stop"])
        span = read("LLM", {**raw, "llm.input_messages.0.message.content": "told"})
        assert extract_exchange(span.input_messages, [], []).prompt == "told"
        assert "input.value" not in span.attributes

    @pytest.mark.parametrize(
        "value", ['{"messages": [{"role": "user", "con', "[INST] be kind", "{name} is a placeholder"]
    )
    def test_raw_values_are_json_only_where_their_media_type_says_so(self, read: Read, value: str) -> None:
        raw = {"input.value": value, "output.value": value}
        for media_type in ({}, {"input.mime_type": "text/plain", "output.mime_type": "text/plain"}):
            span = read("LLM", {**raw, **media_type})
            texts = extract_exchange(span.input_messages, span.output_messages, [])
            assert (texts.prompt, texts.response, texts.unreadable) == (value, value, frozenset())
        for side, name, other in (("input", "prompt", "response"), ("output", "response", "prompt")):
            span = read("LLM", {**raw, f"{side}.mime_type": "application/json"})
            texts = extract_exchange(span.input_messages, span.output_messages, [])
            assert (getattr(texts, name), getattr(texts, other), texts.unreadable) == (None, value, frozenset({name}))

    def test_a_cut_off_raw_value_does_no_harm_where_messages_arrived(self, read: Read) -> None:
        raw = {"output.value": '{"choices": [', "output.mime_type": "application/json"}
        span = read("LLM", {**raw, "llm.output_messages.0.message.content": "told"})
        texts = extract_exchange([], span.output_messages, [])
        assert (texts.response, texts.unreadable) == ("told", frozenset())

    def test_hidden_text_is_no_text(self, read: Read) -> None:
        span = read(
            "LLM",
            {
                "input.value": "__REDACTED__",
                "output.value": "__REDACTED__",
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.content": "__REDACTED__",
            },
        )
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == (None, None)

    @pytest.mark.parametrize(
        "attributes",
        [
            {"llm.input_messages.0": "x"},
            {"llm.input_messages.x.message.content": "x"},
            {"llm.input_messages.0.message": "x", "llm.input_messages.0.message.role": "user"},
            {"llm.input_messages": "x", "llm.input_messages.0.message.content.deep": "x"},
            {"llm.input_messages.0.message.contents.0": 5},
            {"llm": 1, "llm.": 2, "llm.prompts.0": 5, "llm.choices.": "x"},
            {"retrieval.documents.0": "x", "retrieval.documents.1.document": "y"},
            {"llm.input_messages." + "0." * 5000 + "x": 1},
        ],
    )
    def test_broken_names_do_no_harm(self, read: Read, attributes: dict[str, Any]) -> None:
        assert read("LLM", attributes).operation in ("chat", "text_completion")


class TestFields:
    @pytest.mark.parametrize(
        ("named", "model", "deployment"),
        [
            ({}, "gpt", "gpt"),
            ({"llm.model_name": "gpt-2026"}, "gpt-2026", "gpt"),
            ({"llm.request.model_name": "gpt-4", "llm.response.model_name": "gpt-2026"}, "gpt-2026", "gpt-4"),
        ],
    )
    @pytest.mark.parametrize("parameters", ['{"model": "gpt", "temperature": 0}', '{"model_name": "gpt"}'])
    def test_the_model_asked_for_is_among_the_parameters(
        self, read: Read, named: dict[str, str], model: str, deployment: str, parameters: str
    ) -> None:
        span = read("LLM", {**named, "llm.invocation_parameters": parameters})
        assert (span.model, span.deployment) == (model, deployment)

    @pytest.mark.parametrize("parameters", ["", "{", "[]", '{"model": null}', 5])
    def test_parameters_that_name_none_leave_the_one_there_is(self, read: Read, parameters: Any) -> None:
        span = read("LLM", {"llm.model_name": "gpt", "llm.invocation_parameters": parameters})
        assert (span.model, span.deployment) == ("gpt", "gpt")

    def test_model_provider_tokens_cost_session_and_user_are_read(self, read: Read) -> None:
        span = read(
            "LLM",
            {
                "llm.system": "openai",
                "llm.provider": "azure",
                "llm.model_name": "gpt",
                "llm.token_count.prompt": 25,
                "llm.token_count.completion": 12,
                "llm.cost.total": 0.5,
                "session.id": "s-1",
                "user.id": "u-1",
            },
        )
        assert (span.provider, span.model, span.deployment) == ("azure", "gpt", "gpt")
        assert (span.input_tokens, span.output_tokens, span.cost_usd) == (25, 12, 0.5)
        assert (span.session_id, span.user_id) == ("s-1", "u-1")

    def test_documents_are_read_with_score_and_id(self, read: Read) -> None:
        prefix = "retrieval.documents."
        span = read(
            "RETRIEVER",
            {
                prefix + "1.document.content": "second",
                prefix + "0.document.content": "first",
                prefix + "0.document.id": 7,
                prefix + "0.document.score": 0.5,
                prefix + "0.document.metadata": "{}",
                prefix + "2.document.content": "__REDACTED__",
            },
        )
        assert span.retrieved_documents == [
            {"id": "7", "content": "first", "score": 0.5},
            {"id": None, "content": "second", "score": None},
        ]

    def test_reranked_documents_are_read(self, read: Read) -> None:
        span = read("RERANKER", {"reranker.output_documents.0.document.content": "best"})
        assert [one["content"] for one in span.retrieved_documents] == ["best"]
