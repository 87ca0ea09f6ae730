"""The one table of recognisers, in the order in which they are asked: what is surest first.

Masking in the collector and the detectors of the worker read the same table, so what one finds the other does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from recognisers.contacts import CONTACTS
from recognisers.money import MONEY
from recognisers.named_numbers import NAMED_NUMBERS
from recognisers.national import NATIONAL
from recognisers.recogniser import Recogniser
from recognisers.secrets import SECRET, SECRETS
from recognisers.sieve import sieve_of, to_bytes

RECOGNISERS: Final[tuple[Recogniser, ...]] = (
    *SECRETS,
    *(one for one in CONTACTS if one.kind == "email"),
    *MONEY,
    *NATIONAL,
    *NAMED_NUMBERS,
    *(one for one in CONTACTS if one.kind != "email"),
)
"""A card is not taken for a phone number, nor a national number: what comes first keeps its characters."""

KINDS: Final = tuple(sorted({one.kind for one in RECOGNISERS}))
PERSONAL_KINDS: Final = tuple(kind for kind in KINDS if kind != SECRET)


@dataclass(frozen=True, slots=True)
class Value:
    """One value: characters ``start`` up to but without ``end``, its kind, and the recogniser that found it."""

    kind: str
    name: str
    start: int
    end: int


def find_values(text: str, recognisers: Sequence[Recogniser] = RECOGNISERS) -> list[Value]:
    """Return the values in ``text``, in order of their places; they don't overlap.

    Where two claim the same characters, the recogniser that stands first in the table keeps them.
    """
    return find_chosen(text, sieve_of(tuple(recognisers)).choose(to_bytes(text)))


def find_chosen(text: str, recognisers: Iterable[Recogniser]) -> list[Value]:
    """As :func:`find_values`, for recognisers that may find something, without the quick look."""
    length = len(text)
    found: list[Value] = []
    for one in recognisers:
        if one.shortest > length:
            continue
        fresh = [Value(one.kind, one.name, start, end) for start, end in one.find(text)]
        if fresh:
            found = _merge(found, fresh)
    return found


def _merge(kept: list[Value], fresh: list[Value]) -> list[Value]:
    """Return both lists as one, ordered, without those of ``fresh`` that overlap what is kept."""
    merged: list[Value] = []
    place = end = 0
    for value in fresh:
        while place < len(kept) and kept[place].start < value.end:
            merged.append(kept[place])
            end = kept[place].end
            place += 1
        if value.start >= end:
            merged.append(value)
            end = value.end
    merged += kept[place:]
    return merged
