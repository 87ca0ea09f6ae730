"""Bodies are counted while they arrive and while they inflate."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.otlp.body import BodyReader, Encoding, guess_encoding, parse_content_type, read_body
from custodes.kernel.errors import MalformedError, TooLargeError, UnsupportedError
from custodes.kernel.settings import MIB, IngestSettings

SMALL = IngestSettings(max_body_bytes=4096, max_decompressed_bytes=8192)


class TestContentType:
    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("application/x-protobuf", Encoding.PROTOBUF),
            ("application/json", Encoding.JSON),
            ("application/json; charset=utf-8", Encoding.JSON),
            ("Application/JSON;charset=UTF-8", Encoding.JSON),
            (" application/x-protobuf ; messageType=x", Encoding.PROTOBUF),
        ],
    )
    def test_it_names_the_encoding(self, header: str, expected: Encoding) -> None:
        assert parse_content_type(header) is expected

    @pytest.mark.parametrize("header", [None, "", "text/plain", "application/grpc", "application/jsonx", "x" * 5000])
    def test_others_are_not_supported(self, header: str | None) -> None:
        with pytest.raises(UnsupportedError, match="application/x-protobuf or application/json") as caught:
            parse_content_type(header)
        assert len(str(caught.value)) < 300

    def test_errors_are_answered_in_the_likeliest_encoding(self) -> None:
        assert guess_encoding("text/json") is Encoding.JSON
        assert guess_encoding("text/plain") is Encoding.PROTOBUF
        assert guess_encoding(None) is Encoding.PROTOBUF


class TestReadBody:
    @pytest.mark.parametrize("encoding", [None, "", "identity", "Identity"])
    def test_it_takes_plain_bytes(self, encoding: str | None) -> None:
        assert read_body(b"abc", encoding, SMALL) == b"abc"

    @given(parts=st.lists(st.binary(max_size=300), max_size=5), step=st.integers(1, 50))
    def test_it_inflates_whatever_the_chunks_and_members(self, parts: list[bytes], step: int) -> None:
        body = b"".join(gzip.compress(part) for part in parts)
        reader = BodyReader("gzip", SMALL)
        for start in range(0, len(body), step):
            reader.feed(body[start : start + step])
        assert reader.finish() == b"".join(parts)

    def test_no_bytes_at_all_are_an_empty_body(self) -> None:
        assert read_body(b"", "gzip", SMALL) == b""

    @pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "gzip, gzip", "x" * 5000])
    def test_other_encodings_are_not_supported(self, encoding: str) -> None:
        with pytest.raises(UnsupportedError, match="send gzip, or no compression") as caught:
            read_body(b"", encoding, SMALL)
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize(
        "body",
        [b"plain", gzip.compress(b"abc" * 100)[:-9], gzip.compress(b"abc") + b"tail", zlib.compress(b"abc")],
        ids=["not gzip", "cut short", "bytes after the end", "zlib"],
    )
    def test_broken_gzip_is_malformed(self, body: bytes) -> None:
        with pytest.raises(MalformedError, match="gzip"):
            read_body(body, "gzip", SMALL)


class TestLimits:
    def test_the_size_as_sent_is_bounded(self) -> None:
        assert len(read_body(b"x" * 4096, None, SMALL)) == 4096
        with pytest.raises(TooLargeError, match="CUSTODES_INGEST__MAX_BODY_BYTES") as caught:
            read_body(b"x" * 4097, None, SMALL)
        assert (caught.value.limit, caught.value.seen) == (4096, 4097)

    def test_it_stops_at_the_first_chunk_that_passes_the_limit(self) -> None:
        reader = BodyReader(None, SMALL)
        reader.feed(b"x" * 4000)
        with pytest.raises(TooLargeError):
            reader.feed(b"x" * 97)

    def test_the_inflated_size_is_bounded(self) -> None:
        assert len(read_body(gzip.compress(b"x" * 8192), "gzip", SMALL)) == 8192
        with pytest.raises(TooLargeError, match="CUSTODES_INGEST__MAX_DECOMPRESSED_BYTES"):
            read_body(gzip.compress(b"x" * 8193), "gzip", SMALL)

    def test_a_bomb_is_stopped_by_its_ratio(self) -> None:
        bomb = gzip.compress(b"\0" * (40 * MIB))
        assert len(bomb) < MIB
        with pytest.raises(TooLargeError, match="times its size") as caught:
            read_body(bomb, "gzip", IngestSettings())
        assert caught.value.limit == 200

    def test_a_bomb_in_many_members_is_stopped_too(self) -> None:
        bomb = gzip.compress(b"\0" * MIB) * 40
        with pytest.raises(TooLargeError, match="times its size"):
            read_body(bomb, "gzip", IngestSettings())

    def test_a_body_of_endless_empty_members_is_stopped(self) -> None:
        with pytest.raises(MalformedError, match="members"):
            read_body(gzip.compress(b"") * 50_000, "gzip", IngestSettings())

    def test_a_bomb_holds_little_memory_before_it_is_stopped(self) -> None:
        reader = BodyReader("gzip", IngestSettings())
        with pytest.raises(TooLargeError):
            reader.feed(gzip.compress(b"\0" * (100 * MIB)))
        assert len(reader._inflated) < 25 * MIB
