"""What a recogniser is: one kind of value, how to see quickly that a text has none, and where its values stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

Found = Iterator[tuple[int, int]]
Needs = Literal["nothing", "two_digits", "six_digits"]

# Where a value may start: not inside a word or number, or behind an escaped line break of JSON within a text.
START: Final = r"(?:(?<![\w.@/-])|(?<=//)|(?<=\\[nrt]))"
END: Final = r"(?![\w@])"
HINT_START: Final = r"(?:^|[^0-9A-Za-z_.@/-]|//|\\[bfnrt]|\\u[0-9a-f]{4})"
"""What stands before such a value, for hints: it keeps figures of JSON such as 0.8064873663355712 out."""


def starting_with(first: str) -> str:
    r"""Return a pattern for one character of the class ``first`` where a value may start.

    The look behind comes after the character: a pattern that begins with a class is searched for several times faster
    than one that begins with a look behind.
    """
    return rf"{first}(?<=(?:(?<![\w.@/-])|(?<=//)|(?<=\\[nrt])){first})"


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Finds the values of one ``kind``; ``name`` says which of its forms, such as ``es_dni`` of ``national_id``.

    ``hint`` is a pattern in the syntax of RE2 that stands in the UTF-8 of every text in which ``find`` finds something,
    and in the JSON of such a text. ``shortest`` is the least number of characters that a value takes. ``needs`` names
    what must stand in the text as well: digits in a row, in ``six_digits`` with separators between. ``find`` yields
    start and end in characters, ascending; its time grows with the length of the text and not faster, whatever the text
    holds.
    """

    name: str
    kind: str
    shortest: int
    hint: str
    find: Callable[[str], Found]
    needs: Needs = "nothing"
