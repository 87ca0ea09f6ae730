"""LiveKit Agents: bodies built from the source of livekit-agents 1.8, and the names without ``pii`` it had before."""

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
CHAT = {
    "items": [
        {"id": "i1", "type": "message", "role": "system", "content": ["Be kind."]},
        {"id": "i2", "type": "message", "role": "user", "content": ["hello"]},
        {"id": "i3", "type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"q": 1}'},
        {"id": "i4", "type": "function_call_output", "call_id": "c1", "name": "find", "output": "found"},
        {"id": "i5", "type": "agent_handoff", "new_agent_id": "a"},
    ]
}


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span of this name with these attributes."""

    def run(name: str, attributes: dict[str, Any]) -> NormalSpan:
        return normalise(raw_span(scope="livekit-agents", name=name, attributes=attributes))

    return run


class TestOperation:
    @pytest.mark.parametrize(
        ("name", "operation"),
        [
            ("llm_request", "chat"),
            ("llm_request_run", "span"),
            ("llm_node", "span"),
            ("tts_request", "span"),
            ("agent_turn", "span"),
            ("function_tool", "execute_tool"),
        ],
    )
    def test_of_all_spans_that_name_a_model_the_request_counts(self, read: Read, name: str, operation: str) -> None:
        span = read(name, {"gen_ai.request.model": "gpt", "lk.retry_count": 0, "gen_ai.usage.input_tokens": 25})
        assert (span.operation, span.dialect) == (operation, "livekit")
        assert span.input_tokens == (25 if operation == "chat" else None)

    def test_a_stated_operation_is_the_operation(self, read: Read) -> None:
        assert read("llm_node", {"gen_ai.operation.name": "chat"}).operation == "chat"


class TestText:
    @pytest.mark.parametrize("prefix", ["lk.", "lk.pii."])
    def test_a_chat_context_is_messages(self, read: Read, prefix: str) -> None:
        attributes = {
            prefix + "chat_ctx": json.dumps(CHAT),
            prefix + "response.text": "hi",
            prefix + "response.function_calls": ['{"call_id": "c2", "name": "look", "arguments": "{}"}'],
        }
        span = read("llm_node", attributes)
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
        assert [one["parts"][0]["type"] for one in span.input_messages] == [
            "text",
            "text",
            "tool_call",
            "tool_call_response",
        ]
        assert span.input_messages[2]["parts"][0]["id"] == "c1"
        assert span.input_messages[3]["parts"][0]["id"] == "c1"
        assert span.output_messages[0]["parts"][1] == {
            "type": "tool_call",
            "id": "c2",
            "name": "look",
            "arguments": {},
        }
        assert not [key for key in span.attributes if key.endswith("chat_ctx")]

    def test_what_users_say_and_agents_speak_keep_their_roles(self, read: Read) -> None:
        assert read("user_turn", {"lk.pii.user_transcript": "hello"}).input_messages[0]["role"] == "user"
        assert read("tts_node", {"lk.pii.input_text": "hi"}).input_messages[0]["role"] == "assistant"


class TestFields:
    def test_room_and_participant_are_session_and_user(self, read: Read) -> None:
        span = read("agent_session", {"lk.pii.room_name": "r-1", "lk.participant_identity": "u-1"})
        assert (span.session_id, span.user_id) == ("r-1", "u-1")

    def test_figures_may_be_in_the_metrics(self, read: Read) -> None:
        metrics = {"prompt_tokens": 25, "completion_tokens": 12, "ttft": 0.25}
        span = read("llm_request", {"lk.llm_metrics": json.dumps(metrics)})
        assert (span.input_tokens, span.output_tokens, span.ttft_ms) == (25, 12, 250.0)
        assert read("llm_request", {"lk.llm_metrics": '{"ttft": -1.0}'}).ttft_ms is None
        assert read("llm_node", {"lk.response.ttft": 0.5}).ttft_ms == 500.0
