"""Bodies and messages as the APIs write them, LangChain's serialised objects, and arguments of traced functions.

Built after the shapes documented by OpenAI, Anthropic, Google, AWS and LangChain.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dialects.exchange import extract_exchange
from collector.dialects.messages import (
    decode_json,
    read_call_messages,
    read_finish_reasons_of,
    read_json_messages,
    read_messages,
    read_words,
)
from collector.dialects.shapes import messages_in, plain_messages

SAID = [{"type": "output_text", "text": "hi"}]


def lc(name: str, **kwargs: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": kwargs}


def text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def prompt_of(value: Any) -> str | None:
    return extract_exchange(read_messages(value, "user"), [], []).prompt


def response_of(value: Any) -> str | None:
    return extract_exchange([], read_messages(value, "assistant"), []).response


class TestRequests:
    @pytest.mark.parametrize(
        "value",
        [
            {"model": "m", "messages": [{"role": "user", "content": "hello"}], "temperature": 0},
            {"model": "m", "system": "Be kind.", "messages": [{"role": "user", "content": "hello"}]},
            {"instructions": "Be kind.", "input": [{"type": "message", "role": "user", "content": "hello"}]},
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}]},
            {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
            {"messages": [{"role": "user", "content": [{"text": "hello"}]}]},
            {"messages": [[lc("SystemMessage", content="Be kind."), lc("HumanMessage", content="hello")]]},
            {"messages": [[{"type": "human", "content": "hello"}]]},
            [{"type": "human", "data": {"content": "hello", "type": "human"}}],
            {"prompts": ["hello"]},
            {"input": {"messages": [{"role": "user", "content": "hello"}]}},
            [{"role": "model", "content": "yes?"}, {"role": "user", "content": "hello"}],
        ],
    )  # fmt: skip
    def test_the_prompt_is_found(self, value: Any) -> None:
        assert prompt_of(value) == "hello"
        assert prompt_of(json.dumps(value)) == "hello"


class TestResponses:
    @pytest.mark.parametrize(
        "value",
        [
            {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}]},
            {"choices": [{"text": "hi", "finish_reason": "stop"}]},
            {"id": "msg", "role": "assistant", "stop_reason": "end_turn", "content": [{"type": "text", "text": "hi"}]},
            {"output": [{"type": "reasoning"}, {"type": "message", "role": "assistant", "content": SAID}]},
            {"candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}]},
            {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn"},
            {"message": {"role": "assistant", "content": "hi"}, "done_reason": "stop"},
            {"generations": [[{"text": "hi", "message": lc("AIMessage", content="hi"), "generation_info": {}}]]},
            {"generations": [[{"text": "hi", "type": "Generation"}]]},
            lc("AIMessageChunk", content=[{"type": "text", "text": "hi"}]),
            {"type": "ai", "data": {"content": "hi", "type": "ai"}},
            {"input": "hello", "output": "hi"},
            {"combined_chunk_content": "hi", "chunk_count": 2},
            {"output": "hi"},
        ],
    )  # fmt: skip
    def test_the_response_is_found(self, value: Any) -> None:
        assert response_of(value) == "hi"
        assert response_of(json.dumps(value)) == "hi"

    @pytest.mark.parametrize("side", ["user", "assistant"])
    def test_an_unknown_role_is_that_of_the_side(self, side: str) -> None:
        """OpenLLMetry writes it for the chunks that LangChain joins to one message."""
        said = '[{"role": "unknown", "parts": [{"type": "text", "content": "At nine."}]}]'
        assert read_json_messages(said, side)[0]["role"] == side

    def test_calls_beside_messages_are_kept(self) -> None:
        call: Any = {"type": "function_call", "call_id": "c", "name": "find", "arguments": "{}"}
        answer: Any = {"type": "function_call_output", "call_id": "c", "output": "42"}
        messages = read_messages([{"role": "user", "content": "hello"}, call, answer], "user")
        assert [one["role"] for one in messages] == ["user", "user", "tool"]
        assert [one["parts"][0]["type"] for one in messages] == ["text", "tool_call", "tool_call_response"]
        assert prompt_of([{"role": "user", "content": "hello"}, call, answer]) == "hello"

    def test_langchain_calls_and_answers_are_parts(self) -> None:
        calls = [{"name": "find", "args": {"q": 1}, "id": "c", "type": "tool_call"}]
        value: Any = [lc("AIMessage", content="", tool_calls=calls), lc("ToolMessage", content="42", tool_call_id="c")]
        first, second = read_messages(value, "user")
        call, answer = first["parts"][0], second["parts"][0]
        assert (first["role"], second["role"]) == ("assistant", "tool")
        assert call == {"type": "tool_call", "id": "c", "name": "find", "arguments": {"q": 1}}
        assert answer == {"type": "tool_call_response", "id": "c", "response": "42"}

    def test_spoken_answers_keep_reference_and_transcript(self) -> None:
        audio: Any = {"id": "audio_1", "transcript": "hi", "data": "AAAA"}
        (message,) = read_messages([{"role": "assistant", "content": None, "audio": audio}], "assistant")
        blob = {"type": "blob", "modality": "audio", "content": "AAAA", "transcript": "hi"}
        assert message["parts"] == [blob]
        assert extract_exchange([], [message], []).response is None


class TestFinishReasons:
    @pytest.mark.parametrize(
        ("value", "reasons"),
        [
            ({"choices": [{"finish_reason": "stop"}, {"finish_reason": "length"}]}, ["stop", "length"]),
            ({"stop_reason": "end_turn", "content": []}, ["end_turn"]),
            ({"candidates": [{"finishReason": "STOP"}]}, ["STOP"]),
            ({"generations": [[{"generation_info": {"finish_reason": "stop"}}]]}, ["stop"]),
            ({"done_reason": "stop"}, ["stop"]),
            ({"choices": [{"finish_reason": None}]}, None),
            ({"choices": 5}, None),
            ("stop", None),
        ],
    )
    def test_they_are_read_from_bodies(self, value: Any, reasons: list[str] | None) -> None:
        assert read_finish_reasons_of(value) == reasons


class TestArguments:
    @pytest.mark.parametrize(
        "value",
        [
            {"question": "hello"},
            {"anything": "hello"},
            {"query": "hello", "top_k": 3},
            {"args": ["hello"], "kwargs": {}},
            {"args": [], "kwargs": {"q": "hello"}},
            {"inputs": {"question": "hello"}, "tags": [], "metadata": {"a": "b"}},
            {"messages": [{"role": "user", "content": "hello"}]},
            "hello",
        ],
    )
    def test_the_text_among_them_is_found(self, value: Any) -> None:
        assert read_call_messages(value, "user") == [text("user", "hello")]

    @pytest.mark.parametrize("value", [{"a": "x", "b": "y"}, {"a": 1}, {"place": "x", "count": 2}])
    def test_what_names_no_text_is_kept_whole(self, value: Any) -> None:
        assert read_call_messages(value, "user") == [{"role": "user", "parts": [{"type": "json", "content": value}]}]

    def test_a_vector_is_kept_whole_and_never_text(self) -> None:
        assert read_messages("[[0.5, 0.25]]", "assistant") == [
            {"role": "assistant", "parts": [{"type": "json", "content": [0.5, 0.25]}]}
        ]

    def test_json_said_by_a_model_is_text(self) -> None:
        assert read_words('{"answer_code": 4, "why": "x"}', "assistant") == [
            text("assistant", '{"answer_code": 4, "why": "x"}')
        ]


class TestDecodeJson:
    @pytest.mark.parametrize(
        ("value", "decoded"),
        [
            ('"hi"', "hi"),
            ('"say \\"hi\\""', 'say "hi"'),
            ('"[1, 2]"', "[1, 2]"),
            ('"{cut"', "{cut"),
            ("null", None),
            ('{"a": 1}', {"a": 1}),
            ('"open', '"open'),
            ('"', '"'),
            ("plain", "plain"),
            (5, 5),
            (None, None),
        ],
    )
    def test_text_in_quotes_is_text_and_never_json_again(self, value: Any, decoded: Any) -> None:
        assert decode_json(value) == decoded


NAMES = st.sampled_from(
    ["lc", "id", "kwargs", "type", "data", "content", "role", "parts", "messages", "choices", "generations", "output",
     "input", "message", "args", "tool_calls", "audio", "candidates", "finish_reason", "instructions"]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.sampled_from(["human", "ai", "HumanMessage", "text", "x", "", "tool"]), st.integers(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


class TestAnyValue:
    @given(VALUES, st.booleans())
    def test_messages_always_have_a_role_and_typed_parts(self, value: Any, as_text: bool) -> None:
        given_value = json.dumps(value) if as_text else value
        for read in (read_messages, read_json_messages, read_call_messages, read_words):
            for message in read(given_value, "user"):
                assert isinstance(message["role"], str)
                assert all(isinstance(part["type"], str) for part in message["parts"])
        read_finish_reasons_of(given_value)


class TestPlainMessages:
    """The short way must find what the long way finds, or nothing."""

    parts = st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["text", "text", "refusal", "uri", 5, None])},
            optional={"content": st.sampled_from(["hello", "", "__REDACTED__", 5, None]), "text": st.just("x")},
        ),
        max_size=3,
    )
    messages = st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "system", "tool", "human", "", None, 5, ["user"]])},
            optional={
                "parts": parts | st.none() | st.text(max_size=3),
                "finish_reason": st.sampled_from(["stop", None]),
                "name": st.just("ann"),
                "content": st.just("hi"),
                "tool_calls": st.just([]),
            },
        ),
        max_size=4,
    )

    @given(messages)
    def test_they_are_what_the_long_way_finds(self, values: list[Any]) -> None:
        found = plain_messages(values)
        assert found is None or found == messages_in(values, "user")

    def test_most_conversations_are_plain(self) -> None:
        values = [
            {"role": role, "parts": [{"type": "text", "content": role}], "finish_reason": "stop"}
            for role in ("system", "user", "assistant")
        ]
        assert plain_messages(values) == [{"role": one["role"], "parts": one["parts"]} for one in values]
