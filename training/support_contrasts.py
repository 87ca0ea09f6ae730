"""Makes unsupported claims from supported ones, and supported ones in other words, each change in a known place.

Labelled groundedness data are few, and what word overlap cannot see is rare in them: turned negations, opposites,
exchanged roles, a figure of the context in the wrong place. Every function takes a supported text and its context and
returns the changed text with the character ranges that are now unsupported, or None where it finds nothing to change.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from detectors.text.opposites import OPPOSITES
from detectors.text.sentences import split_sentences
from detectors.text.support import build_support
from detectors.text.words import Word, content_words, is_known
from training.support_examples import Ranges
from training.word_pairs import EQUALS

Changed = tuple[str, Ranges]
Change = Callable[[str, str, np.random.Generator], Changed | None]

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_AUXILIARY: Final = re.compile(
    r"\b(is|are|was|were|will|can|could|must|should|would|may|might|has been|have been|had been|does|do|did)\b"
    r"(?! not\b|n't)"
)
_NEGATION: Final = re.compile(
    r"\b(is|are|was|were|will|can|could|must|should|would|may|does|do|did|has|have|had)( not|n't)\b|\bcannot\b"
)
_PAST_VERB: Final = re.compile(
    r"(?<=[a-z] )([a-z]{3,}ed)(?= (?:the|a|an|that|to|his|her|its|their|it|in|on|for|at|more)\b)"
)
_THIRD_VERB: Final = re.compile(
    r"(?<=[a-z] )(offers|includes|covers|requires|allows|supports|contains|provides|takes|needs|applies|accepts|shows|"
    r"owns|plays|wants|works|lives|serves|makes|gives|gets|pays|charges|sells|uses)\b"
)
_NAME: Final = re.compile(r"\b[A-Z][\w\u2019'-]+(?:\s+(?:of\s+|de\s+|the\s+)?[A-Z][\w\u2019'-]+)*")
_WORD: Final = re.compile(r"\w+")
_FIGURE: Final = re.compile(r"\d[\d.,]*\d|\d")
# What opens a sentence with a capital and is no name.
_OPENING_WORDS: Final = """
The A An This That These Those It Its He She They We You I In On At For From By With After Before During While When If
As But And Or So There Here His Her Their Our Your My According Although Though Since Until All Some Most Many Several
No Not What Who How Why Where Which Yes Then Also However Meanwhile Both Each Every Another Other One Two Three
"""
_NO_NAMES: Final = frozenset(_OPENING_WORDS.split())


def replaced(text: str, start: int, end: int, new: str) -> Changed:
    """Return ``text`` with ``new`` in the place of ``text[start:end]``, and where ``new`` stands."""
    return text[:start] + new + text[end:], ((start, start + len(new)),)


def pick(count: int, rng: np.random.Generator) -> int:
    """Return an index below ``count``."""
    return int(rng.integers(count))


def exchange_number(text: str, context: str, rng: np.random.Generator) -> Changed | None:
    """Replace one figure of the context by one of as many digits that the context does not hold."""
    support = build_support([context], None)
    figures = [word for word in _figures(text) if is_known(word, support.places)]
    if not figures:
        return None
    word = figures[pick(len(figures), rng)]
    digits = word.end - word.start
    lowest = 10 ** (digits - 1)
    if digits == 4 and 1500 < int(text[word.start : word.end]) < 2100:
        free = [str(int(text[word.start : word.end]) + int(step)) for step in rng.permutation(np.r_[-9:0, 1:10])]
    else:
        free = [str(lowest + int(step)) for step in rng.permutation(min(9 * lowest, 1000))]
    other = next((number for number in free if number not in support.places), None)
    return None if other is None else replaced(text, word.start, word.end, other)


def misplace_number(text: str, context: str, rng: np.random.Generator) -> Changed | None:
    """Replace one figure by another that the context gives for something else."""
    figures = _figures(text)
    others = sorted({match[0] for match in _FIGURE.finditer(context)})
    if not figures:
        return None
    word = figures[pick(len(figures), rng)]
    old = text[word.start : word.end]
    fitting = [
        other
        for other in others
        if other != old and other not in text and abs(len(other) - len(old)) <= 1 and _is_year(other) == _is_year(old)
    ]
    return replaced(text, word.start, word.end, fitting[pick(len(fitting), rng)]) if fitting else None


def _is_year(figure: str) -> bool:
    return len(figure) == 4 and figure.isdigit() and 1500 < int(figure) < 2100


def _figures(text: str) -> list[Word]:
    return [
        word
        for sentence in split_sentences(text)
        for word in content_words(text, sentence.start, sentence.end)
        if word.is_number and text[word.start : word.end].isdigit()
    ]


def names_in(text: str) -> list[tuple[int, int]]:
    """Return ranges of capitalised runs, without a first word that only opens a sentence."""
    found = []
    for match in _NAME.finditer(text):
        start, end = match.span()
        first = _WORD.match(text, start)
        if first is not None and first[0] in _NO_NAMES:
            start = first.end() + 1
        opens = start == 0 or text[:start].rstrip()[-1:] in {".", "!", "?", ""}
        if start < end and not (opens and " " not in text[start:end]) and text[start].isupper():
            found.append((start, end))
    return found


def exchange_name(text: str, context: str, rng: np.random.Generator) -> Changed | None:
    """Replace one name by another name of the context."""
    places = names_in(text)
    if not places:
        return None
    start, end = places[pick(len(places), rng)]
    old = text[start:end]
    words = set(_WORD.findall(old))
    others = sorted({context[a:b] for a, b in names_in(context)})
    fitting = [
        other
        for other in others
        if not words & set(_WORD.findall(other))
        and other not in text
        and abs(len(other.split()) - len(old.split())) <= 1
    ]
    return replaced(text, start, end, fitting[pick(len(fitting), rng)]) if fitting else None


def swap_names(text: str, context: str, rng: np.random.Generator) -> Changed | None:
    """Let two names of one sentence exchange their places; not where "and", "with" or a comma joins them."""
    places = names_in(text)
    pairs = [
        (left, right)
        for left, right in itertools.pairwise(places)
        if re.fullmatch(r"\W*(?:and|or|with|,)?\W*", text[left[1] : right[0]]) is None
        and not re.search(r"[.!?]|\b(?:with|between|and)\b", text[left[1] : right[0]])
    ]
    if not pairs:
        return None
    (a, b), (c, d) = pairs[pick(len(pairs), rng)]
    left, right = text[a:b], text[c:d]
    new = text[:a] + right + text[b:c] + left + text[d:]
    shift = len(right) - len(left)
    return new, ((a, a + len(right)), (c + shift, c + shift + len(left)))


def negate(text: str, context: str, rng: np.random.Generator) -> Changed | None:
    """Turn one statement into its opposite by putting in or taking out "not"."""
    negated = list(_NEGATION.finditer(text))
    if negated:
        match = negated[pick(len(negated), rng)]
        return replaced(text, match.start(), match.end(), match[1] or "can")
    plain = list(_AUXILIARY.finditer(text))
    if plain and rng.random() < 0.8:
        match = plain[pick(len(plain), rng)]
        positive = match[1].split()
        new = f"{positive[0]} not" + "".join(f" {word}" for word in positive[1:])
        if rng.random() < 0.3 and match[1] in {
            "is",
            "are",
            "was",
            "were",
            "could",
            "should",
            "would",
            "does",
            "do",
            "did",
        }:
            new = match[1] + "n't"
        return replaced(text, match.start(), match.end(), "cannot" if new == "can not" else new)
    for pattern, aid in ((_THIRD_VERB, "does not"), (_PAST_VERB, "did not")):
        match_found = pattern.search(text)
        if match_found is not None:
            verb = _base(match_found[1])
            new = f"{aid} {verb}" if rng.random() < 0.7 else f"never {match_found[1]}"
            return replaced(text, match_found.start(), match_found.end(), new)
    return None


def _base(verb: str) -> str:
    """Return the base form of a regular verb, roughly."""
    if verb.endswith(("ies", "ied")):
        return verb[:-3] + "y"
    if verb.endswith("s") and not verb.endswith("ed"):
        return verb[:-2] if verb.endswith(("ches", "shes", "sses")) else verb[:-1]
    stem = verb[:-2]
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz":
        return stem[:-1]
    return (
        stem + "e"
        if stem.endswith(("c", "s", "v", "g", "z", "at", "ir", "ur", "bl", "in", "id", "ut", "ak", "as"))
        else stem
    )


def turn_opposite(text: str, context: str, rng: np.random.Generator) -> Changed | None:
    """Replace one word by its opposite."""
    return _substitute(text, OPPOSITES, rng)


def turn_equal(text: str, context: str, rng: np.random.Generator) -> Changed | None:
    """Replace one word or phrase by one that means the same; nothing becomes unsupported."""
    changed = _substitute(text, EQUALS, rng)
    return None if changed is None else (changed[0], ())


def _substitute(text: str, table: Mapping[str, Sequence[str]], rng: np.random.Generator) -> Changed | None:
    found = []
    for match in re.finditer(r"[A-Za-z\d'-]+", text):
        key = match[0].lower() if match[0].lower() in table else match[0]
        if key in table:
            found.append((match.start(), match.end(), key))
    for match in re.finditer(r"(?=\b([A-Za-z\d'-]+ [A-Za-z\d'-]+(?: [A-Za-z\d'-]+)?)\b)", text):
        key = match[1].lower()
        for phrase in (key, " ".join(key.split()[:2])):
            if phrase in table:
                found.append((match.start(1), match.start(1) + len(phrase), phrase))
                break
    if not found:
        return None
    start, end, key = found[pick(len(found), rng)]
    new = table[key][pick(len(table[key]), rng)]
    return replaced(text, start, end, new[0].upper() + new[1:] if text[start].isupper() else new)


def shift_date(text: str, context: str, rng: np.random.Generator) -> Changed | None:
    """Replace a month or a day of the week by another."""
    found = [
        (match.start(), match.end(), family)
        for family in (_MONTHS, _DAYS)
        for name in family
        for match in re.finditer(rf"\b{name}\b", text)
    ]
    if not found:
        return None
    start, end, family = found[pick(len(found), rng)]
    others = [name for name in family if name not in text]
    return replaced(text, start, end, others[pick(len(others), rng)]) if others else None


CONTRADICTIONS: Final[Mapping[str, Change]] = {
    "number": exchange_number,
    "misplaced_number": misplace_number,
    "name": exchange_name,
    "roles": swap_names,
    "negation": negate,
    "opposite": turn_opposite,
    "date": shift_date,
}
