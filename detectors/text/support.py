"""What a context says in words and numbers, and how much of a sentence it covers.

Lexical on purpose: nothing to download, microseconds a sentence, and each verdict can be pointed at. Word overlap is a
strong baseline for groundedness (it beats sentence-vector cosine on TRUE and SummaC); its blind spots are paraphrase,
which looks unsupported, and a wrong relation between right words, which looks supported.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
from detectors.text.sentences import Sentence, split_sentences
from detectors.text.talk import claimless_ranges
from detectors.text.vocabulary import FUNCTION_WORDS, MONTH_KEYS, MONTHS, ORDINALS, TALK_WORDS

# Longest first within each family; the first that fits is taken.
_ENDINGS: Final = (
    ("ization", "ize"), ("isation", "ize"), ("ational", "ate"), ("fulness", "ful"), ("iveness", "ive"),
    ("ingly", ""), ("edly", ""), ("ments", ""), ("ment", ""), ("ations", "ate"), ("ation", "ate"),
    ("ising", "ize"), ("ised", "ize"), ("ises", "ize"), ("ise", "ize"), ("izing", "ize"), ("ized", "ize"),
    ("ness", ""), ("eries", "er"), ("ies", "y"), ("ied", "y"), ("ery", "er"), ("ing", ""),
    ("ers", ""), ("er", ""), ("ors", ""), ("or", ""), ("ed", ""), ("ly", ""), ("es", ""), ("s", ""),
)  # fmt: skip


LARGEST_DERIVED_COUNT: Final = 12


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


def stem(word: str) -> str:
    """Return a crude English stem, so that "returned" meets "returns"; for matching only, never for reading."""
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


def _keys(words: Iterable[Word]) -> set[str]:
    """Return what the words can be matched by: their stems, and those of the parts of hyphenated words."""
    keys: set[str] = set()
    for word in words:
        keys.add(word.stem)
        keys.update(word.readings)
        if "-" in word.stem:
            keys.update(stem(part) for part in word.stem.split("-") if part)
    return keys


@dataclass(frozen=True, slots=True)
class Support:
    """What the contexts and the prompt offer to rest on. Built once for an exchange."""

    places: Mapping[str, tuple[int, ...]]  # word key -> the context sentences that hold it, ascending
    prompt_keys: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    counted: frozenset[str]  # stems of what the contexts give a number of
    measured: frozenset[tuple[str, str]]  # (number, unit) pairs of the contexts
    units: frozenset[str]


def build_support(contexts: Sequence[str], prompt: str | None) -> Support:
    """Index the contexts by word and sentence."""
    places: dict[str, list[int]] = {}
    sentences = 0
    pairs: set[tuple[str, str]] = set()
    counted: set[str] = set()
    measured: set[tuple[str, str]] = set()
    for context in contexts:
        for sentence in split_sentences(context):
            words = content_words(sentence.text)
            for key in _keys(words):
                places.setdefault(key, []).append(sentences)
            sentences += 1
            counted.update(word.counted for word in words if word.counted)
            measured.update((value, word.unit) for word in words if word.unit for value in (word.stem, *word.readings))
            stems = [word.stem for word in words]
            pairs.update(pairwise(stems))
            pairs.update(zip(stems, stems[2:], strict=False))
    return Support(
        places={key: tuple(numbers) for key, numbers in places.items()},
        prompt_keys=frozenset(_keys(content_words(prompt))) if prompt else frozenset(),
        pairs=frozenset(pairs),
        counted=frozenset(counted),
        measured=frozenset(measured),
        units=frozenset(unit for _, unit in measured),
    )


def _alternatives(word: Word) -> list[tuple[str, ...]]:
    """Return the keys by which a word can be found; it is found if all keys of one alternative are."""
    parts = tuple(stem(part) for part in word.stem.split("-") if part)
    others: list[tuple[str, ...]] = [(reading,) for reading in word.readings]
    others += [(value, stem(unit)) for value, unit in conversions(word.stem, word.unit)] if word.unit else []
    return [(word.stem,), *others, parts] if len(parts) > 1 else [(word.stem,), *others]


def is_known(word: Word, keys: Container[str]) -> bool:
    """Return whether a word, or all parts of a hyphenated one, occurs among ``keys``."""
    return any(all(key in keys for key in alternative) for alternative in _alternatives(word))


@dataclass(frozen=True, slots=True)
class Evidence:
    """How far one sentence is covered. Shares are in [0, 1]; ``claims`` counts the words that could be checked."""

    sentence: Sentence
    claims: int
    unsupported: tuple[Word, ...]
    word_ranges: tuple[tuple[int, int], ...]
    missing_share: float
    missing_names: float
    missing_numbers: float
    missing_pairs: float
    best_sentence_missing: float


FEATURES: Final = (
    "missing_share", "missing_names", "missing_numbers", "missing_pairs", "best_sentence_missing",
)  # fmt: skip


def weigh_sentence(text: str, sentence: Sentence, support: Support) -> Evidence:
    """Compare one sentence of ``text`` with the support.

    Names must come from the contexts; words and numbers may also repeat the prompt's ("your order 4711"). Small counts
    in words of things the contexts don't number ("two options") are left out, and so is talk that claims nothing.
    ``missing_numbers`` and ``missing_names`` saturate: 0 none, 1/2 one, 3/4 two, and so on.
    """
    silent = claimless_ranges(text, sentence.start, sentence.end)
    words = [
        word
        for word in content_words(text, sentence.start, sentence.end)
        if (word.is_number or text[word.start : word.end].lower() not in TALK_WORDS)
        and not any(start <= word.start < end for start, end in silent)
        and not _is_derived_count(word, support)
    ]
    unsupported: list[Word] = []
    names = numbers = 0
    for word in words:
        if is_known(word, support.places) and not _is_measured_otherwise(word, support):
            continue
        if not word.is_name and is_known(word, support.prompt_keys):
            continue
        unsupported.append(word)
        numbers += word.is_number
        names += word.is_name
    stems = [word.stem for word in words]
    adjacent = list(pairwise(stems))
    return Evidence(
        sentence=sentence,
        claims=len(words),
        unsupported=tuple(unsupported),
        word_ranges=tuple((word.start, word.end) for word in words),
        missing_share=len(unsupported) / len(words) if words else 0.0,
        missing_names=1.0 - 0.5**names,
        missing_numbers=1.0 - 0.5**numbers,
        missing_pairs=sum(pair not in support.pairs for pair in adjacent) / len(adjacent) if adjacent else 0.0,
        best_sentence_missing=1.0 - _best_sentence(words, support),
    )


def _is_measured_otherwise(word: Word, support: Support) -> bool:
    """Return whether the contexts give other numbers in this number's unit, and this number only for something else."""
    if word.unit not in support.units:
        return False
    same = [(value, word.unit) for value in (word.stem, *word.readings)] + conversions(word.stem, word.unit)
    return support.measured.isdisjoint(same)


def _is_derived_count(word: Word, support: Support) -> bool:
    """Return whether a number looks counted by the writer: small, in words, of things the contexts don't number."""
    if not (word.is_spelled and word.counted and not word.unit) or is_known(word, support.places):
        return False
    return word.counted not in support.counted and len(word.stem) <= 2 and int(word.stem) <= LARGEST_DERIVED_COUNT


def _best_sentence(words: Sequence[Word], support: Support) -> float:
    """Return the largest share of ``words`` that a single context sentence holds."""
    held: Counter[int] = Counter()
    for word in words:
        found: set[int] = set()
        for alternative in _alternatives(word):
            found |= set.intersection(*(set(support.places.get(key, ())) for key in alternative))
        held.update(found)
    return max(held.values()) / len(words) if held else 0.0
