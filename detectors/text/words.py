"""The words of a text as they are matched: content words by stem, numbers by value, names, months, units.

For matching only, never for reading: "returned" meets "returns", "one thousand" meets "1,000".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from detectors.text.numbers import (
    Quantity,
    Token,
    conversions,
    is_enumeration,
    is_figure,
    iso_dates,
    read_quantity,
    tokens_of,
    unit_of,
)
from detectors.text.vocabulary import FUNCTION_WORDS, MONTH_KEYS, MONTHS, ORDINALS, UNIT_ABBREVIATIONS, UNIT_NAMES

REMEMBERED_STEMS: Final = 65_536
LONGEST_REMEMBERED: Final = 32

# Longest first within each family; the first that fits is taken.
_ENDINGS: Final = (
    ("ization", "ize"), ("isation", "ize"), ("ational", "ate"), ("fulness", "ful"), ("iveness", "ive"),
    ("ingly", ""), ("edly", ""), ("ments", ""), ("ment", ""), ("ations", "ate"), ("ation", "ate"),
    ("ising", "ize"), ("ised", "ize"), ("ises", "ize"), ("ise", "ize"), ("izing", "ize"), ("ized", "ize"),
    ("ness", ""), ("eries", "er"), ("ies", "y"), ("ied", "y"), ("ery", "er"), ("ing", ""),
    ("ers", ""), ("er", ""), ("ors", ""), ("or", ""), ("ed", ""), ("ly", ""), ("es", ""), ("s", ""),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Word:
    """One content word or number of a sentence, with its character range in the whole text."""

    stem: str
    start: int
    end: int
    is_number: bool
    is_name: bool
    readings: tuple[str, ...] = ()  # other keys it may be found by
    unit: str = ""  # what a number measures
    counted: str = ""  # stem of what a number counts, if it measures nothing
    is_spelled: bool = False  # a number without digits


# Only these can name a unit.
_NAMES_UNITS: Final = frozenset({"cent", *UNIT_NAMES, *UNIT_ABBREVIATIONS})


def stem(word: str) -> str:
    """Return a crude English stem, so that "returned" meets "returns"; for matching only, never for reading."""
    # Text repeats its words; a bounded memory of short ones halves the time of indexing a context.
    return _remembered_stem(word) if len(word) <= LONGEST_REMEMBERED else _find_stem(word)


def _find_stem(word: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c))
    plain = plain.replace("\u2019", "'").removesuffix("'s").removesuffix("'")
    if len(plain) <= 5:
        is_plural = len(plain) > 3 and plain.endswith("s") and not plain.endswith(("ss", "us", "is"))
        return plain[:-1] if is_plural else plain
    # Twice, so that "delivered" loses -ed and then -er, as "deliver" does.
    plain = _without_ending(_without_ending(plain))
    if len(plain) > 4 and plain[-1] == plain[-2] and plain[-1] not in "aeiou":
        plain = plain[:-1]
    return plain


@lru_cache(maxsize=REMEMBERED_STEMS)
def _remembered_stem(word: str) -> str:
    return _find_stem(word)


def _without_ending(word: str) -> str:
    if len(word) > 5:
        for ending, replacement in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                return word[: len(word) - len(ending)] + replacement
    return word.removesuffix("e") if len(word) > 4 else word


def content_words(text: str, start: int = 0, end: int | None = None) -> list[Word]:
    """Return the content words, units and numbers of ``text[start:end]``, without function words and list numbers."""
    stop = len(text) if end is None else end
    tokens = tokens_of(text, start, stop)
    months = iso_dates(text, start, stop)
    words: list[Word] = []
    place = 0
    while place < len(tokens):
        quantity = read_quantity(text, tokens, place)
        if quantity is None:
            words += _plain_word(text, tokens, place, start)
            place += 1
        else:
            if quantity.start in months:
                key = MONTH_KEYS.get(months[quantity.start])
                if key is not None:
                    words.append(Word(key, quantity.start, quantity.end, False, True))
            elif not _is_no_amount(text, tokens, place, start, quantity):
                words.append(_number_word(tokens, quantity))
            place = quantity.after
    return words


def _is_no_amount(text: str, tokens: Sequence[Token], place: int, start: int, quantity: Quantity) -> bool:
    """Return whether a number says nothing: "one" as a pronoun, ":00" of a clock time, the number of a list item."""
    if quantity.is_spelled:
        return quantity.value == "1" and not quantity.unit
    if tokens[place].text == "00" and text[max(start, quantity.start - 1) : quantity.start] == ":":
        return True
    return is_enumeration(text, tokens, place, start)


def _number_word(tokens: Sequence[Token], quantity: Quantity) -> Word:
    counted = ""
    if not quantity.unit and quantity.after < len(tokens):
        following = tokens[quantity.after].text
        if following.lower() not in FUNCTION_WORDS and following[0].isalpha():
            counted = stem(following)
    return Word(
        quantity.value,
        quantity.start,
        quantity.end,
        True,
        False,
        quantity.readings,
        quantity.unit,
        counted,
        quantity.is_spelled,
    )


def _plain_word(text: str, tokens: Sequence[Token], place: int, start: int) -> list[Word]:
    """Return the word at ``tokens[place]``, or nothing for a function word."""
    token = tokens[place]
    lower = token.text.lower()
    if lower in _NAMES_UNITS:
        unit = unit_of(tokens, place, follows_number=bool(place) and is_figure(tokens[place - 1]))
        if unit:
            return [Word(stem(unit), token.start, token.end, False, False)]
    if lower in MONTHS:
        return [Word("month-" + MONTHS[lower], token.start, token.end, False, True)]
    if lower in FUNCTION_WORDS or lower.replace("\u2019", "'") in FUNCTION_WORDS:
        return []
    named = token.text[0].isupper() and token.start > start
    readings = (ORDINALS[lower],) if lower in ORDINALS else ()
    return [Word(stem(token.text), token.start, token.end, False, named and not readings, readings)]


def keys_of(words: Iterable[Word]) -> set[str]:
    """Return what the words can be matched by: their stems, and those of the parts of hyphenated words."""
    keys: set[str] = set()
    for word in words:
        keys.add(word.stem)
        keys.update(word.readings)
        if "-" in word.stem:
            keys.update(stem(part) for part in word.stem.split("-") if part)
    return keys


def word_places(word: Word, places: Mapping[str, tuple[int, ...]]) -> set[int]:
    """Return the context sentences that hold a word, in any of its spellings."""
    if _has_one_key(word):
        return set(places.get(word.stem, ()))
    found: set[int] = set()
    for alternative in alternatives(word):
        found |= set.intersection(*(set(places.get(key, ())) for key in alternative))
    return found


def alternatives(word: Word) -> list[tuple[str, ...]]:
    """Return the keys by which a word can be found; it is found if all keys of one alternative are."""
    if _has_one_key(word):
        return [(word.stem,)]
    parts = tuple(stem(part) for part in word.stem.split("-") if part)
    others: list[tuple[str, ...]] = [(reading,) for reading in word.readings]
    others += [(value, stem(unit)) for value, unit in conversions(word.stem, word.unit)] if word.unit else []
    return [(word.stem,), *others, parts] if len(parts) > 1 else [(word.stem,), *others]


def is_known(word: Word, keys: Container[str]) -> bool:
    """Return whether a word, or all parts of a hyphenated one, occurs among ``keys``."""
    if word.stem in keys:
        return True
    return not _has_one_key(word) and any(all(key in keys for key in way) for way in alternatives(word))


def _has_one_key(word: Word) -> bool:
    """Return whether a word can be found by its stem alone, as most can."""
    return not word.readings and not word.unit and "-" not in word.stem


def converted_amounts(words: Sequence[Word], keys: Container[str]) -> list[tuple[Word, Word]]:
    """Return numbers that ``keys`` hold only in another unit ("two weeks" where it says 14 days), with their unit."""
    return [
        (number, unit)
        for number, unit in pairwise(words)
        if number.is_number and number.unit and unit.stem == stem(number.unit)
        if number.stem not in keys and is_known(number, keys)
    ]
