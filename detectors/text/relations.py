"""Looks for right words in a wrong relation: a turned negation, an opposite, a figure or name that belongs elsewhere.

Word overlap calls "the fee is not 5 euros" as well supported as "the fee is 5 euros". Here the clauses of a sentence
are laid beside the clauses of the contexts that share most with them, and what speaks against the best fit is compared
with what speaks for it: a clause of the other polarity that fits better than any of the same one; a clause that holds
the opposite of a word and fits better than those that hold the word; a clause with another figure of the same unit that
fits better than those with this figure. A comparison of shares, no grammar: cheap, explainable, often silent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from detectors.text.opposites import OPPOSITE_STEMS
from detectors.text.sentences import Sentence
from detectors.text.words import Word, alternatives, keys_of, word_places

_BREAK: Final = re.compile(
    r"[;:]|,\s|\s[\u2013\u2014]\s|\b(?:but|while|whereas|although|though|and|otherwise)\b", re.IGNORECASE
)
# "No more than" and "at no cost" don't negate; "free", "excluded" and "forbidden" do without saying so.
_BOUND: Final = r"(?! (?:more|less|fewer|later|earlier|longer|higher|lower|older|younger|only)\b)"
_NEGATION: Final = re.compile(
    rf"(?<!at )\b(?:not{_BOUND}|no{_BOUND}|never|none|nobody|nothing|neither|nor|cannot|without|unable|nowhere|"
    r"free|excluded|excludes|exempt|forbidden|forbids|prohibited|prohibits|banned|unknown|impossible|unavailable|refused|"
    r"refuses|lacks?)\b|n['\u2019]t\b",
    re.IGNORECASE,
)
_AUXILIARY: Final = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|do|does|did|can|could|may|might|must|shall|should|will|would|need)\b",
    re.IGNORECASE,
)
MOST_SENTENCES: Final = 8
MOST_WORDS: Final = 40  # of one clause; longer ones are no clauses, and time would grow with their square
MOST_PLACES: Final = 400
FEWEST_WORDS: Final = 2  # a clause of fewer content words says too little to be laid beside another
LEAST_FIT: Final = 0.4


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause: its content words, the keys they are found by, whether it is negated, and its range in its text."""

    words: tuple[Word, ...]
    keys: frozenset[str]
    is_negated: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Relations:
    """How strongly each kind of wrong relation is suspected, in [0, 1], and the ranges of the words that show it."""

    turned_negation: float = 0.0
    opposite_word: float = 0.0
    misplaced_anchor: float = 0.0
    suspects: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class ClauseIndex:
    """The clauses of context sentences, cut when they are first asked for. One for each exchange.

    ``words`` are the content words of each sentence; ``places`` says which sentences hold a key.
    """

    sentences: Sequence[str]
    words: Sequence[Sequence[Word]]
    places: Mapping[str, tuple[int, ...]]
    _cut: dict[int, tuple[Clause, ...]] = field(default_factory=dict)

    def clauses(self, sentence: int) -> tuple[Clause, ...]:
        """Return the clauses of one context sentence."""
        if sentence not in self._cut:
            text = self.sentences[sentence]
            self._cut[sentence] = split_clauses(text, 0, len(text), self.words[sentence])
        return self._cut[sentence]


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A clause of the response beside the nearest clauses of the contexts: which of its words each of them holds.

    ``weights`` say how much finding a word tells; ``held[i][j]`` is whether clause ``i`` of ``near`` holds word ``j``,
    and ``around[i][j]`` whether the sentence that clause ``i`` is of holds it.
    """

    clause: Clause
    weights: tuple[float, ...]
    near: tuple[Clause, ...]
    held: tuple[tuple[bool, ...], ...]
    around: tuple[tuple[bool, ...], ...]

    def fit(self, other: int, without: Container[int] = ()) -> float:
        """Return the share of the words, by weight, that a clause holds; what only its sentence holds counts half."""
        total = found = 0.0
        for place, weight in enumerate(self.weights):
            if place in without:
                continue
            total += weight
            found += weight * (self.held[other][place] + self.around[other][place]) / 2
        return found / total if total > 0.0 else 0.0

    def excess(self, against: Sequence[int], in_favour: Sequence[int], without: Container[int] = ()) -> float:
        """Return by how much the best fit against exceeds the best in favour, if it fits at all."""
        best = max((self.fit(other, without) for other in against), default=0.0)
        if best < LEAST_FIT:
            return 0.0
        return max(best - max((self.fit(other, without) for other in in_favour), default=0.0), 0.0)

    def turned_negation(self) -> float:
        """Compare the clauses of the other polarity with those of the same."""
        other = [place for place, one in enumerate(self.near) if one.is_negated != self.clause.is_negated]
        same = [place for place, one in enumerate(self.near) if one.is_negated == self.clause.is_negated]
        return self.excess(other, same)

    def opposite_word(self, word: int) -> float:
        """Compare the clauses that hold an opposite of the word with those that hold the word."""
        opposites = OPPOSITE_STEMS.get(self.clause.words[word].stem)
        if opposites is None:
            return 0.0
        against = [
            place
            for place, one in enumerate(self.near)
            if one.is_negated == self.clause.is_negated and not self.held[place][word] and opposites & one.keys
        ]
        return self.excess(against, [place for place, held in enumerate(self.held) if held[word]], {word})

    def misplaced_anchor(self, word: int) -> float:
        """Compare, for a number or a name, the clauses that have another in its place with those that hold it."""
        anchor = self.clause.words[word]
        holding = [place for place, held in enumerate(self.held) if held[word]]
        if not (anchor.is_number or anchor.is_name) or not holding:
            return 0.0
        rivals = [
            place
            for place, one in enumerate(self.near)
            if not self.held[place][word] and any(_rivals(anchor, other, self.clause) for other in one.words)
        ]
        return self.excess(rivals, holding, self.anchor_words(word))

    def anchor_words(self, word: int) -> set[int]:
        """Return the word's place and those of the names right beside it: "Ada" and "Lovelace" are one name."""
        words = self.clause.words
        first = last = word
        while words[word].is_name and first and _adjoins(words[first - 1], words[first]):
            first -= 1
        while words[word].is_name and last + 1 < len(words) and _adjoins(words[last], words[last + 1]):
            last += 1
        return set(range(first, last + 1))


def _adjoins(left: Word, right: Word) -> bool:
    return left.is_name and right.is_name and right.start - left.end <= 1


def split_clauses(text: str, start: int, end: int, words: Sequence[Word]) -> tuple[Clause, ...]:
    """Return the clauses of ``text[start:end]``, whose content words are ``words``.

    A clause with fewer than ``FEWEST_WORDS`` is joined to the next, or to the one before if it is the last.
    """
    cuts = [*(match.start() for match in _BREAK.finditer(text, start, end) if match.start() > start), end]
    groups: list[tuple[int, int, list[Word]]] = []
    begin, place = start, 0
    own: list[Word] = []
    for stop in cuts:
        while place < len(words) and words[place].start < stop:
            own.append(words[place])
            place += 1
        if len(own) < FEWEST_WORDS and stop != end:
            continue
        if len(own) < FEWEST_WORDS and groups:
            first, _, before = groups.pop()
            groups.append((first, stop, before + own))
        else:
            groups.append((begin, stop, own))
        begin, own = stop, []
    return tuple(
        Clause(tuple(held), frozenset(keys_of(held)), len(_NEGATION.findall(text, first, stop)) % 2 == 1, first, stop)
        for first, stop, held in groups
    )


def relate(text: str, sentence: Sentence, words: Sequence[Word], index: ClauseIndex) -> Relations:
    """Compare the clauses of one sentence of ``text``, with its content words, with the nearest of the contexts."""
    turned = opposite = misplaced = 0.0
    suspects: list[tuple[int, int]] = []
    for clause in split_clauses(text, sentence.start, sentence.end, words):
        if len(clause.words) < FEWEST_WORDS:
            continue
        comparison = _compare(clause, index)
        found = comparison.turned_negation()
        if found:
            turned = max(turned, found)
            suspects += _negation_ranges(text, clause)
        for place, word in enumerate(comparison.clause.words):
            against, elsewhere = comparison.opposite_word(place), comparison.misplaced_anchor(place)
            opposite, misplaced = max(opposite, against), max(misplaced, elsewhere)
            if against or elsewhere:
                suspects.append((word.start, word.end))
    return Relations(turned, opposite, misplaced, tuple(sorted(set(suspects))))


def _compare(clause: Clause, index: ClauseIndex) -> _Comparison:
    words = clause.words[:MOST_WORDS]
    if len(words) < len(clause.words):
        clause = replace(clause, words=words)
    found = [word_places(word, index.places) for word in words]
    # A word that no context holds says most when it is missing.
    weights = tuple(math.log(1.0 + len(index.sentences) / max(len(places), 0.5)) for places in found)
    scores: dict[int, float] = {}
    for places, weight in zip(found, weights, strict=True):
        for sentence in places if len(places) <= MOST_PLACES else ():
            scores[sentence] = scores.get(sentence, 0.0) + weight
    nearest = sorted(scores, key=lambda sentence: (-scores[sentence], sentence))[:MOST_SENTENCES]
    near: list[Clause] = []
    held: list[tuple[bool, ...]] = []
    around: list[tuple[bool, ...]] = []
    ways = [alternatives(word) for word in words]
    for sentence in nearest:
        own = [
            tuple(any(all(key in other.keys for key in keys) for keys in way) for way in ways)
            for other in index.clauses(sentence)
        ]
        near += index.clauses(sentence)
        held += own
        around += [tuple(map(any, zip(*own, strict=True)))] * len(own)
    return _Comparison(clause, weights, tuple(near), tuple(held), tuple(around))


def _rivals(anchor: Word, other: Word, clause: Clause) -> bool:
    """Return whether ``other`` could stand in the anchor's place: as much a number of that unit, or as much a name."""
    if other.stem == anchor.stem or other.stem in clause.keys:
        return False
    if anchor.is_number:
        return other.is_number and other.unit == anchor.unit
    return other.is_name and not other.is_number


def _negation_ranges(text: str, clause: Clause) -> list[tuple[int, int]]:
    """Return where a clause says yes or no: its negations, else its auxiliaries, else all of it."""
    for pattern in (_NEGATION, _AUXILIARY):
        found = [match.span() for match in pattern.finditer(text, clause.start, clause.end)]
        if found:
            return found
    return [(clause.words[0].start, clause.words[-1].end)]
