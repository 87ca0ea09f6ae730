"""The body of an OTLP/HTTP request: what it claims to be, and its bytes within bounds.

Bytes are counted while they arrive and while they inflate, so neither a body without Content-Length nor a
compression bomb can take more memory than the limits in ``IngestSettings`` allow.
"""

from __future__ import annotations

import zlib
from enum import Enum

from custodes.kernel.errors import MalformedError, TooLargeError, UnsupportedError
from custodes.kernel.settings import MIB, IngestSettings

_STEP_BYTES = 256 * 1024
# zlib copies what it could not use of its input; small windows keep that cheap.
_WINDOW_BYTES = 64 * 1024
_MAX_MEMBERS = 1_000
_GZIP = 16 + zlib.MAX_WBITS


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


class BodyReader:
    """Takes a body in chunks as they arrive and gives it back decompressed.

    Raises ``UnsupportedError`` at once for a Content-Encoding other than gzip and identity, and
    ``TooLargeError`` from :meth:`feed` as soon as a limit is passed: the size as sent, the size inflated,
    or (above 1 MiB) the ratio of the two.
    """

    def __init__(self, content_encoding: str | None, settings: IngestSettings) -> None:
        name = (content_encoding or "identity").strip().lower()
        if name not in ("gzip", "x-gzip", "identity", ""):
            raise UnsupportedError(
                f"Content-Encoding {_shown(content_encoding)} is not supported; send gzip, or no compression"
            )
        self._inflater = zlib.decompressobj(_GZIP) if name.endswith("gzip") else None
        self._settings = settings
        self._members = 1
        self._received = 0
        self._inflated = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body; raises ``MalformedError`` when they are not gzip as announced."""
        self._received += len(chunk)
        limit = self._settings.max_body_bytes
        if self._received > limit:
            raise TooLargeError(
                f"the body is larger than {limit} bytes; send smaller batches or raise CUSTODES_INGEST__MAX_BODY_BYTES",
                limit=limit,
                seen=self._received,
            )
        if self._inflater is None:
            self._inflated += chunk
            self._check_inflated()
        else:
            for start in range(0, len(chunk), _WINDOW_BYTES):
                self._inflate(chunk[start : start + _WINDOW_BYTES])

    def finish(self) -> bytes:
        """Return the whole body; raises ``MalformedError`` when a gzip stream ends early."""
        if self._inflater is not None and self._received and not self._inflater.eof:
            raise MalformedError("the gzip body ends before its end mark; the request was cut off on its way")
        return bytes(self._inflated)

    def _inflate(self, data: bytes) -> None:
        inflater = self._inflater
        while data and inflater is not None:
            if inflater.eof:
                # A gzip file may consist of several members, one after the other (RFC 1952 section 2.2).
                self._members += 1
                if self._members > _MAX_MEMBERS:
                    raise MalformedError(f"the gzip body has more than {_MAX_MEMBERS} members; send it as one")
                inflater = self._inflater = zlib.decompressobj(_GZIP)
            try:
                self._inflated += inflater.decompress(data, _STEP_BYTES)
            except zlib.error as error:
                raise MalformedError("the body is not gzip, though Content-Encoding says so") from error
            self._check_inflated()
            data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail

    def _check_inflated(self) -> None:
        size = len(self._inflated)
        limit = self._settings.max_decompressed_bytes
        if size > limit:
            raise TooLargeError(
                f"the body inflates to more than {limit} bytes; send smaller batches or raise "
                "CUSTODES_INGEST__MAX_DECOMPRESSED_BYTES",
                limit=limit,
                seen=size,
            )
        ratio = self._settings.max_ratio
        if self._inflater is not None and size > MIB and size > ratio * self._received:
            raise TooLargeError(
                f"the body inflates to more than {ratio} times its size, which no trace does; "
                "send less repetitive batches or raise CUSTODES_INGEST__MAX_RATIO",
                limit=ratio,
                seen=size // max(1, self._received),
            )


def read_body(body: bytes, content_encoding: str | None, settings: IngestSettings) -> bytes:
    """Return a body that has arrived whole, decompressed; raises what :class:`BodyReader` raises."""
    reader = BodyReader(content_encoding, settings)
    reader.feed(body)
    return reader.finish()


def _shown(header: str | None) -> str:
    return repr(header[:100]) if header else "(none)"
