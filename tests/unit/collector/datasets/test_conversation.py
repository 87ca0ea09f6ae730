"""Stored messages, to the turns that trainers read."""

from __future__ import annotations

from typing import Any

import pytest

from collector.datasets.conversation import Call, Turn, Unusable, calls_a_tool, mask_turns, read_turns


def text(content: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def call(identifier: str | None, name: str = "clock", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": identifier, "name": name, "arguments": arguments}


def answer(identifier: str | None, response: Any, role: str = "tool") -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "tool_call_response", "id": identifier, "response": response}]}


class TestReadTurns:
    def test_gives_the_whole_conversation(self) -> None:
        messages = [text("Be brief.", "system"), text("Hello?"), text("Hi.", "assistant"), text("And now?")]
        assert read_turns(messages) == (
            Turn("system", "Be brief."), Turn("user", "Hello?"), Turn("assistant", "Hi."), Turn("user", "And now?"),
        )  # fmt: skip

    def test_joins_what_one_side_says_in_a_row(self) -> None:
        messages = [text("A", "developer"), text("B", "system"), text("C"), text("D")]
        assert read_turns(messages) == (Turn("system", "A\nB"), Turn("user", "C\nD"))

    def test_joins_tools_with_their_calls(self) -> None:
        asked = {"role": "assistant", "parts": [call("x", zone="UTC"), call("y", "diary")]}
        found = read_turns([text("Late?"), asked, answer("y", {"free": True}), answer("x", "12:00")])
        assert found == (
            Turn("user", "Late?"),
            Turn("assistant", "", (Call("x", "clock", {"zone": "UTC"}), Call("y", "diary", {}))),
            Turn("tool", '{"free":true}', call_id="y", name="diary"),
            Turn("tool", "12:00", call_id="x", name="clock"),
        )

    def test_joins_tools_without_ids_in_order_whoever_s_message_they_are_in(self) -> None:
        asked = {"role": "assistant", "parts": [call(None), call(None, "diary")]}
        both = {"role": "user", "parts": [*answer(None, "1")["parts"], *answer(None, "2")["parts"]]}
        found = read_turns([text("Late?"), asked, both])
        assert not isinstance(found, Unusable)
        assert [(turn.name, turn.text) for turn in found[2:]] == [("clock", "1"), ("diary", "2")]

    def test_drops_reasoning_and_nothing_else(self) -> None:
        thinking = {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}]}
        assert read_turns([text("A"), thinking, text("B")]) == (Turn("user", "A\nB"),)

    def test_takes_unknown_roles_for_the_user_where_nobody_else_asks(self) -> None:
        assert read_turns([text("A", "customer")]) == (Turn("user", "A"),)

    @pytest.mark.parametrize(
        ("messages", "reason"),
        [
            ([text("A"), text("B", "critic"), text("C")], "has a role that no trainer knows"),
            ([{"role": "user", "parts": [{"type": "uri", "uri": "https://x"}]}], "holds more than text"),
            ([{"role": "user", "parts": [{"type": "redacted"}]}], "is not whole"),
            ([text("A"), {"role": "assistant", "parts": [call("x")]}, text("B")], "calls a tool that never answers"),
            ([text("A"), {"role": "assistant", "parts": [call("x")]}], "calls a tool that never answers"),
            ([text("A"), answer("x", "12:00")], "holds a tool's answer without its call"),
            ([text("A"), text("B", "assistant")], "does not end with a question"),
            ([text("A", "system")], "does not end with a question"),
            ([], "does not end with a question"),
            ([{"role": "user", "parts": "A"}], "does not end with a question"),
        ],
    )
    def test_gives_no_half_of_a_conversation(self, messages: list[dict[str, Any]], reason: str) -> None:
        assert read_turns(messages) == Unusable(reason)


class TestMaskTurns:
    def test_reaches_what_tools_are_given(self) -> None:
        turns = (Turn("assistant", "a", (Call("x", "a", {"to": ["a", 1], "n": None}),)), Turn("tool", "a", name="a"))
        masked = mask_turns(turns, str.upper)
        assert masked == (
            Turn("assistant", "A", (Call("x", "a", {"to": ["A", 1], "n": None}),)),
            Turn("tool", "A", name="a"),
        )


def test_a_call_is_no_whole_answer_in_words() -> None:
    assert calls_a_tool([{"role": "assistant", "parts": [call("x")]}])
    assert not calls_a_tool([text("A", "assistant")])
