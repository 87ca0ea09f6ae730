"""Bodies are bounded while they inflate, whatever the compression."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from collector.otlp.body import (
    Encoding,
    guess_compression,
    guess_encoding,
    is_compressed,
    parse_content_type,
    read_body,
)
from custodes.kernel.errors import MalformedError, OverloadedError, TooLargeError, UnsupportedError
from custodes.kernel.settings import MIB, IngestSettings

SMALL = IngestSettings(max_body_bytes=4096, max_decompressed_bytes=8192)
Pack = Callable[[bytes], bytes]


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def zstd_stream(content: bytes) -> bytes:
    """A frame that does not say how long its content is, as clients that compress on the way write it."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(content) + packer.flush()


PACKS: dict[str, tuple[str, Pack]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZIP", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "zstd": ("zstd", zstandard.compress),
    "zstd stream": ("zstd", zstd_stream),
}
ANY_PACK = pytest.mark.parametrize(("name", "pack"), PACKS.values(), ids=PACKS)


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
    @pytest.mark.parametrize("encoding", [None, "", "identity", " Identity "])
    def test_it_takes_plain_bytes_as_they_are(self, encoding: str | None) -> None:
        body = bytes(range(7))
        assert read_body(body, encoding, SMALL) is body
        assert not is_compressed(encoding)

    @ANY_PACK
    @given(content=st.binary(max_size=3000))
    def test_it_gives_back_what_was_packed(self, name: str, pack: Pack, content: bytes) -> None:
        assert read_body(pack(content), name, SMALL) == content
        assert is_compressed(name)

    @ANY_PACK
    def test_it_takes_more_than_one_window(self, name: str, pack: Pack) -> None:
        content = b"".join(number.to_bytes(4, "big") for number in range(600_000))
        assert read_body(pack(content), name, IngestSettings()) == content

    @pytest.mark.parametrize(("name", "pack"), [PACKS["gzip"], PACKS["zstd"]], ids=["gzip", "zstd"])
    @given(parts=st.lists(st.binary(max_size=300), max_size=5))
    def test_it_takes_several_members(self, name: str, pack: Pack, parts: list[bytes]) -> None:
        assert read_body(b"".join(pack(part) for part in parts), name, SMALL) == b"".join(parts)

    def test_it_skips_frames_of_zstd_that_hold_no_content(self) -> None:
        skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00xyz"
        assert read_body(skipped + zstandard.compress(b"abc"), "zstd", SMALL) == b"abc"

    @pytest.mark.parametrize("name", ["gzip", "deflate", "zstd"])
    def test_no_bytes_at_all_are_an_empty_body(self, name: str) -> None:
        assert read_body(b"", name, SMALL) == b""

    @pytest.mark.parametrize("encoding", ["br", "compress", "snappy", "x" * 5000])
    def test_other_encodings_are_not_supported(self, encoding: str) -> None:
        with pytest.raises(UnsupportedError, match="send gzip, deflate, zstd or no compression") as caught:
            read_body(b"", encoding, SMALL)
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,zstd", "identity, gzip"])
    def test_several_encodings_are_not_supported(self, encoding: str) -> None:
        with pytest.raises(UnsupportedError, match="compress the body once"):
            read_body(gzip.compress(gzip.compress(b"abc")), encoding, SMALL)


class TestBroken:
    @ANY_PACK
    def test_it_is_malformed_when_cut_short(self, name: str, pack: Pack) -> None:
        body = pack(b"some words that are packed " * 20)
        for length in range(1, len(body)):
            with pytest.raises(MalformedError):
                read_body(body[:length], name, SMALL)

    @ANY_PACK
    def test_it_is_malformed_when_something_follows_the_end(self, name: str, pack: Pack) -> None:
        with pytest.raises(MalformedError, match=name.removeprefix("X-").lower()):
            read_body(pack(b"abc") + b"tail", name, SMALL)

    @ANY_PACK
    def test_it_is_malformed_when_it_is_something_else(self, name: str, pack: Pack) -> None:
        for other, pack_other in PACKS.values():
            if other.removeprefix("X-").lower() != name.removeprefix("X-").lower():
                with pytest.raises(MalformedError, match=name.removeprefix("X-").lower()):
                    read_body(pack_other(b"abc" * 100), name, SMALL)
        with pytest.raises(MalformedError):
            read_body(b"plain words", name, SMALL)

    @ANY_PACK
    @given(junk=st.binary(min_size=1, max_size=200))
    def test_only_our_errors_escape(self, name: str, pack: Pack, junk: bytes) -> None:
        for body in (junk, pack(junk)[: len(junk)] + junk):
            try:
                read_body(body, name, SMALL)
            except (MalformedError, TooLargeError):
                continue

    def test_zstd_with_a_giant_window_is_malformed(self) -> None:
        parameters = zstandard.ZstdCompressionParameters(window_log=27)
        packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        with pytest.raises(MalformedError, match="window"):
            read_body(packer.compress(b"abc") + packer.flush(), "zstd", SMALL)


class TestGuessCompression:
    @pytest.mark.parametrize("level", range(10))
    def test_it_knows_what_grpc_compresses_with(self, level: int) -> None:
        assert guess_compression(gzip.compress(b"\x0a\x00", level)) == "gzip"
        assert guess_compression(zlib.compress(b"\x0a\x00", level)) == "deflate"

    @pytest.mark.parametrize("message", [b"", b"\x0a", b"\x0a\x1f\x8b", b"\x1f"])
    def test_all_else_is_plain(self, message: bytes) -> None:
        assert guess_compression(message) == "identity"


class TestLimits:
    def test_the_size_as_sent_is_bounded(self) -> None:
        assert len(read_body(b"x" * 4096, None, SMALL)) == 4096
        with pytest.raises(TooLargeError, match="CUSTODES_INGEST__MAX_BODY_BYTES") as caught:
            read_body(b"x" * 4097, None, SMALL)
        assert (caught.value.limit, caught.value.seen) == (4096, 4097)

    @ANY_PACK
    def test_the_inflated_size_is_bounded(self, name: str, pack: Pack) -> None:
        assert len(read_body(pack(b"x" * 8192), name, SMALL)) == 8192
        with pytest.raises(TooLargeError, match="CUSTODES_INGEST__MAX_DECOMPRESSED_BYTES"):
            read_body(pack(b"x" * 8193), name, SMALL)

    @ANY_PACK
    def test_a_bomb_is_stopped_by_its_ratio(self, name: str, pack: Pack) -> None:
        bomb = pack(b"\0" * (40 * MIB))
        assert len(bomb) < 40 * MIB // 200
        with pytest.raises(TooLargeError, match="times its size") as caught:
            read_body(bomb, name, IngestSettings())
        assert caught.value.limit == 200

    def test_a_bomb_in_many_members_is_stopped_too(self) -> None:
        for bomb, name in ((gzip.compress(b"\0" * MIB) * 40, "gzip"), (zstandard.compress(b"\0" * MIB) * 40, "zstd")):
            with pytest.raises(TooLargeError, match="times its size"):
                read_body(bomb, name, IngestSettings())

    @pytest.mark.parametrize(("name", "pack"), [PACKS["gzip"], PACKS["zstd"]], ids=["gzip", "zstd"])
    def test_a_body_of_endless_empty_members_is_stopped(self, name: str, pack: Pack) -> None:
        with pytest.raises(MalformedError, match="members"):
            read_body(pack(b"") * 50_000, name, IngestSettings())

    @ANY_PACK
    def test_a_bomb_holds_little_memory_before_it_is_stopped(self, name: str, pack: Pack) -> None:
        bomb = pack(b"\0" * (100 * MIB))
        tracemalloc.start()
        with pytest.raises(TooLargeError):
            read_body(bomb, name, IngestSettings())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 60 * MIB

    @ANY_PACK
    def test_what_inflating_adds_is_told_and_may_be_refused(self, name: str, pack: Pack) -> None:
        told: list[int] = []
        content = b"some words " * 500
        read_body(pack(content), name, SMALL, told.append)
        assert sum(told) == len(content)

        def refuse(size: int) -> None:
            raise OverloadedError(f"no room for {size}")

        with pytest.raises(OverloadedError):
            read_body(pack(content), name, SMALL, refuse)
