"""Claude Code: bodies built from the monitoring page of its documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawEvent, RawSpan

Read = Callable[..., NormalSpan]
REQUEST = {
    "span.type": "llm_request",
    "gen_ai.system": "anthropic",
    "gen_ai.request.model": "claude",
    "model": "claude",
    "query_source": "repl_main_thread",
    "duration_ms": 900,
    "ttft_ms": 250,
    "input_tokens": 5,
    "output_tokens": 12,
    "cache_read_tokens": "15",
    "cache_creation_tokens": 5,
    "session.id": "s-1",
    "user.id": "u-1",
    "new_context": "[USER]\nhello",
    "response.model_output": "hi",
    "stop_reason": "end_turn",
}


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a span with these attributes."""

    def run(attributes: dict[str, Any], events: list[RawEvent] | None = None) -> NormalSpan:
        return normalise(
            raw_span(scope="com.anthropic.claude_code.tracing", attributes=attributes, events=events or [])
        )

    return run


class TestRequest:
    @pytest.mark.parametrize("kind", ["llm_request", "claude_code.llm_request"])
    def test_everything_it_says_is_read(self, read: Read, kind: str) -> None:
        span = read({**REQUEST, "span.type": kind})
        assert (span.operation, span.is_exchange, span.dialect) == ("chat", True, "claude_code")
        assert (span.model, span.provider, span.ttft_ms) == ("claude", "anthropic", 250.0)
        assert (span.session_id, span.user_id, span.finish_reasons) == ("s-1", "u-1", ["end_turn"])
        texts = extract_exchange(span.input_messages, span.output_messages, [])
        assert (texts.prompt, texts.response) == ("hello", "hi")
        assert "new_context" not in span.attributes

    @pytest.mark.parametrize("heading", ["[TOOL RESULT: toolu_1]\n", "[TOOL RESULT]\n"])
    def test_what_a_tool_gave_back_is_no_prompt(self, read: Read, heading: str) -> None:
        (message,) = read({**REQUEST, "new_context": f"{heading}nine"}).input_messages
        assert message == {"role": "tool", "parts": [{"type": "text", "content": "nine"}]}

    def test_other_brackets_are_what_was_asked(self, read: Read) -> None:
        (message,) = read({**REQUEST, "new_context": "[URGENT]\nhello"}).input_messages
        assert message == {"role": "user", "parts": [{"type": "text", "content": "[URGENT]\nhello"}]}

    def test_tokens_of_the_cache_are_included(self, read: Read) -> None:
        span = read(REQUEST)
        assert (span.input_tokens, span.output_tokens) == (25, 12)
        assert read({**REQUEST, "input_tokens": None}).input_tokens is None

    @pytest.mark.parametrize("hidden", ["<REDACTED>", '"<REDACTED>"', ""])
    def test_hidden_text_is_no_text(self, read: Read, hidden: str) -> None:
        span = read({**REQUEST, "new_context": hidden, "response.model_output": hidden})
        assert (span.input_messages, span.output_messages) == ([], [])

    def test_it_is_known_without_its_scope(self, raw_span: Callable[..., RawSpan]) -> None:
        assert normalise(raw_span(scope="", attributes=REQUEST)).dialect == "claude_code"


class TestOtherSpans:
    def test_an_interaction_has_the_prompt_and_no_tokens(self, read: Read) -> None:
        span = read({"span.type": "claude_code.interaction", "user_prompt": "hello", "input_tokens": 5})
        assert (span.operation, span.is_exchange, span.input_tokens) == ("invoke_agent", False, None)
        assert extract_exchange(span.input_messages, [], []).prompt == "hello"

    def test_a_tool_has_what_it_got_and_gave(self, read: Read) -> None:
        event = RawEvent("tool.output", 0, {"output": "three files", "bash_command": "ls"})
        span = read({"span.type": "tool", "tool_name": "Bash", "tool_input": '{"command": "ls"}'}, [event])
        assert span.operation == "execute_tool"
        assert span.input_messages == [{"role": "tool", "parts": [{"type": "text", "content": '{"command": "ls"}'}]}]
        assert span.output_messages == [{"role": "tool", "parts": [{"type": "text", "content": "three files"}]}]
        assert span.events == []
        assert extract_exchange(span.input_messages, span.output_messages, []).response is None

    def test_waiting_for_permission_is_no_call(self, read: Read) -> None:
        assert read({"span.type": "tool.blocked_on_user"}).operation == "span"
