"""The members of the ``builtin`` profile: what needs no download, each in the form of a ``Detector``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from torch import Tensor

from detectors.batching.limits import ReaderLimits
from detectors.contract import Detector, Findings, Head, SeenExchange, Setup, TextFailure, TextReading, WindowPart
from detectors.model import (
    DETECTOR_ERROR,
    HALLUCINATION,
    IDENTITY_ATTACK,
    NO_PROMPT_TEXT,
    NO_RESPONSE_TEXT,
    PROMPT_TOXICITY,
    TOXICITY,
    DetectorIdentity,
    EmbeddedField,
    Embedding,
    Exchange,
    Score,
    assessed,
    not_assessed,
)
from detectors.rules.members import load_rule_detectors
from detectors.text.encoder import TokenisedText
from detectors.text.hallucination import HallucinationDetector, load_hallucination_detector
from detectors.text.toxicity import ToxicityHead, load_toxicity_head

DECIMALS: Final = 6
# Enough for full batches of the reader, few enough to be heard of every few seconds.
_SUPPORT_BATCH: Final = 16


def load_builtin(setup: Setup, *, without: Collection[str] = ()) -> list[Detector]:
    """Load every member, in the order in which their metrics are listed, except the rule detectors in ``without``.

    Raises ModelFileError, and DetectorError for a name that no rule detector has.
    """
    return [
        SupportDetector(load_hallucination_detector(setup.encoder), setup.limits, setup.alive),
        ToxicityDetector(load_toxicity_head(setup.encoder)),
        SentenceVectors(setup.encoder.identity, setup.encoder.dim),
        *load_rule_detectors(setup.encoder.identity.digest, without=without),
    ]


class SupportDetector:
    """``hallucination``: whether the contexts hold what the response says, word by word.

    It reads response and contexts together, with layers of its own behind the encoder's lower ones.
    """

    metrics = (HALLUCINATION,)
    traits = ()
    head = None

    def __init__(self, detector: HallucinationDetector, limits: ReaderLimits, alive: Callable[[], None]) -> None:
        self._detector = detector
        self._alive = alive
        self._lanes = ThreadPoolExecutor(limits.lanes, "support", initializer=limits.prepare_lane)
        self.identities = (detector.identity,)

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """Nothing: it reads texts in pairs."""
        return ()

    def judge(self, seen: Sequence[SeenExchange]) -> list[Findings]:
        """Score each response against its contexts, several batches side by side."""
        exchanges = [one.exchange for one in seen]
        batches = [exchanges[start : start + _SUPPORT_BATCH] for start in range(0, len(exchanges), _SUPPORT_BATCH)]
        return [finding for findings in self._lanes.map(self._judge_batch, batches) for finding in findings]

    def _judge_batch(self, exchanges: Sequence[Exchange]) -> list[Findings]:
        findings = [Findings((score,)) for score in self._detector.score_all(exchanges)]
        self._alive()
        return findings


@dataclass(frozen=True, slots=True)
class _ToxicityReader:
    """The trained head in the form the shared encoder runs; its finding is a probability per label."""

    head: ToxicityHead
    name: str = "toxicity"
    reads_tokens: bool = False

    def read(self, states: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        return self.head.logits(states[self.head.input_layer], mask)

    def combine(self, tokens: TokenisedText, parts: Sequence[WindowPart]) -> tuple[float, ...]:
        """Take each label's worst window."""
        logits = np.stack([part.values for part in parts]).astype(np.float64)
        slopes = np.array([scale.slope for scale in self.head.scales])
        offsets = np.array([scale.offset for scale in self.head.scales])
        worst = (1.0 / (1.0 + np.exp(-(logits * slopes + offsets)))).max(axis=0)
        return tuple(round(float(value), DECIMALS) for value in worst)


class ToxicityDetector:
    """``toxicity`` and ``identity_attack`` of the response, ``prompt_toxicity`` of the prompt: one trained head.

    A text whose words are disguised is read twice, as it is and spelled plainly; each label takes the worse reading.
    """

    metrics = (TOXICITY, PROMPT_TOXICITY, IDENTITY_ATTACK)
    traits = ()

    def __init__(self, head: ToxicityHead) -> None:
        self._labels = head.labels
        self._attack = head.labels.index(IDENTITY_ATTACK)
        self._spellings = head.spelling.spellings
        self.head: Head = _ToxicityReader(head)
        self.identities = (head.identity,)

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """Prompt and response, each judged by itself, and their plain spelling where words are disguised."""
        texts = (exchange.prompt, exchange.response)
        return [reading for text in texts if text is not None for reading in self._spellings(text)]

    def judge(self, seen: Sequence[SeenExchange]) -> list[Findings]:
        """Turn what the head read into scores."""
        return [self._judge_one(one) for one in seen]

    def _judge_one(self, one: SeenExchange) -> Findings:
        prompt, response = self._read(one, one.exchange.prompt), self._read(one, one.exchange.response)
        return Findings(
            (
                self._score(TOXICITY, response, NO_RESPONSE_TEXT, 0),
                self._score(PROMPT_TOXICITY, prompt, NO_PROMPT_TEXT, 0),
                self._score(IDENTITY_ATTACK, response, NO_RESPONSE_TEXT, self._attack),
            )
        )

    def _read(self, one: SeenExchange, text: str | None) -> tuple[float, ...] | TextFailure | None:
        """Return the probabilities of the worse reading of a text, why there are none, or None if there is no text."""
        if one.reading(text) is None or text is None:
            return None
        found: list[tuple[float, ...]] = []
        for spelled in self._spellings(text):
            reading = one.reading(spelled)
            if reading is None:
                return TextFailure(DETECTOR_ERROR)
            if isinstance(reading, TextFailure):
                return reading
            # A refusal is about the script, in which both readings are written.
            if reading.refusal is not None:
                return TextFailure(reading.refusal)
            probabilities = reading.heads[self.head.name]
            if isinstance(probabilities, TextFailure):
                return probabilities
            found.append(probabilities)
        return tuple(max(values) for values in zip(*found, strict=True))

    def _score(
        self, metric: str, probabilities: tuple[float, ...] | TextFailure | None, absent: str, column: int
    ) -> Score:
        (identity,) = self.identities
        if probabilities is None:
            return not_assessed(metric, absent, identity)
        if isinstance(probabilities, TextFailure):
            return not_assessed(metric, probabilities.reason, identity)
        labels = dict(zip(self._labels[1:], probabilities[1:], strict=True)) if column == 0 else {}
        return assessed(metric, probabilities[column], identity, labels=labels)


class SentenceVectors:
    """Prompt and response as the shared encoder's sentence vectors, which the drift monitors read. Scores nothing."""

    metrics = ()
    traits = ()
    head = None

    def __init__(self, identity: DetectorIdentity, dim: int) -> None:
        self.identities = (identity,)
        self._dim = dim

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """Prompt and response."""
        return [text for text in (exchange.prompt, exchange.response) if text is not None]

    def judge(self, seen: Sequence[SeenExchange]) -> list[Findings]:
        """Return the vectors of the texts that were read."""
        return [Findings(embeddings=tuple(self._embed(one))) for one in seen]

    def _embed(self, one: SeenExchange) -> list[Embedding]:
        (identity,) = self.identities
        fields: tuple[tuple[EmbeddedField, str | None], ...] = (
            ("prompt", one.exchange.prompt),
            ("response", one.exchange.response),
        )
        read = [(field, one.reading(text)) for field, text in fields]
        return [
            Embedding(field, identity, reading.vector, self._dim)
            for field, reading in read
            if isinstance(reading, TextReading)
        ]
