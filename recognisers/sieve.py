"""A quick look at a text, which tells at once that most texts hold nothing worth a closer one.

The hints of all recognisers are looked for together, in one pass that never goes back: RE2 makes one automaton of them,
whose time grows with the length of the text and not with the number of hints.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import re2

from recognisers.recogniser import Recogniser

_MEMORY_BYTES: Final = 64 * 1024 * 1024
"""What the automaton's states may take before it forgets them; some hundred kilobytes are usual."""

# What all texts with such a value have in common, looked for once for many recognisers.
_NEEDS: Final = {"six_digits": r"[0-9](?:[ ().\-/]*[0-9]){5}", "two_digits": "[0-9][0-9]"}


class Sieve:
    """Tells which of its recognisers may find something in a text. Thread-safe."""

    def __init__(self, recognisers: Sequence[Recogniser]) -> None:
        self._recognisers = tuple(recognisers)
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1  # Bytes, whatever they mean.
        options.max_mem = _MEMORY_BYTES
        options.log_errors = False
        self._hints = re2.Set.SearchSet(options)
        for one in self._recognisers:
            self._hints.Add(one.hint)
        self._common = {name: self._hints.Add(pattern) for name, pattern in _NEEDS.items()}
        self._hints.Compile()
        self._count = len(self._recognisers)

    def choose(self, raw: bytes) -> list[Recogniser]:
        """Return those that may find something in the text with these bytes in UTF-8, or in a text within this JSON."""
        seen = self._hints.Match(raw)
        if not seen:
            return []
        common = {place for place in seen if place >= self._count}
        chosen = [self._recognisers[place] for place in sorted(seen) if place < self._count]
        return [one for one in chosen if one.needs == "nothing" or self._common[one.needs] in common]


@lru_cache(maxsize=16)
def sieve_of(recognisers: tuple[Recogniser, ...]) -> Sieve:
    """Return the sieve of these recognisers, made once: making one takes milliseconds."""
    return Sieve(recognisers)


def to_bytes(text: str) -> bytes:
    """Return a text as a sieve takes it; halves of surrogate pairs count as question marks."""
    return text.encode("utf-8", "replace")
