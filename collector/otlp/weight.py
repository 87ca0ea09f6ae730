"""How much memory a body takes while it is parsed, estimated before it is.

A value of two bytes on the wire can take eighty in memory, so the size of a body says little about its cost. What says
much is how often the marks of structure occur in it, and counting bytes runs at some 350 MB/s.
"""

from __future__ import annotations

from collector.otlp.body import Encoding
from custodes.kernel.settings import MIB

WORST_FACTOR = 36
"""Most bytes that one byte of a body takes: measured with nested JSON objects of one member each."""

COUNTED_BYTES = 4 * MIB
"""Smaller bodies are taken to be of the worst kind: that bounds them well enough, and costs no time."""

# Bytes per occurrence, fitted to the peaks of bodies made of one kind of value (orjson 3.13, CPython 3.11): lists and
# objects of nothing, objects of one member, numbers, short texts. Ordinary bodies come out a quarter too high.
_JSON_COSTS = ((b"{", 40), (b"[", 40), (b",", 50), (b'"', 22), (b":", 110))
# In protobuf a value inside another begins with a tag, which is 2 modulo 8, and its length. Values of 32 bytes and more
# cost little beside their own size; shorter ones have a length below 32, and tag and length in a row are rare in text.
_TAG, _SHORT, _BOTH, _OTHER = b"T", b"L", b"B", b"."
_PROTOBUF_COST = 64
# What is looked at in one go; a copy of the whole body would cost as much memory as the body.
_PIECE_BYTES = 256 * 1024
_PROTOBUF_KINDS = b"".join(
    (_BOTH if byte < 32 else _TAG) if byte % 8 == 2 and 8 <= byte < 128 else _SHORT if byte < 32 else _OTHER
    for byte in range(256)
)
_PROTOBUF_PAIRS = (_TAG + _SHORT, _TAG + _BOTH, _BOTH + _SHORT, _BOTH + _BOTH)


def estimate_parsed_bytes(body: bytes, encoding: Encoding) -> int:
    """Return about how many bytes of memory it takes to parse a decompressed body, too many rather than too few.

    JSON is looked for in protobuf too: much of a trace is JSON inside attributes, and that is parsed as well.
    """
    size = len(body)
    if size <= COUNTED_BYTES:
        return WORST_FACTOR * size
    estimate = 2 * size + sum(cost * body.count(mark) for mark, cost in _JSON_COSTS)
    if encoding is Encoding.PROTOBUF:
        for start in range(0, size, _PIECE_BYTES):
            kinds = body[start : start + _PIECE_BYTES].translate(_PROTOBUF_KINDS)
            estimate += _PROTOBUF_COST * sum(kinds.count(pair) for pair in _PROTOBUF_PAIRS)
    return min(estimate, WORST_FACTOR * size)
