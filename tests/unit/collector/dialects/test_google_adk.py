"""Google ADK: bodies built from the source of google-adk 2.13."""

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
REQUEST = {
    "model": "gemini",
    "config": {"system_instruction": "Be kind.", "temperature": 0.5},
    "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
}
RESPONSE = {
    "content": {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "hi"}]},
    "finish_reason": "STOP",
    "usage_metadata": {"prompt_token_count": 25, "candidates_token_count": 10, "thoughts_token_count": 2},
}


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span with this request and response below ``gcp.vertex.agent.``."""

    def run(request: Any, response: Any, name: str = "call_llm", **attributes: Any) -> NormalSpan:
        bodies = {"llm_request": request, "llm_response": response, "session_id": "s-1"}
        named = {
            f"gcp.vertex.agent.{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in bodies.items()
        }
        return normalise(raw_span(scope="gcp.vertex.agent", name=name, attributes={**named, **attributes}))

    return run


class TestCall:
    def test_request_and_response_are_read(self, read: Read) -> None:
        span = read(REQUEST, RESPONSE, **{"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini"})
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
        assert [one["role"] for one in span.input_messages] == ["system", "user"]
        assert (span.operation, span.is_exchange, span.dialect) == ("generate_content", True, "google_adk")
        assert (span.model, span.provider, span.session_id) == ("gemini", "gcp.vertex.agent", "s-1")
        assert "gcp.vertex.agent.llm_request" not in span.attributes

    def test_usage_and_finish_reason_are_in_the_response_where_the_span_has_none(self, read: Read) -> None:
        span = read(REQUEST, RESPONSE)
        assert (span.input_tokens, span.output_tokens, span.finish_reasons) == (25, 12, ["stop"])
        told = {"gen_ai.usage.input_tokens": 30, "gen_ai.response.finish_reasons": ["max_tokens"]}
        span = read(REQUEST, RESPONSE, **told)
        assert (span.input_tokens, span.finish_reasons) == (30, ["max_tokens"])

    @pytest.mark.parametrize(
        ("response", "told", "model", "deployment"),
        [
            ({}, {}, "gemini", "gemini"),
            ({"model_version": "gemini-002"}, {}, "gemini-002", "gemini"),
            ({}, {"gen_ai.request.model": "told"}, "told", "told"),
            ({"model_version": "gemini-002"}, {"gen_ai.response.model": "answered"}, "answered", "gemini"),
        ],
    )
    def test_the_model_is_in_the_bodies_where_the_span_names_none(
        self, read: Read, response: dict[str, Any], told: dict[str, Any], model: str, deployment: str
    ) -> None:
        span = read(REQUEST, {**RESPONSE, **response}, **told)
        assert (span.model, span.deployment) == (model, deployment)

    def test_calls_and_answers_of_tools_become_parts(self, read: Read) -> None:
        called = {"function_call": {"id": "c1", "name": "find", "args": {"q": 1}}}
        answered = {"function_response": {"id": "c1", "name": "find", "response": {"found": 1}}}
        contents = [{"role": "model", "parts": [called]}, {"role": "user", "parts": [answered]}]
        span = read({"model": "gemini", "contents": contents}, {"content": {"role": "model", "parts": [called]}})
        call = {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}}
        assert span.input_messages[0] == {"role": "assistant", "parts": [call]}
        answer = span.input_messages[1]["parts"][0]
        assert (answer["type"], answer["id"], answer["response"]) == ("tool_call_response", "c1", {"found": 1})
        assert span.output_messages == [{"role": "assistant", "parts": [call]}]

    @pytest.mark.parametrize("nothing", ["{}", "N/A", "<not serializable>", ""])
    def test_what_was_not_captured_is_no_text(self, read: Read, nothing: str) -> None:
        span = read(nothing, nothing)
        assert (span.operation, span.input_messages, span.output_messages) == ("generate_content", [], [])

    def test_a_request_cut_off_is_unreadable(self, read: Read) -> None:
        span = read(json.dumps(REQUEST)[:-9], RESPONSE)
        assert extract_exchange(span.input_messages, span.output_messages, []).unreadable == {"prompt"}


class TestOtherSpans:
    def test_tools_and_agents_are_no_calls(self, read: Read) -> None:
        for operation in ("execute_tool", "invoke_agent"):
            span = read("{}", "{}", name=operation, **{"gen_ai.operation.name": operation})
            assert (span.operation, span.is_exchange) == (operation, False)
        assert read("{}", "{}", name="send_data").operation == "span"
