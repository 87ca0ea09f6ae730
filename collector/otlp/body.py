"""The body of an OTLP request: what it claims to be, and its bytes within bounds.

Bytes are counted while they inflate, so no compression bomb can take more memory than the limits in
``IngestSettings`` allow, whatever the compression.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from io import BytesIO

import zstandard

from custodes.kernel.errors import MalformedError, TooLargeError, UnsupportedError
from custodes.kernel.settings import MIB, IngestSettings

_STEP_BYTES = 256 * 1024
# zlib copies what it could not use of its input; small windows keep that cheap.
_WINDOW_BYTES = 64 * 1024
_MAX_MEMBERS = 1_000
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
# The zstd interface gives back all that its input holds at once. A block of 4 bytes can hold 128 KiB, so this much
# input gives 8 MiB at most, and costs a fifth more time than large pieces would.
_ZSTD_WINDOW_BYTES = 256
# What RFC 8878, section 3.1.1.1.2, recommends decoders to support. Levels up to 19 need no more.
_ZSTD_MAX_WINDOW = 8 * MIB

Grow = Callable[[int], None]
"""Is told of every further number of bytes that a body takes; may refuse them with ``OverloadedError``."""


class Encoding(Enum):
    """How a request's message is written; the value is the media type its answer carries."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


def parse_content_type(header: str | None) -> Encoding:
    """Return the encoding a Content-Type names; parameters such as ``charset`` and letter case don't matter.

    Raises ``UnsupportedError`` for any other type, or none.
    """
    media_type = (header or "").split(";", 1)[0].strip().lower()
    for encoding in Encoding:
        if media_type == encoding.value:
            return encoding
    raise UnsupportedError(
        f"Content-Type {_shown(header)} is not supported; send application/x-protobuf or application/json"
    )


def guess_encoding(header: str | None) -> Encoding:
    """Return the encoding in which to answer a request, even one whose Content-Type isn't supported."""
    return Encoding.JSON if "json" in (header or "").lower() else Encoding.PROTOBUF


def guess_compression(message: bytes) -> str:
    """Return the Content-Encoding of a gRPC message by its first bytes; an OTLP request begins with the byte 0x0a.

    gRPC keeps its own header from applications. A gzip stream begins with 1f 8b and a zlib stream with 78, which as
    protobuf would be a field of a kind or number that OTLP does not have.
    """
    if message[:2] == b"\x1f\x8b":
        return "gzip"
    return "deflate" if message[:1] == b"\x78" else "identity"


def is_compressed(content_encoding: str | None) -> bool:
    """Return whether a Content-Encoding names a compression, known or not."""
    return (content_encoding or "").strip().lower() not in ("identity", "")


def read_body(body: bytes, content_encoding: str | None, settings: IngestSettings, grow: Grow | None = None) -> bytes:
    """Return a body that has arrived whole, decompressed; ``grow`` hears of what inflating adds.

    Takes gzip (also of several members), deflate (with and without the zlib wrapper), zstd (also of several frames)
    and identity. Raises ``UnsupportedError`` for any other Content-Encoding, ``MalformedError`` for bytes that are
    not what it says or that end early, and ``TooLargeError`` as soon as a limit is passed: the size as sent, the size
    inflated, or (above 1 MiB) the ratio of the two.
    """
    inflate = _find_inflate(content_encoding)
    limit = settings.max_body_bytes
    if len(body) > limit:
        raise TooLargeError(
            f"the body is larger than {limit} bytes; send smaller batches or raise CUSTODES_INGEST__MAX_BODY_BYTES",
            limit=limit,
            seen=len(body),
        )
    if inflate is None:
        _check_inflated(len(body), settings)
        return body
    # What a BytesIO holds can be taken out of it without a copy.
    inflated = BytesIO()
    for piece in inflate(body) if body else ():
        if grow is not None:
            grow(len(piece))
        inflated.write(piece)
        _check_inflated(inflated.tell(), settings)
        _check_ratio(inflated.tell(), len(body), settings)
    return inflated.getvalue()


_Inflate = Callable[[bytes], Iterator[bytes]]


def _find_inflate(content_encoding: str | None) -> _Inflate | None:
    """Return the function that inflates what a Content-Encoding names, in pieces."""
    if not is_compressed(content_encoding):
        return None
    name = (content_encoding or "").strip().lower()
    if name in ("gzip", "x-gzip"):
        return _inflate_gzip
    if name == "deflate":
        return _inflate_deflate
    if name == "zstd":
        return _inflate_zstd
    if "," in name:
        raise UnsupportedError(
            f"Content-Encoding {_shown(content_encoding)} names several compressions; compress the body once"
        )
    raise UnsupportedError(
        f"Content-Encoding {_shown(content_encoding)} is not supported; send gzip, deflate, zstd or no compression"
    )


def _inflate_gzip(body: bytes) -> Iterator[bytes]:
    """A gzip body may consist of several members, one after the other (RFC 1952, section 2.2)."""
    return _inflate_zlib(body, _GZIP_BITS, "gzip", _MAX_MEMBERS)


def _inflate_deflate(body: bytes) -> Iterator[bytes]:
    """HTTP means zlib by deflate (RFC 9110, section 8.4.1.2), but some clients send the bare stream.

    The first two bytes tell them apart: as a number they are a multiple of 31 in zlib, and name method 8.
    """
    wrapped = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _inflate_zlib(body, _ZLIB_BITS if wrapped else _RAW_BITS, "deflate", 1)


def _inflate_zlib(body: bytes, bits: int, name: str, most: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj(bits)
    members = 1
    for start in range(0, len(body), _WINDOW_BYTES):
        left = body[start : start + _WINDOW_BYTES]
        while left:
            if inflater.eof:
                members += 1
                if members > most:
                    raise _too_many_parts(name, most)
                inflater = zlib.decompressobj(bits)
            try:
                piece = inflater.decompress(left, _STEP_BYTES)
            except zlib.error as error:
                raise _not_what_it_says(name) from error
            yield piece
            left = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    while not inflater.eof:
        # All input is in, but the last call may have stopped at its bound with output still to come.
        piece = inflater.decompress(b"", _STEP_BYTES)
        if not piece:
            raise _cut_off(name)
        yield piece


def _inflate_zstd(body: bytes) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW)
    inflater = decompressor.decompressobj()
    frames = 1
    for start in range(0, len(body), _ZSTD_WINDOW_BYTES):
        left = body[start : start + _ZSTD_WINDOW_BYTES]
        while left:
            if inflater.eof:
                frames += 1
                if frames > _MAX_MEMBERS:
                    raise _too_many_parts("zstd", _MAX_MEMBERS)
                inflater = decompressor.decompressobj()
            try:
                piece = inflater.decompress(left)
            except zstandard.ZstdError as error:
                if "memory" in str(error):
                    raise MalformedError(
                        f"the zstd body needs a window of more than {_ZSTD_MAX_WINDOW} bytes; use level 19 or below"
                    ) from error
                raise _not_what_it_says("zstd") from error
            yield piece
            left = inflater.unused_data if inflater.eof else b""
    if not inflater.eof:
        raise _cut_off("zstd")


def _check_inflated(size: int, settings: IngestSettings) -> None:
    limit = settings.max_decompressed_bytes
    if size > limit:
        raise TooLargeError(
            f"the body inflates to more than {limit} bytes; send smaller batches or raise "
            "CUSTODES_INGEST__MAX_DECOMPRESSED_BYTES",
            limit=limit,
            seen=size,
        )


def _check_ratio(size: int, sent: int, settings: IngestSettings) -> None:
    ratio = settings.max_ratio
    if size > MIB and size > ratio * sent:
        raise TooLargeError(
            f"the body inflates to more than {ratio} times its size, which no trace does; "
            "send less repetitive batches or raise CUSTODES_INGEST__MAX_RATIO",
            limit=ratio,
            seen=size // sent,
        )


def _not_what_it_says(name: str) -> MalformedError:
    return MalformedError(f"the body is not {name}, though Content-Encoding says so")


def _cut_off(name: str) -> MalformedError:
    return MalformedError(f"the {name} body ends before its end mark; the request was cut off on its way")


def _too_many_parts(name: str, most: int) -> MalformedError:
    if most == 1:
        return MalformedError(f"the {name} body goes on after its end mark; send it as one stream")
    return MalformedError(f"the {name} body has more than {most} members; send it as one")


def _shown(header: str | None) -> str:
    return repr(header[:100]) if header else "(none)"
