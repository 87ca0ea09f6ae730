"""LiteLLM: what recorded bodies (in the golden tests) do not show.

Bodies are built from litellm 1.109 and its documentation.
"""

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
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "litellm.call_id": "1"}


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span of LiteLLM's with these attributes."""

    def run(attributes: dict[str, Any], **fields: Any) -> NormalSpan:
        return normalise(raw_span(**{"scope": "litellm", "attributes": attributes, **fields}))

    return run


class TestOperation:
    @pytest.mark.parametrize(
        ("name", "operation"),
        [
            ("chat", "chat"),
            ("completion", "chat"),
            ("acompletion", "chat"),
            ("aresponses", "chat"),
            ("anthropic_messages", "chat"),
            ("atext_completion", "text_completion"),
            ("aembedding", "embeddings"),
            ("apply_guardrail", "apply_guardrail"),
            ("aimage_generation", "span"),
            ("litellm.moderation", "span"),
        ],
    )
    @pytest.mark.parametrize("key", ["gen_ai.operation.name", "llm.request.type"])
    def test_names_of_functions_are_operations(self, read: Read, key: str, name: str, operation: str) -> None:
        assert read({key: name, "gen_ai.request.model": "gpt"}).operation == operation

    def test_a_call_told_on_the_proxy_s_own_span_is_one(self, read: Read) -> None:
        """The first generation since 1.81: there is no other span of the call."""
        messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hello"}]}])
        attributes = {"gen_ai.operation.name": "acompletion", "gen_ai.input.messages": messages, "hidden_params": "{}"}
        span = read(attributes, name="Received Proxy Server Request", scope="renamed")
        assert (span.is_exchange, span.dialect) == (True, "litellm")
        assert extract_exchange(span.input_messages, [], []).prompt == "hello"

    @pytest.mark.parametrize("key", ["litellm.guardrail.name", "guardrail_name"])
    def test_a_guardrail_is_no_exchange(self, read: Read, key: str) -> None:
        span = read({key: "pii", "litellm.cost.guardrail": 0.5})
        assert (span.operation, span.is_exchange, span.cost_usd) == ("apply_guardrail", False, None)

    def test_services_behind_the_proxy_are_no_calls(self, read: Read) -> None:
        assert (
            read({"litellm.service.name": "redis", "litellm.service.call_type": "get"}, name="redis").operation
            == "span"
        )


class TestRawRequest:
    def test_its_text_is_not_kept_again(self, read: Read) -> None:
        attributes = {
            "llm.anthropic.messages": "[{'role': 'user', 'content': 'secret'}]",
            "llm.anthropic.stringified_raw_response": "secret",
        }
        span = read(attributes, name="raw_gen_ai_request")
        assert (span.operation, span.is_exchange, span.dialect) == ("span", False, "litellm")
        assert "secret" not in json.dumps(span.attributes)


class TestFields:
    @pytest.mark.parametrize(
        "attributes",
        [
            {"litellm.cost.total": 0.5},
            {"gen_ai.cost.total_cost": "0.5"},
            {"hidden_params": '{"response_cost": 0.5}'},
        ],
    )
    def test_cost_is_found_wherever_it_is(self, read: Read, attributes: dict[str, Any]) -> None:
        assert read({**CHAT, **attributes}).cost_usd == 0.5

    @pytest.mark.parametrize(
        "key",
        [
            "litellm.end_user.id",
            "litellm.metadata.user_api_key_end_user_id",
            "litellm.metadata.user_id",
            "metadata.user_api_key_end_user_id",
            "llm.user",
        ],
    )
    def test_the_end_user_is_found_wherever_it_is(self, read: Read, key: str) -> None:
        assert read({**CHAT, "metadata.user_api_key_user_id": "", key: "u-1"}).user_id == "u-1"

    def test_the_model_that_answered_is_the_model(self, read: Read) -> None:
        span = read({**CHAT, "gen_ai.request.model": "smart", "litellm.provider.model": "openai/gpt"})
        assert (span.model, span.deployment) == ("openai/gpt", "smart")

    def test_messages_of_openai_s_shape_are_read(self, read: Read) -> None:
        calls = [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": 1}'}}]
        messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "tool_calls": calls}]
        span = read({**CHAT, "gen_ai.input.messages": json.dumps(messages)})
        assert span.input_messages[1]["parts"] == [
            {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}}
        ]

    def test_calls_of_tools_beside_the_messages_belong_to_the_answer(self, read: Read) -> None:
        attributes = {
            "gen_ai.output.messages": '[{"role": "assistant", "parts": [], "finish_reason": "tool_calls"}]',
            "gen_ai.completion.0.function_call.name": "find",
            "gen_ai.completion.0.function_call.arguments": '{"q": 1}',
            "gen_ai.completion.1.function_call.name": "look",
            "gen_ai.completion.1.function_call.arguments": "{}",
        }
        (message,) = read({**CHAT, **attributes}).output_messages
        assert [(part["name"], part["arguments"]) for part in message["parts"]] == [("find", {"q": 1}), ("look", {})]
