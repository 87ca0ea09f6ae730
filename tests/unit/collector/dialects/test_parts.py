"""Parts of every API end in the shapes of the GenAI conventions; pictures and files as references, never as text."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dialects.blobs import MAX_BLOB_CHARACTERS
from collector.dialects.exchange import extract_exchange
from collector.dialects.messages import read_messages
from collector.dialects.parts import read_part

PNG = "iVBORw0KGgo="
CAT = "https://example.org/cat.png"
URI = {"type": "uri", "modality": "image", "uri": CAT}
BLOB = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": PNG}


class TestMedia:
    @pytest.mark.parametrize(
        "part",
        [
            {"type": "image_url", "image_url": {"url": CAT}},
            {"type": "image_url", "image_url": CAT},
            {"type": "input_image", "image_url": CAT},
            {"type": "image", "source": {"type": "url", "url": CAT}},
            {"type": "image", "url": CAT},
            {"type": "image-url", "url": CAT},
            {"type": "uri", "modality": "image", "uri": CAT},
        ],
    )
    def test_a_picture_by_url_is_a_uri(self, part: dict[str, Any]) -> None:
        assert read_part(part) == URI

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "image", "source_type": "base64", "mime_type": "image/png", "data": PNG},
            {"type": "image", "base64": PNG, "mime_type": "image/png"},
            {"type": "binary", "media_type": "image/png", "content": PNG},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": PNG},
            {"type": "media", "mime_type": "image/png", "data": PNG},
            {"inline_data": {"mime_type": "image/png", "data": PNG}},
            {"inlineData": {"mimeType": "image/png", "data": PNG}},
            {"image": {"format": "png", "source": {"bytes": PNG}}},
        ],
    )
    def test_a_picture_sent_inline_is_a_blob(self, part: dict[str, Any]) -> None:
        assert read_part(part) == BLOB

    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            (
                {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
                {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": PNG},
            ),
            (
                {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}},
                {"type": "file", "modality": "document", "file_id": "file-1", "filename": "a.pdf"},
            ),
            (
                {"type": "input_file", "file_url": "https://example.org/a.pdf"},
                {"type": "uri", "modality": "document", "uri": "https://example.org/a.pdf"},
            ),
            (
                {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/a.mp4"}},
                {"type": "uri", "modality": "video", "uri": "gs://b/a.mp4", "mime_type": "video/mp4"},
            ),
            (
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PNG}},
                {"type": "blob", "modality": "document", "mime_type": "application/pdf", "content": PNG},
            ),
            (
                {"type": "image_url", "image_url": {"url": "@@@langfuseMedia:type=image/jpeg|id=m-1|source=bytes@@@"}},
                {"type": "file", "modality": "image", "file_id": "m-1", "mime_type": "image/jpeg"},
            ),
            ({"type": "image"}, {"type": "image"}),
        ],
    )
    def test_sound_films_and_files_keep_their_modality(self, part: dict[str, Any], expected: dict[str, Any]) -> None:
        assert read_part(part) == expected

    def test_they_are_never_judged_as_text(self) -> None:
        content: Any = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": CAT}},
            f"data:image/png;base64,{PNG}",
            "@@@langfuseMedia:type=audio/wav|id=m-2|source=bytes@@@",
        ]
        messages = read_messages([{"role": "user", "content": content}], "user")
        assert [part["type"] for part in messages[0]["parts"]] == ["text", "uri", "blob", "file"]
        assert extract_exchange(messages, [], []).prompt == "What is this?"


class TestLargeBlobs:
    PAYLOAD = bytes(range(256)) * 400

    @pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda data: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
            lambda data: {"type": "blob", "modality": "image", "mime_type": "image/png", "content": data},
        ],
    )
    def test_only_size_and_hash_of_what_was_sent_are_kept(self, wrap: Any, encode: Any) -> None:
        part = read_part(wrap(encode(self.PAYLOAD).decode()))
        assert part == {
            "type": "blob",
            "modality": "image",
            "mime_type": "image/png",
            "bytes": len(self.PAYLOAD),
            "sha256": hashlib.sha256(self.PAYLOAD).hexdigest(),
        }

    def test_one_of_64_kib_is_kept_and_a_longer_one_is_not(self) -> None:
        content = "A" * MAX_BLOB_CHARACTERS
        assert read_part({"type": "blob", "content": content})["content"] == content
        assert "content" not in read_part({"type": "blob", "content": content + "AAAA"})

    def test_one_inside_an_unknown_part_or_a_tools_answer_goes_too(self) -> None:
        data = base64.b64encode(self.PAYLOAD).decode()
        for part in (
            {"type": "hologram", "layers": [{"data": data}]},
            {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "image", "source": {"data": data}}]},
            {"type": "tool_call_response", "id": "c", "result": {"shot": data}},
        ):
            assert data not in str(read_part(part))
            assert hashlib.sha256(self.PAYLOAD).hexdigest() in str(read_part(part))

    def test_a_long_text_is_no_blob(self) -> None:
        text = "It opens at nine. " * 5_000
        assert read_part({"type": "note", "said": text}) == {"type": "note", "said": text}


class TestCalls:
    @pytest.mark.parametrize(
        "part",
        [
            {"type": "tool_call", "id": "c", "name": "find", "arguments": {"q": 1}},
            {"type": "tool_call", "id": "c", "name": "find", "arguments": '{"q": 1}'},
            {"type": "tool_call", "id": "c", "name": "find", "args": {"q": 1}},
            {"type": "tool_use", "id": "c", "name": "find", "input": {"q": 1}},
            {"type": "function_call", "call_id": "c", "id": "fc_1", "name": "find", "arguments": '{"q": 1}'},
            {"toolUse": {"toolUseId": "c", "name": "find", "input": {"q": 1}}},
            {"functionCall": {"id": "c", "name": "find", "args": {"q": 1}}},
        ],
    )
    def test_a_call_has_one_shape(self, part: dict[str, Any]) -> None:
        assert read_part(part) == {"type": "tool_call", "id": "c", "name": "find", "arguments": {"q": 1}}

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "tool_call_response", "id": "c", "response": "42"},
            {"type": "tool_call_response", "id": "c", "result": "42"},
            {"type": "tool_result", "tool_use_id": "c", "content": "42"},
            {"type": "function_call_output", "call_id": "c", "output": "42"},
        ],
    )
    def test_an_answer_has_one_shape(self, part: dict[str, Any]) -> None:
        assert read_part(part) == {"type": "tool_call_response", "id": "c", "response": "42"}

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "thinking", "thinking": "Hm."},
            {"type": "thinking", "content": "Hm."},
            {"type": "reasoning", "content": "Hm."},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"text": "Hm.", "thought": True},
        ],
    )
    def test_reasoning_is_kept_and_never_judged(self, part: dict[str, Any]) -> None:
        assert read_part(part) == {"type": "reasoning", "content": "Hm."}

    def test_text_that_was_not_captured_is_hidden_text(self) -> None:
        assert read_part({"type": "text"}) == {"type": "redacted"}


NAMES = st.sampled_from(
    ["type", "text", "content", "source", "data", "url", "image_url", "file", "id", "input", "modality", "format",
     "inlineData", "toolUse", "summary", "mime_type", "args", "function", "response", "image"]
)  # fmt: skip
WORDS = st.sampled_from(["text", "image", "blob", "file", "uri", "tool_call", "reasoning", "thinking", "refusal", "x",
                         "data:a/b;base64,AAAA", "data:", "@@@langfuseMedia:", "", "unreadable"])  # fmt: skip
VALUES = st.recursive(
    st.one_of(WORDS, st.integers(), st.none(), st.booleans(), st.binary(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=8,
)


class TestAnyPart:
    @given(st.dictionaries(NAMES, VALUES, max_size=6))
    def test_it_is_read_into_a_part_with_a_type(self, part: dict[str, Any]) -> None:
        read = read_part(part)
        assert isinstance(read["type"], str)
        assert read["type"] != "unreadable"
        if read["type"] in ("text", "refusal"):
            assert isinstance(read["content"], str)
