"""Server-sent events as OpenAI-compatible servers write them. Source: HTML living standard, section 9.2."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_DONE = b"[DONE]"


def read_events(body: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (offset of the event's first byte, JSON object of its data); what is no JSON object is left out."""
    position = 0
    start = 0
    data: list[bytes] = []
    for line in body.splitlines(keepends=True):
        stripped = line.rstrip(b"\r\n")
        if not stripped:
            yield from _event(start, data)
            data = []
            start = position + len(line)
        elif stripped.startswith(b"data:"):
            data.append(stripped[5:].removeprefix(b" "))
        position += len(line)
    yield from _event(start, data)


def _event(start: int, data: list[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    text = b"\n".join(data)
    if not text or text.strip() == _DONE:
        return
    try:
        value = json.loads(text)
    except ValueError:
        return
    if isinstance(value, dict):
        yield start, value
