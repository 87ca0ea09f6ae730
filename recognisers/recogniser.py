"""What a recogniser is: one kind of value, how to see quickly that a text has none, and where its values stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from recognisers.outline import Outline

Found = Iterator[tuple[int, int]]
Needs = Literal["nothing", "long_run", "six_digits"]

# Where a value may start: not inside a word or number, or behind an escaped line break of JSON within a text.
START: Final = r"(?:(?<![\w.@/-])|(?<=//)|(?<=\\[nrt]))"
END: Final = r"(?![\w@])"


def starting_with(first: str) -> str:
    r"""Return a pattern for one character of the class ``first`` where a value may start.

    The look behind comes after the character: a pattern that begins with a class is searched for several times faster
    than one that begins with a look behind.
    """
    return rf"{first}(?<=(?:(?<![\w.@/-])|(?<=//)|(?<=\\[nrt])){first})"


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Finds the values of one ``kind``; ``name`` says which of its forms, such as ``es_dni`` of ``national_id``.

    ``may_hold`` is quick, and never false for the outline of a text in which ``find`` finds something. ``shortest`` is
    the least number of characters that a value takes. ``needs`` names what all such texts have in common, so that it is
    looked for once for many recognisers. ``find`` yields start and end in characters, ascending; its time
    grows with the length of the text and not faster, whatever the text holds.
    """

    name: str
    kind: str
    shortest: int
    may_hold: Callable[[Outline], bool]
    find: Callable[[str], Found]
    needs: Needs = "nothing"
