"""A quick look at a text, which tells at once that most texts hold nothing worth a closer one."""

from __future__ import annotations

import re
from typing import Final

_SHAPES: Final = bytes(
    48 if 48 <= byte <= 57 else 65 if 65 <= byte <= 90 else 97 if 97 <= byte <= 122 else byte for byte in range(256)
)
_SEPARATORS: Final = b" ().-/"
# What tokens and keys consist of is "x" in a run; everything else is a space.
_RUNS: Final = bytes(120 if (chr(byte).isalnum() and byte < 128) or byte in b"_-" else 32 for byte in range(256))
_LONG_RUN: Final = b"x" * 15
_LONG_TOKEN: Final = re.compile(rb"[\w.~+/=:%&?-]{15,}")
_WORD: Final = re.compile(rb"[a-z]{3,}")
# Letters that are no letters where the outline is that of JSON.
_ESCAPE: Final = re.compile(rb"\\[bfnrt]|\\u[0-9a-f]{4}")


class Outline:
    """A text in UTF-8 (or the JSON it stands in) in forms that are cheap to search.

    ``raw`` is the text, ``low`` its ASCII letters in lower case. ``shape`` has ``A``, ``a`` and ``0`` for letters and
    digits; ``dense`` is that without separators. Each is made when it is first asked for. Not for several threads.
    """

    __slots__ = ("_dense", "_long_run", "_long_tokens", "_low", "_shape", "_six_digits", "_words", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._shape: bytes | None = None
        self._dense: bytes | None = None
        self._low: bytes | None = None
        self._long_run: bool | None = None
        self._six_digits: bool | None = None
        self._long_tokens: bytes | None = None
        self._words: frozenset[bytes] | None = None

    @property
    def shape(self) -> bytes:
        """Letters as ``A`` and ``a``, digits as ``0``, everything else as it is."""
        if self._shape is None:
            self._shape = self.raw.translate(_SHAPES)
        return self._shape

    @property
    def dense(self) -> bytes:
        """The shape without spaces, brackets, dots, dashes and slashes."""
        if self._dense is None:
            self._dense = self.raw.translate(_SHAPES, _SEPARATORS)
        return self._dense

    @property
    def low(self) -> bytes:
        """The text with its ASCII letters in lower case."""
        if self._low is None:
            self._low = self.raw.lower()
        return self._low

    @property
    def has_long_run(self) -> bool:
        """Whether 15 letters, digits, underscores and dashes stand in a row, as in every token worth stealing."""
        if self._long_run is None:
            self._long_run = _LONG_RUN in self.raw.translate(_RUNS)
        return self._long_run

    @property
    def has_six_digits(self) -> bool:
        """Whether six digits stand in a row, separators aside, as in every number that names a person."""
        if self._six_digits is None:
            self._six_digits = b"000000" in self.dense
        return self._six_digits

    @property
    def long_tokens(self) -> bytes:
        """What stands in the text without a gap for 15 characters or more, as keys, tokens and addresses do."""
        if self._long_tokens is None:
            self._long_tokens = b" ".join(_LONG_TOKEN.findall(self.raw)) if self.has_long_run else b""
        return self._long_tokens

    @property
    def words(self) -> frozenset[bytes]:
        """The words of three ASCII letters and more, in lower case; other letters part them."""
        if self._words is None:
            low = self.low
            self._words = frozenset(_WORD.findall(_ESCAPE.sub(b" ", low) if b"\\" in low else low))
        return self._words


def outline(text: str) -> Outline:
    """Return the outline of a text; halves of surrogate pairs count as question marks."""
    return Outline(text.encode("utf-8", "replace"))
