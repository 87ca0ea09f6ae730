"""Messages of every shape end as roles and parts."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dialects.exchange import extract_exchange
from collector.dialects.messages import (
    read_finish_reasons_of,
    read_json_instructions,
    read_json_messages,
    read_messages,
)
from collector.otlp.spans import Value


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

    def test_broken_json_is_text_where_plain_text_is_meant(self) -> None:
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


def unreadable(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "unreadable", "content": content}]}


SAID = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hello"}]}])


class TestAttributesOfJson:
    """Attributes that hold JSON by convention: what cannot be read is never taken for something said."""

    @pytest.mark.parametrize("length", range(1, len(SAID)))
    @pytest.mark.parametrize("encodings", [0, 1, 2])
    def test_json_cut_off_anywhere_is_unreadable_and_kept(self, length: int, encodings: int) -> None:
        whole = SAID
        for _ in range(encodings):
            whole = json.dumps(whole)
        # The bracket must have arrived: a quotation mark alone begins any text.
        cut = whole[: length + whole.index("[")]
        messages = read_json_messages(cut, "user")
        assert messages == [unreadable("user", cut)]
        texts = extract_exchange(messages, [], [])
        assert (texts.prompt, texts.unreadable) == (None, frozenset({"prompt"}))

    @pytest.mark.parametrize("before", ["", " ", "\n\t", "\ufeff"])
    def test_blanks_before_it_change_nothing(self, before: str) -> None:
        assert read_json_messages(before + SAID, "user") == HELLO
        cut = before + SAID[:20]
        assert read_json_messages(cut, "user") == [unreadable("user", cut)]

    @pytest.mark.parametrize("encodings", [1, 2, 3, 4])
    def test_json_encoded_several_times_is_unwrapped(self, encodings: int) -> None:
        value = SAID
        for _ in range(encodings - 1):
            value = json.dumps(value)
        assert read_json_messages(value, "user") == HELLO

    def test_json_encoded_more_often_than_that_is_unreadable(self) -> None:
        value = SAID
        for _ in range(4):
            value = json.dumps(value)
        assert read_json_messages(value, "user") == [unreadable("user", value)]

    def test_half_a_surrogate_pair_becomes_a_replacement_character(self) -> None:
        value = '[{"role": "user", "content": "cut \\ud83d here"}]'
        assert read_json_messages(value, "user") == [text("user", "cut \ufffd here")]

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_numbers_that_are_no_json_are_read(self, number: str) -> None:
        call = f'{{"type": "tool_call", "id": "c1", "name": "f", "arguments": {{"x": {number}}}}}'
        value = f'[{{"role": "assistant", "parts": [{{"type": "text", "content": "hello"}}, {call}]}}]'
        (message,) = read_json_messages(value, "assistant")
        assert message["parts"][0] == {"type": "text", "content": "hello"}
        assert not math.isfinite(message["parts"][1]["arguments"]["x"])

    def test_nesting_deeper_than_is_walked_is_unreadable(self) -> None:
        value = "[" * 65 + "]" * 65
        assert read_json_messages(value, "user") == [unreadable("user", value)]
        assert read_json_messages("[" * 5000 + "]" * 5000, "user")[0]["parts"][0]["type"] == "unreadable"

    @pytest.mark.parametrize("value", ["hello", '"hello"', '"Hello" is what she said', "hello [", ""])
    def test_plain_text_stays_text(self, value: str) -> None:
        expected = [text("user", value.strip('"') if value == '"hello"' else value)] if value else []
        assert read_json_messages(value, "user") == expected

    def test_a_text_that_is_quoted_keeps_its_marks(self) -> None:
        assert read_json_messages(json.dumps('"hello"'), "user") == [text("user", '"hello"')]

    def test_a_list_of_texts_may_hold_messages_as_json(self) -> None:
        one = json.dumps({"role": "user", "content": "hello"})
        assert read_json_messages([one, one[:-5]], "user") == [*HELLO, unreadable("user", one[:-5])]

    def test_instructions_are_read_alike(self) -> None:
        told = '[{"type": "text", "content": "Be kind."}]'
        assert read_json_instructions(json.dumps(told)) == [text("system", "Be kind.")]
        assert read_json_instructions(told[:-3]) == [unreadable("system", told[:-3])]

    def test_what_a_model_says_within_a_message_is_text_though_it_looks_like_json(self) -> None:
        value = json.dumps([{"role": "assistant", "content": '{"answer": 4'}])
        assert read_json_messages(value, "assistant") == [text("assistant", '{"answer": 4')]


class TestParts:
    @pytest.mark.parametrize("part", [{"type": "unreadable"}, {"type": "unreadable", "content": "x"}])
    def test_a_client_cannot_set_the_mark_of_unreadable_content(self, part: dict[str, Any]) -> None:
        messages = read_json_messages([{"role": "user", "parts": [part]}], "user")
        assert messages[0]["parts"] == [{**part, "type": "generic"}]
        assert extract_exchange(messages, messages, []).unreadable == set()

    def test_what_is_no_text_is_kept_beside_it(self) -> None:
        image = {"type": "uri", "modality": "image", "uri": "https://example.org/cat.png"}
        blob = {"type": "blob", "modality": "audio", "content": "AAAA"}
        other = {"type": "compaction", "id": "c"}
        value: Any = [{"role": "user", "content": [{"type": "text", "text": "look"}, image, blob, other]}]
        assert read_messages(value, "user")[0]["parts"] == [{"type": "text", "content": "look"}, image, blob, other]

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
        (message,) = read_json_instructions(parts)
        assert message["role"] == "system"
        assert [part["content"] for part in message["parts"]] == ["Be kind.", "Be brief."]
        assert read_json_instructions("Be kind.") == [text("system", "Be kind.")]
        assert read_json_instructions(None) == []


class TestFinishReasons:
    def test_they_are_found_in_messages_and_choices(self) -> None:
        assert read_finish_reasons_of([{"finish_reason": "stop"}, {"finish_reason": "length"}]) == ["stop", "length"]
        assert read_finish_reasons_of('{"choices": [{"finish_reason": "stop"}]}') == ["stop"]
        assert read_finish_reasons_of("text") is None
        assert read_finish_reasons_of([{"finish_reason": None}]) is None


class TestTooMany:
    def test_more_messages_than_any_conversation_has_are_kept_unread(self) -> None:
        value = "[" + ",".join(["{}"] * 10_001) + "]"
        for read in (read_messages, read_json_messages):
            (message,) = read(value, "user")
            assert message == {"role": "user", "parts": [{"type": "unreadable", "content": value}]}

    def test_more_parts_than_a_message_has_are_kept_unread(self) -> None:
        parts: list[Value] = [{"type": "text", "content": "a"}] * 10_001
        (message,) = read_messages([{"role": "user", "parts": parts}], "user")
        assert [part["type"] for part in message["parts"]] == ["unreadable"]
