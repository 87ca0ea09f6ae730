"""Blocks: the content of several spans of one trace, packed as one row.

The spans of a trace repeat each other: session, user, settings, and often the text itself. Compressed together they
take two thirds of the bytes and half of the time that they take alone, and are encrypted and written once. A block
holds one JSON object, ``{"<span id in hex>": content, …}``; it is bound to its trace, and each content to its span by
its name in the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BLOCK = 8
"""What is added to a codec whose bytes are a block; without it they are the content of a single span, as in rows of
earlier releases."""

MAX_BLOCK_BYTES = 48 * 1024
"""A block is closed before it grows larger: who reads one span reads its block. A larger content has its own block."""

SpanBody = tuple[str | None, bytes, bytes, bytes]
"""Whose text it is (a user id, or ``None``), trace id, span id, and the JSON object."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """``bodies`` are subject, trace id and bytes of each block; ``places`` says in which block each span is."""

    bodies: list[tuple[str | None, bytes, bytes]]
    places: list[int]


def gather_blocks(spans: Sequence[SpanBody]) -> Blocks:
    """Put the contents of the same person and trace together, in order; copies of one span go into different blocks."""
    owners: list[tuple[str | None, bytes]] = []
    sizes: list[int] = []
    contents: list[dict[str, bytes]] = []
    latest: dict[tuple[bytes, str | None], int] = {}
    places: list[int] = []
    for subject, trace_id, span_id, body in spans:
        key = trace_id, subject
        place = latest.get(key)
        name = span_id.hex()
        if place is None or sizes[place] + len(body) > MAX_BLOCK_BYTES or name in contents[place]:
            place = latest[key] = len(owners)
            owners.append((subject, trace_id))
            sizes.append(0)
            contents.append({})
        sizes[place] += len(body)
        contents[place][name] = body
        places.append(place)
    return Blocks([(*owner, _to_json(one)) for owner, one in zip(owners, contents, strict=True)], places)


def _to_json(contents: dict[str, bytes]) -> bytes:
    return b"{%b}" % b",".join([b'"%b":%b' % (name.encode(), body) for name, body in contents.items()])
