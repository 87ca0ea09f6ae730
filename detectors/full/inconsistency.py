"""``inconsistency``: whether other answers to the same prompt say the same.

It needs no contexts, so it also says something where ``hallucination`` cannot; it needs several answers, so it only
speaks of traffic that samples. Words alone decide the value. Where a claim checker is loaded and the exchange is chosen
for it, each sentence is also checked against each of a few other answers (SelfCheckGPT's variant with a language
inference model), and the mean stands beside the value as a label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detectors.contract import Findings, SeenExchange, TextFailure
from detectors.full.claims import ClaimChecker, ClaimQuestion
from detectors.full.escalation import Escalation
from detectors.model import (
    INCONSISTENCY,
    NO_CHECKABLE_CLAIM,
    NO_OTHER_ANSWER,
    NO_RESPONSE_TEXT,
    TEXT_TOO_LONG,
    DetectorIdentity,
    Exchange,
    Score,
    assessed,
    not_assessed,
)
from detectors.text import consistency
from detectors.text.consistency import Comparison, ConsistencyReading, compare_answers, read_consistency

NAME: Final = "inconsistency/unigram"
VERSION: Final = "1.0.0"
AVERAGE: Final = "average"
CLAIM_UNSUPPORTED: Final = "claim_unsupported"
MAX_CHARACTERS: Final = 1_000_000
# Each other answer costs as much as a context; a few say most of what many do.
CHECKED_ANSWERS: Final = 4
DECIMALS: Final = 6


class InconsistencyDetector:
    """Scores responses against other answers to their prompts. ``checker`` None means that words alone are compared."""

    metrics = (INCONSISTENCY,)
    traits = ()
    head = None

    def __init__(self, checker: ClaimChecker | None, escalation: Escalation) -> None:
        self._checker = checker
        self._escalation = escalation
        source = hashlib.sha256(Path(consistency.__file__).read_bytes()).hexdigest()
        parts = source if checker is None else f"{source}\n{checker.digest}\n{escalation}"
        self._identity = DetectorIdentity(NAME, VERSION, f"sha256:{hashlib.sha256(parts.encode()).hexdigest()}")
        self.identities = (self._identity,)

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """Nothing: it reads words, not vectors."""
        return ()

    def judge(self, seen: Sequence[SeenExchange]) -> list[Findings]:
        """Score all exchanges, and check the claims of those that are chosen together."""
        exchanges = [one.exchange for one in seen]
        read = [_read(exchange) for exchange in exchanges]
        checked = self._check(exchanges, read)
        return [Findings((self._score(one, checked.get(place)),)) for place, one in enumerate(read)]

    def _score(self, read: _Read | str, unsupported: float | None) -> Score:
        if isinstance(read, str):
            return not_assessed(INCONSISTENCY, read, self._identity)
        reading = read.reading
        labels = {AVERAGE: reading.average}
        if unsupported is not None:
            labels[CLAIM_UNSUPPORTED] = unsupported
        return assessed(INCONSISTENCY, reading.value, self._identity, labels=labels, spans=reading.spans)

    def _check(self, exchanges: Sequence[Exchange], read: Sequence[_Read | str]) -> dict[int, float]:
        """Return how badly each chosen exchange's claims are supported by other answers, by its place."""
        if self._checker is None:
            return {}
        places: list[int] = []
        questions: list[ClaimQuestion] = []
        for place, (exchange, one) in enumerate(zip(exchanges, read, strict=True)):
            if isinstance(one, str) or not self._escalation.chooses(exchange.id, one.reading.value):
                continue
            first = one.comparisons[0]
            answer = (exchange.response or "")[first.start : first.end]
            for other in first.others[:CHECKED_ANSWERS]:
                places.append(place)
                questions.append(ClaimQuestion((other,), answer))
        found: dict[int, list[float]] = {}
        for place, reading in zip(places, self._checker.check(questions), strict=True):
            if not isinstance(reading, TextFailure):
                found.setdefault(place, []).append(reading.mean)
        return {place: round(sum(values) / len(values), DECIMALS) for place, values in found.items()}


@dataclass(frozen=True, slots=True)
class _Read:
    """What the words say, and what was compared."""

    reading: ConsistencyReading
    comparisons: list[Comparison]


def _read(exchange: Exchange) -> _Read | str:
    """Return the comparison's result, or the reason why there is none."""
    response = exchange.response
    if response is None or not response.strip():
        return NO_RESPONSE_TEXT
    comparisons = compare_answers(response, exchange.samples)
    if not comparisons:
        return NO_OTHER_ANSWER
    if len(response) + sum(len(other) for other in exchange.samples) > MAX_CHARACTERS:
        return TEXT_TOO_LONG
    reading = read_consistency(response, comparisons)
    return NO_CHECKABLE_CLAIM if reading is None else _Read(reading, comparisons)
