"""Walks the outer blocks of a protobuf body without building them.

An empty message takes two bytes on the wire and far more in memory, and one text that is no UTF-8 makes the parser
refuse everything around it. So only single records are parsed; the resource, scope and metric blocks around them are
walked here, counted and jumped over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from custodes.kernel.errors import MalformedError

Block: TypeAlias = memoryview
Field: TypeAlias = "tuple[int, int | Block]"
"""A field's number with its value: an integer, or the bytes of a message or text."""

_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED_SIZES = {1: 8, 5: 4}


def read_fields(block: Block) -> Iterator[Field]:
    """Yield the integer and length-delimited fields of one message, in the order of the wire; others are skipped.

    Raises ``MalformedError`` for bytes that break the wire format; what lies inside a field is not looked at.
    """
    at, end = 0, len(block)
    while at < end:
        tag, at = _varint(block, at)
        wire = tag & 7
        if wire == _LENGTH_DELIMITED:
            length, at = _varint(block, at)
            if at + length > end:
                raise not_otlp_protobuf()
            yield tag >> 3, block[at : at + length]
            at += length
        elif wire == _VARINT:
            value, at = _varint(block, at)
            yield tag >> 3, value
        elif wire in _FIXED_SIZES:
            at += _FIXED_SIZES[wire]
        else:
            # OTLP has no groups; letting one pass would hide what follows it.
            raise not_otlp_protobuf()
    if at != end:
        raise not_otlp_protobuf()


def blocks_of(block: Block, number: int) -> Iterator[Block]:
    """Yield every message or text in field ``number``."""
    return (value for found, value in read_fields(block) if found == number and isinstance(value, memoryview))


def joined(block: Block, number: int) -> bytes:
    """Return the message in field ``number``: pieces that come one after the other are one message in protobuf."""
    return b"".join(blocks_of(block, number))


def text_of(block: Block, number: int) -> str:
    """Return the text in field ``number``, the last one given; empty when there is none.

    Raises ``UnicodeDecodeError`` for bytes that are no UTF-8.
    """
    found = ""
    for value in blocks_of(block, number):
        found = str(value, "utf-8")
    return found


def not_otlp_protobuf() -> MalformedError:
    """Return the error of bytes that are no OTLP export request in protobuf."""
    return MalformedError(
        "the body is not an OTLP export request in protobuf; check the exporter's protocol and path, "
        "and that Content-Type says application/x-protobuf only for protobuf"
    )


def _varint(block: Block, at: int) -> tuple[int, int]:
    value = shift = 0
    end = len(block)
    while at < end and shift < 70:
        byte = block[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise not_otlp_protobuf()
