"""Which groups of people a prompt mentions, by a lexicon of our own.

A mention is not a judgement: it only says in whose company a response was given, so that responses can be compared by
group. Only the prompt is read; a group taken from the response would depend on the outcome that is compared.

Words are matched whole. Those that name people and things alike ("black", "German", "blind") count only beside a word
for people, or said of somebody ("I am blind", "she's Turkish"). English only: on other languages nothing is claimed,
and :func:`detectors.outcomes.observe.observe` says that the groups are unknown.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

FOLDER: Final = Path(__file__).resolve().parent
FILES: Final = ("identity_terms.txt", "demonyms.txt", "people_words.txt")
LANGUAGES: Final = frozenset({"en"})
"""In these the words are known, as ISO 639-1 codes."""

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*\+?")
_SUBJECTS: Final = frozenset({
    "i'm", "you're", "he's", "she's", "they're", "we're", "who's", "being", "born", "raised", "identify", "identifies",
    "identified",
})  # fmt: skip
_BE: Final = frozenset({"am", "are", "is", "was", "were", "be", "been"})
_PERSONS: Final = frozenset({
    "i", "you", "he", "she", "they", "we", "who", "someone", "everybody", "everyone", "somebody", "anyone",
})  # fmt: skip
# "German teacher" is as often somebody who teaches German.
_OF_A_SUBJECT: Final = frozenset({
    "teacher", "teachers", "professor", "professors", "student", "students", "pupil", "pupils", "tutor",
})  # fmt: skip
_BETWEEN: Final = frozenset({
    "a", "an", "the", "as", "very", "so", "also", "both", "not", "half", "part", "legally", "completely", "totally",
    "all",
})  # fmt: skip
_FARTHEST_PERSON: Final = 2

Rule = Literal["alone", "capital", "people"]


@dataclass(frozen=True, slots=True)
class Mention:
    """One mention: ``group`` as ``axis:name``, from character ``start`` up to but without ``end`` of the prompt."""

    group: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Term:
    words: tuple[str, ...]
    group: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class IdentityLexicon:
    """The lexicon, by the first word of each term, longest terms first. ``digest`` is over the files it came from."""

    terms: Mapping[str, tuple[_Term, ...]]
    people: frozenset[str]
    groups: tuple[str, ...]
    digest: str

    def find(self, text: str) -> list[Mention]:
        """Return the mentions in ``text``, in order; they don't overlap. Time is linear in the text."""
        words = [_fold(word) for word in _WORD.findall(text)]
        terms = self.terms
        places = [place for place, word in enumerate(words) if word in terms or "'" in word]
        if not places:
            return []
        tokens: list[re.Match[str]] | None = None
        found: list[Mention] = []
        free = 0
        for place in places:
            if place < free:
                continue
            for term in terms.get(words[place]) or terms.get(_owner(words[place])) or ():
                last = place + len(term.words) - 1
                if not _matches(term, words, place):
                    continue
                # Where the words stand is only worked out once one may count.
                tokens = tokens or list(_WORD.finditer(text))
                start = tokens[place].start()
                if term.rule == "capital" and not text[start].isupper():
                    continue
                if term.rule == "people" and not self._is_about_people(term, words, place):
                    continue
                found.append(Mention(term.group, start, tokens[last].end()))
                free = last + 1
                break
        return found

    def _is_about_people(self, term: _Term, words: list[str], place: int) -> bool:
        after = place + len(term.words)
        nearby = words[after : after + _FARTHEST_PERSON]
        if nearby and nearby[0] in _OF_A_SUBJECT and term.group.startswith("nationality:"):
            return False
        return any(_owner(word) in self.people for word in nearby) or _is_said_of_somebody(words, place, self.people)


def find_groups(text: str, lexicon: IdentityLexicon | None = None) -> tuple[str, ...]:
    """Return the groups that ``text`` mentions, as ``axis:name``, each once and sorted."""
    return tuple(sorted({mention.group for mention in (lexicon or load_identity_lexicon()).find(text)}))


@lru_cache(maxsize=1)
def load_identity_lexicon() -> IdentityLexicon:
    """Return the lexicon that this package ships, read once a process."""
    texts = [(FOLDER / name).read_text(encoding="utf-8") for name in FILES]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    terms = [*_parse_terms(texts[0]), *_parse_demonyms(texts[1])]
    by_first: dict[str, list[_Term]] = {}
    for term in terms:
        by_first.setdefault(term.words[0], []).append(term)
    longest_first = {
        first: tuple(sorted(found, key=lambda term: (-len(term.words), term.rule))) for first, found in by_first.items()
    }
    people = frozenset(word for line in _lines(texts[2]) for word in line.split())
    return IdentityLexicon(longest_first, people, tuple(sorted({term.group for term in terms})), f"sha256:{digest}")


def _parse_terms(text: str) -> Iterator[_Term]:
    rules: Mapping[str, Rule] = {"+": "alone", "~": "people", "^": "capital"}
    group = ""
    for line in _lines(text):
        if line.startswith("["):
            group = line[1:-1]
            continue
        for written in line[1:].split(","):
            for form in _forms(written.strip().lower()):
                yield _Term(tuple(_fold(word) for word in _WORD.findall(form)), group, rules[line[0]])


def _parse_demonyms(text: str) -> Iterator[_Term]:
    for line in _lines(text):
        adjective, *plural = line.split()
        group = f"nationality:{adjective}"
        yield _Term(tuple(adjective.split("-")), group, "people")
        yield from (_Term((word.lower(),), group, "capital") for word in plural)


def _forms(written: str) -> Iterable[str]:
    if written.endswith("/s"):
        return (written[:-2], written[:-2] + "s")
    return (written,)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _fold(word: str) -> str:
    return word.lower().replace("\u2019", "'")


def _owner(word: str) -> str:
    """Return the word without a possessive ending."""
    return word.removesuffix("'s").removesuffix("'")


def _matches(term: _Term, words: list[str], place: int) -> bool:
    """Return whether ``term``, whose first word is known to, stands at ``place``. Its last word may own something."""
    size = len(term.words)
    if size == 1:
        return True
    rest = words[place + 1 : place + size]
    return (
        len(rest) == size - 1
        and tuple(rest[:-1]) == term.words[1:-1]
        and (rest[-1] == term.words[-1] or _owner(rest[-1]) == term.words[-1])
    )


def _is_said_of_somebody(words: list[str], place: int, people: frozenset[str]) -> bool:
    """Return whether what stands before says it of a person: "I am", "she's a", "my wife is", "people who are"."""
    before = place - 1
    while before >= 0 and words[before] in _BETWEEN and place - before <= 3:
        before -= 1
    if before < 0:
        return False
    if words[before] in _SUBJECTS:
        return True
    return words[before] in _BE and before > 0 and (words[before - 1] in _PERSONS or words[before - 1] in people)
