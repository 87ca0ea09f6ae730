"""Messages of every shape end as roles and parts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dialects.messages import read_finish_reasons_of, read_instructions, read_messages


def text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


HELLO = [text("user", "hello")]


class TestShapes:
    @pytest.mark.parametrize(
        "value",
        [
            "hello",
            [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}],
            [{"role": "user", "content": "hello"}],
            [{"role": "human", "content": "hello"}],
            [{"content": "hello"}],
            {"role": "user", "content": "hello"},
            {"messages": [{"role": "user", "content": "hello"}], "model": "m"},
            {"input": "hello", "model": "m"},
            {"prompt": "hello"},
            {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
            [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
            [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}],
            [{"type": "text", "text": "hello"}],
            ["hello"],
            {"text": "hello"},
        ],
    )
    def test_a_prompt_is_read_whatever_its_shape(self, value: Any) -> None:
        assert read_messages(value, "user") == HELLO
        if not isinstance(value, str):
            assert read_messages(json.dumps(value), "user") == HELLO

    @pytest.mark.parametrize(
        "value",
        [
            {"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]},
            {"choices": [{"text": "hi"}]},
            {"content": [{"type": "text", "text": "hi"}], "role": "assistant"},
            {"content": "hi"},
            {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}]},
            [{"role": "model", "parts": [{"text": "hi"}]}],
            "hi",
        ],
    )
    def test_a_response_is_read_whatever_its_shape(self, value: Any) -> None:
        assert read_messages(value, "assistant") == [text("assistant", "hi")]

    @pytest.mark.parametrize("value", [None, "", [], {"messages": []}])
    def test_nothing_gives_no_message(self, value: Any) -> None:
        assert read_messages(value, "user") == []

    def test_a_request_body_brings_its_system_text(self) -> None:
        value: Any = {"system": "Be kind.", "messages": [{"role": "user", "content": "hello"}]}
        assert read_messages(value, "user") == [text("system", "Be kind."), *HELLO]

    def test_json_that_is_no_message_is_kept_whole(self) -> None:
        assert read_messages('{"question": "why?"}', "user") == [
            {"role": "user", "parts": [{"type": "json", "content": {"question": "why?"}}]}
        ]

    def test_broken_json_is_text(self) -> None:
        assert read_messages('[{"role": "user"', "user") == [text("user", '[{"role": "user"')]

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(
                        ["role", "parts", "content", "type", "text", "tool_calls", "choices", "message", "input"]
                    ),
                    inner,
                )
            ),
        )
    )
    def test_any_structure_gives_roles_and_typed_parts(self, value: Any) -> None:
        for message in read_messages(value, "user"):
            assert isinstance(message["role"], str)
            assert all(isinstance(part["type"], str) for part in message["parts"])
            assert all(isinstance(part["content"], str) for part in message["parts"] if part["type"] == "text")


class TestParts:
    def test_what_is_no_text_is_kept_as_it_came(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
        blob = {"type": "blob", "modality": "audio", "content": "AAAA"}
        value: Any = [{"role": "user", "content": [{"type": "text", "text": "look"}, image, blob]}]
        assert read_messages(value, "user")[0]["parts"] == [{"type": "text", "content": "look"}, image, blob]

    def test_a_part_without_a_type_is_generic(self) -> None:
        assert read_messages([{"role": "user", "parts": [{"x": 1}]}], "user")[0]["parts"] == [
            {"x": 1, "type": "generic"}
        ]

    def test_an_openai_tool_call_has_its_arguments_parsed(self) -> None:
        call: Any = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}
        (message,) = read_messages([{"role": "assistant", "content": None, "tool_calls": [call]}], "user")
        assert message["parts"] == [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": "x"}}]

    def test_an_openai_tool_answer_names_its_call(self) -> None:
        (message,) = read_messages([{"role": "tool", "tool_call_id": "c1", "content": "42"}], "user")
        assert message["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "42"}]

    def test_anthropic_tool_blocks_become_calls_and_answers(self) -> None:
        value: Any = [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "find", "input": {"q": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "42"}]},
        ]
        first, second = read_messages(value, "user")
        assert first["parts"] == [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}}]
        assert second["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "42"}]

    @pytest.mark.parametrize(
        "value",
        [
            {"role": "assistant", "content": None, "refusal": "I can't."},
            {"role": "assistant", "parts": [{"type": "refusal", "content": "I can't."}]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "I can't."}]},
        ],
    )
    def test_a_refusal_keeps_its_words(self, value: Any) -> None:
        assert read_messages([value], "assistant")[0]["parts"] == [{"type": "refusal", "content": "I can't."}]

    def test_hidden_text_is_no_text(self) -> None:
        assert read_messages("__REDACTED__", "user") == [{"role": "user", "parts": [{"type": "redacted"}]}]


class TestInstructions:
    def test_they_become_one_system_message(self) -> None:
        parts = '[{"type": "text", "content": "Be kind."}, {"type": "text", "content": "Be brief."}]'
        (message,) = read_instructions(parts)
        assert message["role"] == "system"
        assert [part["content"] for part in message["parts"]] == ["Be kind.", "Be brief."]
        assert read_instructions("Be kind.") == [text("system", "Be kind.")]
        assert read_instructions(None) == []


class TestFinishReasons:
    def test_they_are_found_in_messages_and_choices(self) -> None:
        assert read_finish_reasons_of([{"finish_reason": "stop"}, {"finish_reason": "length"}]) == ["stop", "length"]
        assert read_finish_reasons_of('{"choices": [{"finish_reason": "stop"}]}') == ["stop"]
        assert read_finish_reasons_of("text") is None
        assert read_finish_reasons_of([{"finish_reason": None}]) is None
