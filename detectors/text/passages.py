"""Picks the sentences of the contexts that a response most likely rests on, within a budget.

A reader model's time grows with what it is shown, so it is shown what shares rare words with the response, and not ten
retrieved documents. Each sentence of the response names its best context sentences by inverse-frequency coverage, and
words already covered count less, so that the second choice adds what the first one lacks. On WiCE's training claims
(4,900 characters of evidence each, median) four sentences a claim hold 85 % of the annotated supporting sentences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from detectors.text.support import Support
from detectors.text.words import Word, word_places

CHOICES: Final = 4
COVERED: Final = 0.3  # what a word that is already covered still counts
# A word in more sentences than this says little about any of them, and following all would take long.
MOST_PLACES: Final = 400


def choose_passages(claims: Sequence[Sequence[Word]], support: Support, budget: int) -> str:
    """Return the chosen context sentences in their own order, joined by spaces, at most ``budget`` characters.

    ``claims`` holds the content words of each sentence of the response. Contexts that fit into the budget are returned
    whole. The sentences of the response take turns, so that a long one leaves room for the others.
    """
    if sum(len(sentence) + 1 for sentence in support.sentences) <= budget:
        return " ".join(support.sentences)
    chosen: set[int] = set()
    room = budget
    rankings = [_rank(words, support) for words in claims]
    # Without a word in common, the beginning is as good as anything and says at least what the contexts are about.
    turns = zip_longest(*rankings) if any(rankings) else ((place,) for place in range(len(support.sentences)))
    for turn in turns:
        for place in turn:
            if place is not None and place not in chosen and len(support.sentences[place]) < room:
                chosen.add(place)
                room -= len(support.sentences[place]) + 1
    return " ".join(support.sentences[place] for place in sorted(chosen))


def _rank(words: Sequence[Word], support: Support) -> list[int]:
    """Return up to ``CHOICES`` context sentences for one sentence of the response, best first."""
    found = [word_places(word, support.places) for word in words]
    held = [(places, math.log(1.0 + len(support.sentences) / len(places))) for places in found if places]
    gains: dict[int, float] = {}
    for places, weight in held:
        for place in places if len(places) <= MOST_PLACES else ():
            gains[place] = gains.get(place, 0.0) + weight
    ranking: list[int] = []
    while gains and len(ranking) < CHOICES:
        best = max(gains, key=lambda place: (gains[place], -place))
        ranking.append(best)
        for index, (places, weight) in enumerate(held):
            if best in places and len(places) <= MOST_PLACES:
                held[index] = (places, weight * COVERED)
                for place in places:
                    if place in gains:
                        gains[place] -= weight * (1.0 - COVERED)
        del gains[best]
    return ranking
