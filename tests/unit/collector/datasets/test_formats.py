"""The shapes of rows, against what the readers of each format document."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from collector.datasets.conversation import Call, Turn
from collector.datasets.formats import FORMATS, Judged, rows_of

ASKED = (Turn("user", "Q?"),)
BAD = Judged(ASKED, "rude", False, "kind")
GOOD = Judged(ASKED, "kind", True)
LONG = (
    Turn("system", "Be kind."),
    Turn("user", "Late?"),
    Turn("assistant", "", (Call("c-1", "clock", {"zone": "UTC"}),)),
    Turn("tool", "12:00", call_id="c-1", name="clock"),
    Turn("assistant", "No."),
    Turn("user", "Sure?"),
)


class TestRows:
    def test_never_teach_a_bad_answer(self) -> None:
        plain = Judged(ASKED, "rude", False)
        for wanted in FORMATS:
            if wanted != "trl-unpaired":
                assert rows_of(plain, wanted) == []
        assert [row["label"] for row in rows_of(plain, "trl-unpaired")] == [False]

    def test_have_the_shapes_that_trainers_read(self) -> None:
        user = [{"role": "user", "content": "Q?"}]
        kind, rude = [{"role": "assistant", "content": "kind"}], [{"role": "assistant", "content": "rude"}]
        assert rows_of(GOOD, "trl-prompt-completion") == [{"prompt": user, "completion": kind}]
        assert rows_of(BAD, "trl-preference") == [{"prompt": user, "chosen": kind, "rejected": rude}]
        assert rows_of(BAD, "trl-unpaired") == [
            {"prompt": user, "completion": rude, "label": False},
            {"prompt": user, "completion": kind, "label": True},
        ]
        assert rows_of(GOOD, "openai-chat") == [{"messages": user + kind}]
        assert rows_of(BAD, "openai-dpo") == [
            {"input": {"messages": user}, "preferred_output": kind, "non_preferred_output": rude}
        ]

    def test_hold_the_whole_conversation(self) -> None:
        (row,) = rows_of(Judged(LONG, "Yes.", True), "trl-prompt-completion")
        assert row["prompt"] == [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Late?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}],
            },
            {"role": "tool", "content": "12:00", "name": "clock"},
            {"role": "assistant", "content": "No."},
            {"role": "user", "content": "Sure?"},
        ]
        assert row["completion"] == [{"role": "assistant", "content": "Yes."}]

    def test_teach_openai_only_the_answer_that_was_looked_at(self) -> None:
        (row,) = rows_of(Judged(LONG, "Yes.", True), "openai-chat")
        weights = [one.get("weight") for one in row["messages"] if one["role"] == "assistant"]
        assert weights == [0, 0, None]

    @pytest.mark.parametrize("judged", [GOOD, BAD, Judged(LONG, "Yes.", True), Judged(LONG, "No.", False, "Yes.")])
    def test_are_what_openai_documents(self, judged: Judged) -> None:
        for row in rows_of(judged, "openai-chat"):
            assert row.keys() == {"messages"}
            check_messages(row["messages"])
            assert row["messages"][-1]["role"] == "assistant"
        for row in rows_of(judged, "openai-dpo"):
            assert row.keys() == {"input", "preferred_output", "non_preferred_output"}
            check_messages(row["input"]["messages"])
            for side in ("preferred_output", "non_preferred_output"):
                (answer,) = row[side]
                assert answer.keys() == {"role", "content"}
                assert (answer["role"], bool(answer["content"])) == ("assistant", True)


def check_messages(messages: list[dict[str, Any]]) -> None:
    """Hold messages to OpenAI's reference of chat messages and of fine-tuning files."""
    open_calls: list[str] = []
    for message in messages:
        role = message["role"]
        assert role in ("system", "user", "assistant", "tool")
        assert isinstance(message["content"], str)
        allowed = {"assistant": {"tool_calls", "weight"}, "tool": {"tool_call_id"}}.get(role, set())
        assert message.keys() - {"role", "content"} <= allowed
        assert message.get("weight", 1) in (0, 1)
        if role == "tool":
            open_calls.remove(message["tool_call_id"])
            continue
        assert not open_calls, "every call is answered before anybody speaks again"
        for call in message.get("tool_calls", ()):
            assert call.keys() == {"id", "type", "function"}
            assert call["type"] == "function"
            assert isinstance(orjson.loads(call["function"]["arguments"]), dict)
            open_calls.append(call["id"])
    assert not open_calls
