"""What a context says in words and numbers, and how much of a sentence it covers.

Lexical on purpose: nothing to download, microseconds a sentence, and each verdict can be pointed at. Word overlap is a
strong baseline for groundedness (it beats sentence-vector cosine on TRUE and SummaC); its blind spots are paraphrase,
which looks unsupported, and a wrong relation between right words, which looks supported.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from detectors.text.sentences import Sentence, split_sentences
from detectors.text.vocabulary import FUNCTION_WORDS, MONTHS, NUMBER_WORDS, TALK_WORDS

_TOKEN: Final = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|[^\W_]+")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")


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


def normal_number(number: str) -> str:
    """Return a number in one spelling, without thousands commas and trailing zeros: "1,000.50" gives "1000.5"."""
    plain = re.sub(r",(?=\d{3}(?:\D|$))", "", number).replace(",", ".")
    if plain.count(".") == 1:
        plain = plain.rstrip("0").rstrip(".")
    return plain.lstrip("0") or "0"


def content_words(text: str, start: int = 0, end: int | None = None) -> list[Word]:
    """Return the content words and numbers of ``text[start:end]``, without function words."""
    words: list[Word] = []
    for match in _TOKEN.finditer(text, start, len(text) if end is None else end):
        token = match[0]
        lower = token.lower()
        if _NUMBER.fullmatch(token):
            words.append(Word(normal_number(token), match.start(), match.end(), True, False))
        elif lower in NUMBER_WORDS:
            words.append(Word(NUMBER_WORDS[lower], match.start(), match.end(), lower != "one", False))
        elif lower in MONTHS:
            words.append(Word("month-" + MONTHS[lower], match.start(), match.end(), False, True))
        elif lower not in FUNCTION_WORDS and lower.replace("\u2019", "'") not in FUNCTION_WORDS:
            named = token[0].isupper() and match.start() > start
            words.append(Word(stem(token), match.start(), match.end(), False, named))
    return words


def _keys(words: Iterable[Word]) -> set[str]:
    """Return what the words can be matched by: their stems, and those of the parts of hyphenated words."""
    keys: set[str] = set()
    for word in words:
        keys.add(word.stem)
        if "-" in word.stem:
            keys.update(stem(part) for part in word.stem.split("-") if part)
    return keys


@dataclass(frozen=True, slots=True)
class Support:
    """What the contexts and the prompt offer to rest on. Built once for an exchange."""

    places: Mapping[str, tuple[int, ...]]  # word key -> the context sentences that hold it, ascending
    prompt_keys: frozenset[str]
    pairs: frozenset[tuple[str, str]]


def build_support(contexts: Sequence[str], prompt: str | None) -> Support:
    """Index the contexts by word and sentence."""
    places: dict[str, list[int]] = {}
    sentences = 0
    pairs: set[tuple[str, str]] = set()
    for context in contexts:
        for sentence in split_sentences(context):
            words = content_words(sentence.text)
            for key in _keys(words):
                places.setdefault(key, []).append(sentences)
            sentences += 1
            stems = [word.stem for word in words]
            pairs.update(pairwise(stems))
            pairs.update(zip(stems, stems[2:], strict=False))
    return Support(
        places={key: tuple(numbers) for key, numbers in places.items()},
        prompt_keys=frozenset(_keys(content_words(prompt))) if prompt else frozenset(),
        pairs=frozenset(pairs),
    )


def _alternatives(word: Word) -> list[tuple[str, ...]]:
    """Return the keys by which a word can be found; it is found if all keys of one alternative are."""
    parts = tuple(stem(part) for part in word.stem.split("-") if part)
    return [(word.stem,), parts] if len(parts) > 1 else [(word.stem,)]


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

    Numbers and names must come from the contexts, words may also repeat the prompt's. ``missing_numbers`` and
    ``missing_names`` saturate: 0 none, 1/2 one, 3/4 two, and so on, as one wrong figure already makes an answer wrong.
    """
    words = [
        word
        for word in content_words(text, sentence.start, sentence.end)
        if word.is_number or text[word.start : word.end].lower() not in TALK_WORDS
    ]
    unsupported: list[Word] = []
    names = numbers = 0
    for word in words:
        if is_known(word, support.places):
            continue
        if not (word.is_number or word.is_name) and is_known(word, support.prompt_keys):
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


def _best_sentence(words: Sequence[Word], support: Support) -> float:
    """Return the largest share of ``words`` that a single context sentence holds."""
    held: Counter[int] = Counter()
    for word in words:
        found: set[int] = set()
        for alternative in _alternatives(word):
            found |= set.intersection(*(set(support.places.get(key, ())) for key in alternative))
        held.update(found)
    return max(held.values()) / len(words) if held else 0.0
