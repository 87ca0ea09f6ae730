"""Strands Agents: what recorded bodies (in the golden tests) do not show."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from collector.dialects.normalise import normalise
from collector.otlp.spans import RawEvent, RawSpan

SCOPE = "strands.telemetry.tracer"


class TestTimeToFirstToken:
    @pytest.mark.parametrize(("value", "expected"), [(445, 445.0), ("445", 445.0), (-1, None), ("soon", None)])
    def test_it_is_in_milliseconds(
        self, raw_span: Callable[..., RawSpan], value: object, expected: float | None
    ) -> None:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.server.time_to_first_token": value}
        assert normalise(raw_span(scope=SCOPE, attributes=attributes)).ttft_ms == expected


class TestParents:
    @pytest.mark.parametrize(
        ("operation", "stored"), [("execute_event_loop_cycle", "span"), ("invoke_agent", "invoke_agent")]
    )
    def test_what_they_repeat_is_not_counted(
        self, raw_span: Callable[..., RawSpan], operation: str, stored: str
    ) -> None:
        """Shaped as strands-agents 1.62 sends it."""
        attributes = {
            "gen_ai.operation.name": operation,
            "gen_ai.system": "strands-agents",
            "gen_ai.request.model": "m",
            "gen_ai.usage.prompt_tokens": 54,
            "gen_ai.usage.input_tokens": 54,
        }
        events = [RawEvent("gen_ai.user.message", 0, {"content": '[{"text": "hello"}]'})]
        span = normalise(raw_span(scope=SCOPE, attributes=attributes, events=events))
        assert (span.dialect, span.operation, span.is_exchange, span.input_tokens) == ("strands", stored, False, None)
        assert span.attributes["gen_ai.usage.input_tokens"] == 54


class TestContentBlocks:
    def test_pictures_are_kept_as_parts(self, raw_span: Callable[..., RawSpan]) -> None:
        content = '[{"text": "look"}, {"image": {"format": "png", "source": {"bytes": "iVBORw0="}}}]'
        events = [RawEvent("gen_ai.user.message", 0, {"content": content})]
        span = normalise(raw_span(scope=SCOPE, attributes={"gen_ai.operation.name": "chat"}, events=events))
        text, picture = span.input_messages[0]["parts"]
        assert text == {"type": "text", "content": "look"}
        assert (picture["type"], picture["modality"], picture["content"]) == ("blob", "image", "iVBORw0=")
