"""How far a response says what other answers to the same prompt don't: self-consistency without a model.

A model that knows something says it again when asked again; what it makes up differs from answer to answer. This is the
unigram variant of SelfCheckGPT (Manakul et al. 2023, arXiv 2303.08896): a sentence is as doubtful as its rarest word
among all answers, and a response as its sentences on average. The paper's figure for it, on 238 passages with 20
samples each: AUC-PR 85.6 for finding non-factual sentences, against 73.0 at random and 92.5 for the variant with a
language inference model; none of it was measured here.

The paper's score is the negative log probability of a word in a unigram model of all answers, which grows with the
answers' length. Here it is brought onto [0, 1]: among ``n`` answers a word that ``c`` of them hold has the doubt
``1 - log(c) / log(n)``, which is 1 for a word that only this answer holds and 0 for one that all hold.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from detectors.model import Span
from detectors.text.sentences import split_sentences

SPAN_THRESHOLD: Final = 0.5
DECIMALS: Final = 6
# Twenty answers are what the paper's figures were made with; more add cost and little else.
MAX_SAMPLES: Final = 20
# Chinese and Japanese are written without spaces between words, so their characters stand for words.
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\d+(?:[.,:]\d+)*|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+")


@dataclass(frozen=True, slots=True)
class ConsistencyReading:
    """``value``: the mean over sentences of their most doubtful word; ``average``: the mean over all words; in [0, 1].

    ``spans`` are the stretches of words that fewer than the square root of all answers hold.
    """

    value: float
    average: float
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A stretch of the response that is one answer, and the answers it is compared with."""

    start: int
    end: int
    others: tuple[str, ...]


def compare_answers(response: str, samples: Sequence[str]) -> list[Comparison]:
    """Return what is to be compared with what; empty if there is nothing to compare.

    ``samples`` are the other answers to the prompt. If they are the answers that ``response`` itself is made of, one
    after a line break as a call with several choices gives them, each is compared with the rest. Blank answers are left
    out, and only the first ``MAX_SAMPLES`` count.
    """
    answers = [sample for sample in samples[:MAX_SAMPLES] if sample.strip()]
    if "\n".join(answers) != response:
        return [Comparison(0, len(response), tuple(answers))] if answers else []
    found = []
    start = 0
    for place, answer in enumerate(answers):
        others = (*answers[:place], *answers[place + 1 :])
        found.append(Comparison(start, start + len(answer), others))
        start += len(answer) + 1
    return found if len(found) > 1 else []


def read_consistency(response: str, comparisons: Sequence[Comparison]) -> ConsistencyReading | None:
    """Return how far the response says what the other answers don't; None if it holds no words to compare."""
    doubted = [words for one in comparisons for words in _doubt_sentences(response, one)]
    if not doubted:
        return None
    doubts = [doubt for words in doubted for _, _, doubt in words]
    return ConsistencyReading(
        round(sum(max(doubt for _, _, doubt in words) for words in doubted) / len(doubted), DECIMALS),
        round(sum(doubts) / len(doubts), DECIMALS),
        _mark([word for words in doubted for word in words]),
    )


def _doubt_sentences(response: str, comparison: Comparison) -> list[list[tuple[int, int, float]]]:
    """Return the words of each sentence that has any: their places in the response, and their doubts."""
    start, part = comparison.start, response[comparison.start : comparison.end]
    texts = (part, *comparison.others)
    held = Counter(word for text in texts for word in {match[0].casefold() for match in _WORD.finditer(text)})
    sentences = [
        [
            (
                start + match.start(),
                start + match.end(),
                1.0 - math.log(held[match[0].casefold()]) / math.log(len(texts)),
            )
            for match in _WORD.finditer(part, sentence.start, sentence.end)
        ]
        for sentence in split_sentences(part)
    ]
    return [words for words in sentences if words]


def _mark(words: Sequence[tuple[int, int, float]]) -> tuple[Span, ...]:
    """Return the stretches of neighbouring words of at least ``SPAN_THRESHOLD``, each with its worst doubt."""
    ranges: list[tuple[int, int, float]] = []
    joined = False
    for start, end, doubt in words:
        if doubt < SPAN_THRESHOLD:
            joined = False
        elif joined:
            ranges[-1] = (ranges[-1][0], end, max(ranges[-1][2], doubt))
        else:
            ranges.append((start, end, doubt))
            joined = True
    return tuple(Span(start, end, round(doubt, DECIMALS)) for start, end, doubt in ranges)
