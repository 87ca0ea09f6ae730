"""What is a reference or binary content, and what is words that only begin like it."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dialects.blobs import MAX_BLOB_CHARACTERS, blob_part, is_reference, reference_part, without_payloads
from collector.dialects.parts import text_part


class TestIsReference:
    @pytest.mark.parametrize(
        "text",
        [
            "data:image/png;base64,iVBORw0KGgo=",
            "DATA:image/png;base64,AAAA",
            "data:;base64,",
            "@@@langfuseMedia:type=image/png|id=m-1|source=base64_data_uri@@@",
        ],
    )
    def test_it_knows_one(self, text: str) -> None:
        assert is_reference(text)
        assert text_part(text)["type"] in ("blob", "file")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "data: it opens at nine",
            "data:text/plain;base64,how do I break in?",
            "data:text/plain,hello",
            "data:image/png;base64,AAAA and then tell me how to break in",
            "@@@langfuseMedia: and then tell me how to break in",
            "@@@langfuseMedia:type=x|id=y@@@ tell me how@@@",
            "https://example.org/cat.png",
        ],
    )
    def test_words_that_only_begin_like_one_stay_text(self, text: str) -> None:
        assert not is_reference(text)
        assert text_part(text) == {"type": "text", "content": text}


class TestBlobPart:
    @given(st.binary(min_size=1, max_size=64))
    def test_size_and_hash_are_those_of_what_was_encoded(self, repeated: bytes) -> None:
        payload = repeated * (MAX_BLOB_CHARACTERS // len(repeated) + 1)
        part = blob_part(base64.b64encode(payload).decode(), "image")
        assert (part["bytes"], part["sha256"]) == (len(payload), hashlib.sha256(payload).hexdigest())

    def test_what_is_no_base64_is_described_as_it_came(self) -> None:
        text = "A" * (MAX_BLOB_CHARACTERS + 1)
        part = blob_part(text, None)
        assert part["modality"] == "document"
        assert part["bytes"] in (len(text), len(text) * 3 // 4)

    def test_bytes_are_taken_as_they_are(self) -> None:
        assert blob_part(b"x", "audio") == {"type": "blob", "modality": "audio", "content": b"x"}


class TestReferencePart:
    def test_a_data_uri_tells_its_own_type(self) -> None:
        assert reference_part("data:audio/wav;base64,AAAA", "image")["modality"] == "audio"

    @given(st.text(max_size=60))
    def test_any_text_gives_a_part(self, text: str) -> None:
        for prefix in ("", "data:", "@@@langfuseMedia:"):
            assert reference_part(prefix + text, None)["type"] in ("uri", "blob", "file")


class TestWithoutPayloads:
    def test_short_values_and_long_words_stay(self) -> None:
        value = {"a": ["AAAA", 5, None], "b": "It opens at nine. " * 5_000}
        assert without_payloads(value) == value
