"""Undo ``Content-Encoding`` of a captured body, never beyond a limit."""

from __future__ import annotations

import zlib

READABLE = ("gzip", "deflate")
"""The codings that are undone. ``custodes proxy`` asks upstreams for no others."""

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


def decode_body(body: bytes, coding: str, limit: int) -> bytes | None:
    """Return the plain body; ``None`` for a coding that is not read here, damaged bytes or more than ``limit`` bytes.

    A body that was cut off gives what can be read of it.
    """
    if coding in ("", "identity"):
        return body if len(body) <= limit else None
    if coding not in READABLE:
        return None
    windows = (_GZIP_OR_ZLIB,) if coding == "gzip" else (_GZIP_OR_ZLIB, -zlib.MAX_WBITS)
    for window in windows:
        inflater = zlib.decompressobj(window)
        try:
            plain = inflater.decompress(body, limit + 1)
        except zlib.error:
            continue
        return plain if len(plain) <= limit else None
    return None
