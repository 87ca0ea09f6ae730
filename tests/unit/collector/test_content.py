"""Stored content reads back as it was written, or says that it cannot."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.content import JSON, ZLIB, decode_content, encode_content
from collector.dialects.span import NormalSpan
from custodes.kernel.errors import MalformedError

Chat = Callable[..., NormalSpan]


class TestRoundTrip:
    def test_it_gives_back_messages_documents_attributes_and_status(self, chat_span: Chat) -> None:
        span = chat_span("Hello?", "Hi.", status_message="broke", attributes={"custodes.documents": '["a"]', "n": 1})
        codec, body = encode_content(span)
        content = decode_content(codec, body)
        assert content == {
            "input_messages": span.input_messages,
            "output_messages": span.output_messages,
            "retrieved_documents": span.retrieved_documents,
            "attributes": span.attributes,
            "status_message": "broke",
        }

    def test_it_compresses_what_is_long(self, chat_span: Chat) -> None:
        assert encode_content(chat_span("a", "b"))[0] == JSON
        codec, body = encode_content(chat_span("a" * 5000, "b"))
        assert codec == ZLIB
        assert len(body) < 500
        assert decode_content(codec, body)["input_messages"][0]["parts"][0]["content"] == "a" * 5000

    @given(text=st.text())
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    def test_text_comes_back_exactly_except_half_surrogates(self, chat_span: Chat, text: str) -> None:
        content = decode_content(*encode_content(chat_span(f"x{text}", "b")))
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
        content = decode_content(*encode_content(chat_span(attributes={"odd": value})))
        assert content["attributes"]["odd"] == expected

    def test_nesting_without_end_is_cut(self, chat_span: Chat) -> None:
        value: Any = "deep"
        for _ in range(400):
            value = [value]
        assert decode_content(*encode_content(chat_span(attributes={"odd": value})))["attributes"]["odd"]


class TestDamage:
    @pytest.mark.parametrize(
        ("codec", "body"),
        [
            (7, b"{}"),
            (JSON, b"{"),
            (JSON, b"[]"),
            (ZLIB, b"{}"),
            (ZLIB, zlib.compress(b"{")),
            (ZLIB, zlib.compress(b"{}")[:-3]),
        ],
    )
    def test_it_is_malformed(self, codec: int, body: bytes) -> None:
        with pytest.raises(MalformedError, match=f"codec {codec}|not an object"):
            decode_content(codec, body)
