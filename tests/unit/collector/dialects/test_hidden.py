"""The marks that stand for hidden text, of every client, and text that only resembles them."""

from __future__ import annotations

import json

import pytest

from collector.dialects.documents import read_documents
from collector.dialects.exchange import extract_exchange
from collector.dialects.hidden import is_hidden
from collector.dialects.messages import read_json_messages, read_messages

MARKS = [
    "__REDACTED__",
    "<redacted>",
    "<REDACTED>",
    "[REDACTED]",
    "[Scrubbed due to 'password']",
    "[Scrubbed due to 'auth']\n",
    "<fully masked due to failed mask function>",
    "[MASKED]",
    "redacted-by-litellm",
    "<elided>",
    "*****",
]


class TestIsHidden:
    @pytest.mark.parametrize("text", MARKS)
    def test_it_knows_the_mark(self, text: str) -> None:
        assert is_hidden(text)

    @pytest.mark.parametrize(
        "text",
        ["", "*", "**", "redacted", "The name is [REDACTED].", "[Scrubbed due to", "<b>hi</b>", "__init__", "[1, 2]"],
    )
    def test_text_that_only_holds_or_resembles_one_stays_text(self, text: str) -> None:
        assert not is_hidden(text)


@pytest.mark.parametrize("mark", MARKS)
class TestReaders:
    @pytest.mark.parametrize("wrap", [lambda one: one, lambda one: json.dumps([{"role": "user", "content": one}])])
    def test_messages_of_a_mark_have_no_text(self, mark: str, wrap: object) -> None:
        assert callable(wrap)
        for read in (read_messages, read_json_messages):
            messages = read(wrap(mark), "user")
            assert [message["parts"] for message in messages] == [[{"type": "redacted"}]]
            texts = extract_exchange(messages, messages, [])
            assert (texts.prompt, texts.response, texts.unreadable) == (None, None, frozenset())

    def test_a_mark_is_no_document(self, mark: str) -> None:
        assert read_documents(mark) == []
        assert read_documents([{"id": "7", "content": mark}]) == [{"id": "7", "content": None, "score": None}]
