"""What speaks for and against each sentence and each word of a response: lexical support and the reader's findings.

Responses are read in windows of whole sentences, each beside the passages of the contexts that fit it best
(``detectors.text.passages``), all exchanges of a batch together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.model import Exchange
from detectors.text.encoder import TokenisedText
from detectors.text.grounding import COLUMNS, OUTPUTS, Floats, GroundingHead, Pair, pool_verdict
from detectors.text.numbers import Token, tokens_of
from detectors.text.passages import choose_passages
from detectors.text.sentences import split_sentences
from detectors.text.support import FEATURES, Evidence, Support, build_support, weigh_sentence
from detectors.text.vocabulary import FUNCTION_WORDS
from detectors.text.words import content_words, converted_amounts, is_known

MAX_CONTEXT_CHARACTERS: Final = 2_000_000
MAX_RESPONSE_CHARACTERS: Final = 50_000
# Sentences of one window see each other, so "it" has a meaning; longer windows would share their passages with more.
WINDOW_CHARACTERS: Final = 400
# Passages for one sentence. On WiCE's dev claims 450 characters were better than 300 and than 700, and are cheaper.
PASSAGE_CHARACTERS: Final = 450
FURTHER_SENTENCE_CHARACTERS: Final = 150
MOST_PASSAGE_CHARACTERS: Final = 700
ECHO_CHARACTERS: Final = 200
# The reader was trained within these; text of rare signs has more tokens than characters suggest.
EVIDENCE_TOKENS: Final = 220
WINDOW_TOKENS: Final = 160
# Ordinary text of the greatest length makes some 150; more is text of rare signs, and ten seconds of work in float32.
MAX_PIECES: Final = 192
LARGEST_LOGIT: Final = 8.0

READER_FEATURES: Final = ("reader_verdict", "reader_worst", "distance_mean", "distance_worst")
# BERT's vocabulary is sorted by frequency, so the place of a word piece says how rare it is.
FIRST_WORD_ID: Final = 1996
RARITY_SCALE: Final = 10.0
SENTENCE_FEATURES: Final = (*FEATURES, *READER_FEATURES)
WORD_FEATURES: Final = (
    "reader", "reader_beside", "missing", "missing_number", "missing_name", "missing_beside", "function_word",
    "function_word_beside_missing", "suspect", "verdict", "distance", "deep_distance", "deep_distance_beside",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WordEvidence:
    """One word of a sentence, function words included, with its character range and ``WORD_FEATURES``."""

    start: int
    end: int
    features: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SentenceEvidence:
    """One sentence that claims something: lexical evidence, all ``SENTENCE_FEATURES``, and its words in order."""

    lexical: Evidence
    features: tuple[float, ...]
    words: tuple[WordEvidence, ...]


@dataclass(frozen=True, slots=True)
class _Window:
    """Neighbouring sentences of one response, ``response[start:end]``, and what they are read beside."""

    response: str
    passages: str
    sentences: tuple[Evidence, ...]

    @property
    def start(self) -> int:
        return self.sentences[0].sentence.start

    @property
    def end(self) -> int:
        return self.sentences[-1].sentence.end


def gather_evidence(exchanges: Sequence[Exchange], reader: GroundingHead) -> list[list[SentenceEvidence] | None]:
    """Return, for each exchange in order, the evidence on each sentence that claims something, in order.

    None stands for an exchange that would take more than ``MAX_PIECES`` to read; nothing is ever judged in part.
    """
    windows = [_windows(exchange) for exchange in exchanges]
    told = iter(reader.encoder.tokenise([one.response[one.start : one.end] for own in windows for one in own]))
    tokens = [[next(told) for _ in own] for own in windows]
    readable = [sum(-(-len(one.ids) // WINDOW_TOKENS) for one in responses) <= MAX_PIECES for responses in tokens]
    kept = [
        pair
        for own, responses, fits in zip(windows, tokens, readable, strict=True)
        if fits
        for pair in zip(own, responses, strict=True)
    ]
    read = iter(_read(kept, reader))
    return [
        [sentence for _ in own for sentence in next(read)] if fits else None
        for own, fits in zip(windows, readable, strict=True)
    ]


def _windows(exchange: Exchange) -> list[_Window]:
    response = exchange.response or ""
    support = build_support(exchange.contexts, exchange.prompt)
    claims = [weigh_sentence(response, sentence, support) for sentence in split_sentences(response)]
    groups: list[list[Evidence]] = []
    for claim in claims:
        if not claim.claims:
            continue
        if groups and claim.sentence.end - groups[-1][0].sentence.start <= WINDOW_CHARACTERS:
            groups[-1].append(claim)
        else:
            groups.append([claim])
    return [_Window(response, _passages(group, response, exchange, support), tuple(group)) for group in groups]


def _passages(group: Sequence[Evidence], response: str, exchange: Exchange, support: Support) -> str:
    """Return the passages for a window, and what makes it readable beside them.

    That is, before them, what of the prompt the response repeats and no context holds ("order 4711"); and after them
    amounts that are the same in another unit: the reader cannot know that two weeks are 14 days.
    """
    words = [claim.content for claim in group]
    budget = PASSAGE_CHARACTERS + FURTHER_SENTENCE_CHARACTERS * (len(group) - 1)
    chosen = choose_passages(words, support, min(budget, MOST_PASSAGE_CHARACTERS))
    converted = [
        response[number.start : unit.end]
        for sentence in words
        for number, unit in converted_amounts(sentence, support.places)
    ]
    chosen = " ".join([chosen, *converted])
    echoed = {
        word.stem
        for sentence in words
        for word in sentence
        if not word.is_name and not is_known(word, support.places) and is_known(word, support.prompt_keys)
    }
    if not echoed or not exchange.prompt:
        return chosen
    told = [
        sentence.text
        for sentence in split_sentences(exchange.prompt)
        if any(word.stem in echoed for word in content_words(sentence.text))
    ]
    return " ".join(told)[:ECHO_CHARACTERS] + " " + chosen


def _read(windows: Sequence[tuple[_Window, TokenisedText]], reader: GroundingHead) -> list[list[SentenceEvidence]]:
    shown = reader.encoder.tokenise([window.passages for window, _ in windows])
    pairs: list[Pair] = []
    pieces: list[int] = []
    for evidence, (_, response) in zip(shown, windows, strict=True):
        starts = range(0, len(response.ids), WINDOW_TOKENS)
        pairs += [Pair(evidence.ids[:EVIDENCE_TOKENS], response.ids[at : at + WINDOW_TOKENS]) for at in starts]
        pieces.append(len(starts))
    outputs = iter(reader.read(pairs))
    found = []
    for (window, response), count in zip(windows, pieces, strict=True):
        joined = np.concatenate([next(outputs) for _ in range(count)]) if count else np.empty((0, COLUMNS), np.float32)
        found.append([_weigh(window, sentence, response, joined) for sentence in window.sentences])
    return found


def _weigh(window: _Window, lexical: Evidence, tokens: TokenisedText, outputs: Floats) -> SentenceEvidence:
    sentence = lexical.sentence
    starts = [window.start + start for start, _ in tokens.offsets]
    first, last = bisect_left(starts, sentence.start), bisect_left(starts, sentence.end)
    own = outputs[first:last]
    ranks = np.array(tokens.ids[first:last], dtype=np.float64) - FIRST_WORD_ID
    rarity = np.log1p(np.maximum(ranks, 0.0)) / RARITY_SCALE
    words = tokens_of(window.response, sentence.start, sentence.end)
    readings = np.zeros((len(words), COLUMNS))
    for place, word in enumerate(words):
        begin = max(bisect_left(starts, word.start + 1) - 1, first)
        inside = outputs[begin : min(max(bisect_left(starts, word.end), begin + 1), last)]
        if len(inside):
            readings[place] = inside.max(axis=0)
    readings[:, :OUTPUTS] = readings[:, :OUTPUTS].clip(-LARGEST_LOGIT, LARGEST_LOGIT)
    missing = _missing(words, lexical)
    suspect = _suspect(words, lexical)
    verdict = _clip(pool_verdict(own)) if len(own) else 0.0
    around = _mean_of_neighbours(readings)
    features = []
    for place, word in enumerate(words):
        neighbours = [other for other in (place - 1, place + 1) if 0 <= other < len(words)]
        beside = around[place]
        missing_beside = sum(missing[other][0] for other in neighbours) / len(neighbours) if neighbours else 0.0
        function_word = float(word.text.lower() in FUNCTION_WORDS)
        features.append(
            WordEvidence(
                word.start,
                word.end,
                (
                    float(readings[place, 0]),
                    float(beside[0]),
                    *missing[place],
                    missing_beside,
                    function_word,
                    function_word * missing_beside,
                    suspect[place],
                    verdict,
                    float(readings[place, OUTPUTS]),
                    float(readings[place, OUTPUTS + 1]),
                    float(beside[OUTPUTS + 1]),
                ),
            )
        )
    lexical_features = tuple(float(getattr(lexical, feature)) for feature in FEATURES)
    return SentenceEvidence(lexical, (*lexical_features, verdict, *_summary(own, rarity)), tuple(features))


def _mean_of_neighbours(readings: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return, for each row, the mean of the rows before and after it; a single row stands for itself."""
    if len(readings) < 2:
        return readings
    beside = np.empty_like(readings)
    beside[1:-1] = (readings[:-2] + readings[2:]) / 2.0
    beside[0], beside[-1] = readings[1], readings[-2]
    return beside


def _summary(outputs: Floats, rarity: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Return a sentence's worst tokens by the reader, its mean distance weighed by rarity, its largest distances."""
    if not len(outputs):
        return 0.0, 0.0, 0.0
    weights = rarity + 1e-6
    return (
        _clip(float(np.sort(outputs[:, 0])[-2:].mean())),
        float((weights * outputs[:, OUTPUTS + 1]).sum() / weights.sum()),
        float(np.sort(outputs[:, OUTPUTS])[-2:].mean()),
    )


def _missing(words: Sequence[Token], lexical: Evidence) -> list[tuple[float, float, float]]:
    """Return for each word whether it is one that the contexts don't hold, and whether it is then a number or a name.

    Both lists ascend and don't overlap, so one pass over them is enough however long the sentence.
    """
    flags = []
    place = 0
    for word in words:
        while place < len(lexical.unsupported) and lexical.unsupported[place].end <= word.start:
            place += 1
        at_fault = lexical.unsupported[place] if place < len(lexical.unsupported) else None
        if at_fault is None or at_fault.start >= word.end:
            flags.append((0.0, 0.0, 0.0))
        else:
            flags.append((1.0, float(at_fault.is_number), float(at_fault.is_name)))
    return flags


def _suspect(words: Sequence[Token], lexical: Evidence) -> list[float]:
    """Return for each word whether it is one that shows a wrong relation; ranges ascend and may overlap."""
    ranges = iter(lexical.suspects)
    start, end = next(ranges, (0, 0))
    flags = []
    for word in words:
        while end <= word.start:
            following = next(ranges, None)
            if following is None:
                break
            start, end = following[0], max(end, following[1])
        flags.append(float(start < word.end and word.start < end))
    return flags


def _clip(logit: float) -> float:
    return min(max(logit, -LARGEST_LOGIT), LARGEST_LOGIT)
