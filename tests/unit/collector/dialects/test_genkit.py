"""Genkit: bodies built from the source of @genkit-ai/core 1.42 and its schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawSpan

Read = Callable[..., NormalSpan]
ASKED = {"messages": [{"role": "user", "content": [{"text": "hello"}]}], "config": {"temperature": 0.5}}
ANSWER = {
    "message": {"role": "model", "content": [{"reasoning": "hm"}, {"text": "hi"}]},
    "finishReason": "stop",
    "usage": {"inputTokens": 25, "outputTokens": 12},
}


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise an action of this subtype with this input and output."""

    def run(subtype: str, given: Any, made: Any, **attributes: Any) -> NormalSpan:
        named = {
            "genkit:type": "action",
            "genkit:metadata:subtype": subtype,
            "genkit:name": "googleai/gemini",
            "genkit:input": given if isinstance(given, str) else json.dumps(given),
            "genkit:output": made if isinstance(made, str) else json.dumps(made),
        }
        return normalise(raw_span(scope="genkit-tracer", attributes={**named, **attributes}))

    return run


class TestModel:
    def test_request_and_response_are_read(self, read: Read) -> None:
        span = read("model", ASKED, ANSWER)
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
        assert (span.operation, span.is_exchange, span.dialect) == ("chat", True, "genkit")
        assert (span.provider, span.model, span.finish_reasons) == ("googleai", "gemini", ["stop"])
        assert (span.input_tokens, span.output_tokens) == (25, 12)
        assert "genkit:input" not in span.attributes

    def test_parts_without_a_type_are_known_by_their_member(self, read: Read) -> None:
        content = [
            {"media": {"url": "https://example.org/cat.png", "contentType": "image/png"}},
            {"toolRequest": {"ref": "c1", "name": "find", "input": {"q": 1}}},
            {"toolResponse": {"ref": "c1", "name": "find", "output": {"found": 1}}},
        ]
        (message,) = read("model", {"messages": [{"role": "user", "content": content}]}, ANSWER).input_messages
        assert message["parts"] == [
            {"type": "uri", "modality": "image", "uri": "https://example.org/cat.png", "mime_type": "image/png"},
            {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}},
            {"type": "tool_call_response", "id": "c1", "response": {"found": 1}},
        ]

    @pytest.mark.parametrize("named", [{}, {"docs": [{"content": [{"text": "sunny"}]}]}])
    def test_documents_put_into_the_prompt_are_context_and_not_prompt(self, read: Read, named: dict[str, Any]) -> None:
        written = {"text": "sunny", "metadata": {"purpose": "context"}}
        asked = {"messages": [{"role": "user", "content": [{"text": "hello"}, written]}], **named}
        span = read("model", asked, ANSWER)
        texts = extract_exchange(span.input_messages, span.output_messages, span.retrieved_documents)
        assert (texts.prompt, texts.contexts) == ("hello", ("sunny",))

    def test_older_versions_have_candidates(self, read: Read) -> None:
        span = read("model", ASKED, {"candidates": [{"message": ANSWER["message"], "finishReason": "stop"}]})
        assert extract_exchange([], span.output_messages, []).response == "hi"

    @pytest.mark.parametrize("cut", ['{"messages": [{"ro', '{"mess'])
    def test_what_was_cut_off_is_unreadable(self, read: Read, cut: str) -> None:
        span = read("model", cut, cut)
        found = extract_exchange(span.input_messages, span.output_messages, [])
        assert found.unreadable == {"prompt", "response"}


class TestOtherActions:
    @pytest.mark.parametrize(
        ("subtype", "operation"),
        [("flow", "invoke_workflow"), ("util", "span"), ("tool", "execute_tool"), ("prompt", "span")],
    )
    def test_what_repeats_a_call_is_not_counted(self, read: Read, subtype: str, operation: str) -> None:
        span = read(subtype, ASKED, ANSWER)
        assert (span.operation, span.is_exchange, span.input_tokens) == (operation, False, None)

    def test_a_tool_s_result_is_no_answer_of_a_model(self, read: Read) -> None:
        span = read("tool", {"place": "here"}, '"found"')
        assert [one["role"] for one in span.input_messages + span.output_messages] == ["tool", "tool"]
        assert extract_exchange(span.input_messages, span.output_messages, []).response is None

    def test_the_action_around_a_call_has_its_parts_too(self, read: Read) -> None:
        content = [{"toolRequest": {"ref": "c1", "name": "find", "input": {}}}]
        span = read("util", {"messages": [{"role": "model", "content": content}]}, ANSWER)
        assert span.input_messages[0]["parts"][0]["type"] == "tool_call"

    def test_a_flow_s_input_and_output_are_text(self, read: Read) -> None:
        span = read("flow", '"hello"', "hi")
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")

    def test_a_retriever_s_documents_are_read(self, read: Read) -> None:
        document = {"content": [{"text": "sunny"}, {"text": "all day"}], "metadata": {"id": "d1", "score": 0.5}}
        span = read("retriever", {"query": {"content": [{"text": "weather"}]}}, {"documents": [document]})
        assert span.operation == "retrieval"
        assert span.retrieved_documents == [{"id": "d1", "content": "sunny\nall day", "score": 0.5}]
        assert extract_exchange(span.input_messages, [], []).prompt == "weather"

    def test_embedded_texts_are_the_input(self, read: Read) -> None:
        span = read("embedder", {"input": [{"content": [{"text": "sunny"}]}]}, {"embeddings": [{"embedding": [0.5]}]})
        assert (span.operation, span.model, span.output_messages) == ("embeddings", "gemini", [])
        assert span.input_messages[0]["parts"] == [{"type": "text", "content": "sunny"}]
