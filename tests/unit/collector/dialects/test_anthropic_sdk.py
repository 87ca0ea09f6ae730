"""Spans that Anthropic's own client makes; attributes as anthropic 2.14.0 sends them with content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.otlp.spans import RawSpan

CALL = {
    "gen_ai.provider.name": "anthropic",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.response.id": "msg_1",
    "gen_ai.response.model": "claude-sonnet-4-5-20250929",
    "gen_ai.response.time_to_first_chunk": 0.09,
    "gen_ai.usage.input_tokens": 21,
    "gen_ai.usage.output_tokens": 7,
    "gen_ai.system_instructions": '[{"type":"text","content":"You are a helpful assistant."}]',
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"When does the warehouse open?"}]}]',
    "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"It opens at nine."}]}]',
    "anthropic.message.stop_reason": "end_turn",
}


def test_a_call_is_complete(raw_span: Callable[..., RawSpan]) -> None:
    span = normalise(raw_span(scope="com.anthropic.sdk.python", attributes=dict(CALL)))
    text = extract_exchange(span.input_messages, span.output_messages, [])
    assert (text.prompt, text.response) == ("When does the warehouse open?", "It opens at nine.")
    assert (span.dialect, span.is_exchange, span.model) == ("anthropic", True, "claude-sonnet-4-5-20250929")
    assert (span.input_tokens, span.output_tokens, span.finish_reasons, span.ttft_ms) == (21, 7, ["end_turn"], 90.0)


@pytest.mark.parametrize("reason", [None, "", 3])
def test_without_a_reason_none_is_made_up(raw_span: Callable[..., RawSpan], reason: Any) -> None:
    attributes = {**CALL, "anthropic.message.stop_reason": reason}
    assert not normalise(raw_span(scope="com.anthropic.sdk.python", attributes=attributes)).finish_reasons
