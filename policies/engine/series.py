"""The compact notation of signal values in policy tests: ``0.2x4 0.9x10 _x3``."""

from __future__ import annotations

import math
import re

from custodes.kernel.errors import InvalidInputError, TooLargeError

MAX_STEPS = 20_000

_TERM = re.compile(r"(_|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:x(\d{1,6}))?", re.ASCII)

_WORD = re.compile(r"([A-Za-z_]\w*)(?:\*(\d{1,6}))?", re.ASCII)


def parse_series(written: str | int | float) -> list[float | None]:
    """Return one value per step, the first at 0; ``None`` is no data.

    ``V`` is the value V at one step, ``VxN`` at N consecutive steps; ``_`` and ``_xN`` are no data. Raises
    ``InvalidInputError`` for other text and ``TooLargeError`` above 20,000 steps.
    """
    values: list[float | None] = []
    for term in str(written).split():
        match = _TERM.fullmatch(term)
        number = None if match is None or match[1] == "_" else float(match[1])
        if match is None or (number is not None and not math.isfinite(number)):
            raise InvalidInputError(f"not a series term: {term!r}; write V, VxN, _ or _xN, e.g. 0.2x4 _ 0.9x10")
        count = int(match[2] or 1)
        if count == 0 or len(values) + count > MAX_STEPS:
            raise TooLargeError(
                f"a series has 1 to {MAX_STEPS} steps; {term!r} leads to {len(values) + count}",
                limit=MAX_STEPS,
                seen=len(values) + count,
            )
        values += [number] * count
    if not values:
        raise InvalidInputError("the series is empty; write at least one value, e.g. 0.2x4")
    return values


def parse_words(written: str) -> list[str | None]:
    """Return one word per step for a variable that holds text: ``assessed assessed not_assessed*3 _``.

    ``W*N`` is the word at N consecutive steps, since an ``x`` may be part of a word. Raises ``InvalidInputError`` and
    ``TooLargeError`` as :func:`parse_series` does.
    """
    words: list[str | None] = []
    for term in written.split():
        match = _WORD.fullmatch(term)
        if match is None:
            raise InvalidInputError(f"not a series term: {term!r}; write a word, W*N or _, e.g. assessed*4 _")
        count = int(match[2] or 1)
        if count == 0 or len(words) + count > MAX_STEPS:
            seen = len(words) + count
            message = f"a series has 1 to {MAX_STEPS} steps; {term!r} leads to {seen}"
            raise TooLargeError(message, limit=MAX_STEPS, seen=seen)
        words += [None if match[1] == "_" else match[1]] * count
    if not words:
        raise InvalidInputError("the series is empty; write at least one word, e.g. assessed")
    return words
