"""A span's content is written as JSON, whatever its client put into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.content import content_to_json
from collector.dialects.span import NormalSpan

Chat = Callable[..., NormalSpan]


class TestBody:
    def test_it_holds_messages_documents_attributes_and_status(self, chat_span: Chat) -> None:
        span = chat_span("Hello?", "Hi.", status_message="broke", attributes={"custodes.documents": '["a"]', "n": 1})
        assert orjson.loads(content_to_json(span)) == {
            "input_messages": span.input_messages,
            "output_messages": span.output_messages,
            "retrieved_documents": span.retrieved_documents,
            "attributes": span.attributes,
            "status_message": "broke",
        }

    @given(text=st.text())
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    def test_text_stays_exactly_except_half_surrogates(self, chat_span: Chat, text: str) -> None:
        content = orjson.loads(content_to_json(chat_span(f"x{text}", "b")))
        expected = f"x{text}".encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        assert content["input_messages"][0]["parts"][0]["content"] == expected

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (b"\x00\xff", {"base64": "AP8="}),
            (2**70, str(2**70)),
            (float("nan"), None),
            ("\ud800", "\ufffd"),
            ({"\ud800": 1}, {"\ufffd": 1}),
        ],
    )
    def test_what_json_cannot_say_is_written_readably(self, chat_span: Chat, value: Any, expected: Any) -> None:
        content = orjson.loads(content_to_json(chat_span(attributes={"odd": value})))
        assert content["attributes"]["odd"] == expected

    def test_nesting_without_end_is_cut(self, chat_span: Chat) -> None:
        value: Any = "deep"
        for _ in range(400):
            value = [value]
        assert orjson.loads(content_to_json(chat_span(attributes={"odd": value})))["attributes"]["odd"]
