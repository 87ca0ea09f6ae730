"""Messages on span events, in their three forms; bodies built from the conventions and what clients send."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from collector.dialects.exchange import extract_exchange
from collector.dialects.normalise import normalise
from collector.dialects.span import NormalSpan
from collector.otlp.spans import RawEvent, RawSpan

Read = Callable[..., NormalSpan]


@pytest.fixture
def read(raw_span: Callable[..., RawSpan]) -> Read:
    """Normalise a chat with these events, given as name and attributes."""

    def run(*events: tuple[str, dict[str, Any]], **attributes: Any) -> NormalSpan:
        named = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", **attributes}
        return normalise(raw_span(attributes=named, events=[RawEvent(name, 0, values) for name, values in events]))

    return run


def texts(span: NormalSpan) -> tuple[str | None, str | None]:
    found = extract_exchange(span.input_messages, span.output_messages, [])
    return found.prompt, found.response


class TestPromptAndCompletion:
    @pytest.mark.parametrize(
        ("prompt", "completion"),
        [
            ("hello", "hi"),
            (json.dumps([{"role": "user", "content": "hello"}]), json.dumps([{"role": "assistant", "content": "hi"}])),
            (json.dumps({"messages": [{"role": "user", "content": "hello"}]}), json.dumps({"content": "hi"})),
            (
                json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]),
                json.dumps({"choices": [{"message": {"role": "assistant", "content": "hi"}}]}),
            ),
        ],
    )
    def test_they_are_text_or_messages(self, read: Read, prompt: str, completion: str) -> None:
        span = read(
            ("gen_ai.content.prompt", {"gen_ai.prompt": prompt}),
            ("gen_ai.content.completion", {"gen_ai.completion": completion}),
        )
        assert texts(span) == ("hello", "hi")
        assert span.events == []
        assert span.dialect == "otel_genai"

    @pytest.mark.parametrize(
        "answer", ['{"answer": 42}', "[1, 2]", '["a", "b"]', '[{"name": "x"}]', '{"a": 1', "[INST] ok"]
    )
    def test_an_answer_in_json_is_the_answer(self, read: Read, answer: str) -> None:
        span = read(("gen_ai.content.completion", {"gen_ai.completion": answer}))
        assert texts(span) == (None, answer)

    def test_why_it_ended_is_read_from_the_completion(self, read: Read) -> None:
        answer = json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "length"}]})
        assert read(("gen_ai.content.completion", {"gen_ai.completion": answer})).finish_reasons == ["length"]


class TestMessageEvents:
    def test_each_is_one_message_in_the_order_they_came(self, read: Read) -> None:
        span = read(
            ("gen_ai.system.message", {"content": "Be kind."}),
            ("gen_ai.user.message", {"content": "hello"}),
            ("gen_ai.assistant.message", {"content": "hi"}),
            ("gen_ai.user.message", {"content": "and now?"}),
            (
                "gen_ai.choice",
                {"index": 0, "finish_reason": "stop", "message": '{"role": "assistant", "content": "bye"}'},
            ),
        )
        assert [one["role"] for one in span.input_messages] == ["system", "user", "assistant", "user"]
        assert texts(span) == ("and now?", "bye")
        assert (span.finish_reasons, span.events) == (["stop"], [])

    @pytest.mark.parametrize("form", [lambda call: json.dumps([call]), lambda call: [json.dumps(call)]])
    def test_calls_and_answers_of_tools_become_parts(self, read: Read, form: Callable[[Any], Any]) -> None:
        """As one text, or as LiveKit writes them: a list of texts."""
        calls = form({"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": 1}'}})
        span = read(
            ("gen_ai.assistant.message", {"tool_calls": calls}),
            ("gen_ai.tool.message", {"content": "found", "id": "c1"}),
            ("gen_ai.choice", {"finish_reason": "tool_calls", "tool_calls": calls}),
        )
        call = {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}}
        answer = {"type": "tool_call_response", "id": "c1", "response": "found"}
        assert [one["parts"] for one in span.input_messages] == [[call], [answer]]
        assert span.output_messages == [{"role": "assistant", "parts": [call]}]

    def test_several_answers_stand_in_their_order(self, read: Read) -> None:
        span = read(
            ("gen_ai.choice", {"index": 1, "finish_reason": "length", "message": "second"}),
            ("gen_ai.choice", {"index": "0", "finish_reason": "stop", "message": '"first"'}),
        )
        assert [one["parts"][0]["content"] for one in span.output_messages] == ["first", "second"]
        assert span.finish_reasons == ["stop", "length"]

    def test_a_body_in_one_attribute_is_read(self, read: Read) -> None:
        """The Azure clients' form: the body of the event as JSON text."""
        span = read(
            ("gen_ai.user.message", {"gen_ai.event.content": '{"role": "user", "content": "hello"}'}),
            ("gen_ai.choice", {"gen_ai.event.content": '{"message": {"content": "hi"}, "finish_reason": "stop"}'}),
        )
        assert texts(span) == ("hello", "hi")
        assert span.finish_reasons == ["stop"]

    def test_an_event_without_its_text_is_no_message(self, read: Read) -> None:
        span = read(("gen_ai.user.message", {}), ("gen_ai.choice", {"finish_reason": "stop"}))
        assert (span.input_messages, span.output_messages, span.finish_reasons) == ([], [], ["stop"])

    def test_messages_cut_off_are_unreadable(self, read: Read) -> None:
        span = read(("gen_ai.user.message", {"content": '[{"text": "hello wor'}), ("gen_ai.choice", {"message": "hi"}))
        found = extract_exchange(span.input_messages, span.output_messages, [])
        assert found.unreadable == {"prompt"}
        assert found.prompt is None

    def test_other_events_are_kept(self, read: Read) -> None:
        span = read(("gen_ai.user.message", {"content": "x"}), ("exception", {"exception.type": "E"}))
        assert [event["name"] for event in span.events] == ["exception"]


class TestOperationDetails:
    def test_its_attributes_may_be_spread_over_several(self, read: Read) -> None:
        name = "gen_ai.client.inference.operation.details"
        output = [{"role": "assistant", "parts": [{"type": "text", "content": "hi"}], "finish_reason": "end_turn"}]
        span = read(
            (name, {"gen_ai.system_instructions": '[{"type": "text", "content": "Be kind."}]'}),
            (name, {"gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]'}),
            (name, {"gen_ai.output.messages": json.dumps(output)}),
        )
        assert [one["role"] for one in span.input_messages] == ["system", "user"]
        assert (texts(span), span.finish_reasons) == (("hello", "hi"), ["end_turn"])

    def test_instructions_on_the_span_stand_before_messages_on_events(self, read: Read) -> None:
        span = read(
            ("gen_ai.user.message", {"content": "hello"}),
            **{"gen_ai.system_instructions": '[{"type": "text", "content": "Be kind."}]'},
        )
        assert [one["role"] for one in span.input_messages] == ["system", "user"]


class TestToolSpan:
    def test_what_a_tool_got_and_gave_is_its_own(self, read: Read) -> None:
        span = read(
            ("gen_ai.tool.message", {"role": "tool", "content": '{"q": 1}', "id": "c1"}),
            ("gen_ai.choice", {"message": '[{"text": "found"}]', "id": "c1"}),
            **{"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find"},
        )
        call = {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}}
        answer = {"type": "tool_call_response", "id": "c1", "response": "found"}
        assert span.input_messages == [{"role": "tool", "parts": [call]}]
        assert span.output_messages == [{"role": "tool", "parts": [answer]}]
        assert texts(span) == (None, None)
