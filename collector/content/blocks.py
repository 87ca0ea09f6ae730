"""Blocks: the content of several spans of one trace, packed as one row.

The spans of a trace repeat each other: session, user, settings, and often the text itself. Compressed together they
take two thirds of the bytes and half of the time that they take alone, and are encrypted and written once. A block
holds one JSON object, ``{"<span id in hex>": content, …}``; it is bound to its trace, and each content to its span by
its name in the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

BLOCK = 8
"""What is added to a codec whose bytes are a block; without it they are the content of a single span, as in rows of
earlier releases."""

MAX_BLOCK_BYTES = 48 * 1024
"""A block is closed before it grows larger: who reads one span reads its block. A larger content has its own block."""

SpanBody = tuple[str | None, bytes, bytes, bytes]
"""Whose text it is (a user id, or ``None``), trace id, span id, and the JSON object."""


@dataclass(slots=True)
class _OpenBlock:
    subject: str | None
    trace_id: bytes
    size: int = 0
    contents: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blocks:
    """``bodies`` are subject, trace id and bytes of each block; ``places`` says in which block each span is."""

    bodies: list[tuple[str | None, bytes, bytes]]
    places: list[int]


def gather_blocks(spans: Sequence[SpanBody]) -> Blocks:
    """Put the contents of the same person and trace together, in order; copies of one span go into different blocks."""
    blocks: list[_OpenBlock] = []
    latest: dict[tuple[bytes, str | None], int] = {}
    places: list[int] = []
    for subject, trace_id, span_id, body in spans:
        place = latest.get((trace_id, subject))
        name = span_id.hex().encode()
        if place is None or blocks[place].size + len(body) > MAX_BLOCK_BYTES or name in blocks[place].contents:
            place = latest[trace_id, subject] = len(blocks)
            blocks.append(_OpenBlock(subject, trace_id))
        block = blocks[place]
        block.size += len(body)
        block.contents[name] = body
        places.append(place)
    return Blocks([(one.subject, one.trace_id, _to_json(one.contents)) for one in blocks], places)


def _to_json(contents: dict[bytes, bytes]) -> bytes:
    return b"{%b}" % b",".join([b'"%b":%b' % (name, body) for name, body in contents.items()])
