"""A detector profile: everything that scores one exchange, loaded once and asked in batches.

``builtin`` works with what pip installs and the heads in this package; nothing is ever downloaded. A profile is
chosen by name and there is no fallback from one to another: a score that quietly came from a weaker detector would be
worthless as evidence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import torch

from detectors.batching.reader import TextFailure, TextReader
from detectors.errors import DetectorError, UnknownProfileError
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
    ExchangeScores,
    Score,
    assessed,
    not_assessed,
)
from detectors.text.encoder import Encoder, Precision, fastest_precision, load_encoder
from detectors.text.hallucination import HallucinationDetector, load_hallucination_detector
from detectors.text.reading import MiniLmModel, PreparedText, TextReading, WindowReading
from detectors.text.toxicity import ToxicityHead, load_toxicity_head

_LOG = logging.getLogger(__name__)

PROFILES: Final = ("builtin",)
METRICS: Final = (HALLUCINATION, TOXICITY, PROMPT_TOXICITY, IDENTITY_ATTACK)

# Measured on one core, bfloat16: 9,300 tokens/s at 512, 8,100 at 2,048, 6,400 at 16,384, where activations outgrow the
# cache; two threads want more than 512. An accelerator wants far larger batches.
CPU_BATCH_TOKENS: Final = 2048
ACCELERATOR_BATCH_TOKENS: Final = 65_536
# 128 windows are about 28,000 tokens, some ten seconds of work on two cores in float32.
MAX_WINDOWS: Final = 128
# A reading takes about a kilobyte.
CACHED_TEXTS: Final = 8192

Reader = TextReader[PreparedText, WindowReading, TextReading]


class Profile:
    """The ``builtin`` detectors behind one ``score`` call.

    Safe to call from several threads, though nothing is gained by it: the arithmetic already uses the cores it may.
    """

    def __init__(
        self, name: str, encoder: Encoder, toxicity: ToxicityHead, hallucination: HallucinationDetector, reader: Reader
    ) -> None:
        self.name = name
        self._encoder = encoder
        self._toxicity = toxicity
        self._hallucination = hallucination
        self._reader = reader

    def identities(self) -> tuple[DetectorIdentity, ...]:
        """Return who scores and who embeds here; the same for every exchange."""
        return (self._hallucination.identity, self._toxicity.identity, self._encoder.identity)

    def warm_up(self) -> None:
        """Run one small exchange, so that the first real one doesn't pay for first-time allocations."""
        self.score([Exchange("warm-up", "Where is it?", "It is in the second drawer.", ("Look in the drawer.",))])

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]:
        """Return one answer per exchange, in order; each holds every metric of ``METRICS`` with its state.

        Never raises for what a text holds: a text that cannot be scored makes its own metrics not assessed.
        """
        texts = {
            text
            for exchange in exchanges
            if exchange.incomplete is None
            for text in (exchange.prompt, exchange.response)
            if text is not None and text.strip()
        }
        ordered = sorted(texts)
        readings = dict(zip(ordered, self._reader.read(ordered), strict=True))
        return [self._score_one(exchange, readings) for exchange in exchanges]

    def _score_one(self, exchange: Exchange, readings: dict[str, TextReading | TextFailure]) -> ExchangeScores:
        if exchange.incomplete is not None:
            reason = exchange.incomplete
            makers = (self._hallucination.identity, *[self._toxicity.identity] * 3)
            scores = tuple(not_assessed(metric, reason, maker) for metric, maker in zip(METRICS, makers, strict=True))
            return ExchangeScores(exchange.id, scores, ())
        prompt = None if exchange.prompt is None else readings.get(exchange.prompt)
        response = None if exchange.response is None else readings.get(exchange.response)
        scores = (
            self._guarded(HALLUCINATION, self._hallucination.identity, lambda: self._judge_support(exchange)),
            self._judge_reading(TOXICITY, response, NO_RESPONSE_TEXT, 0),
            self._judge_reading(PROMPT_TOXICITY, prompt, NO_PROMPT_TEXT, 0),
            self._judge_reading(IDENTITY_ATTACK, response, NO_RESPONSE_TEXT, 1),
        )
        embeddings = (*self._embed("prompt", prompt), *self._embed("response", response))
        return ExchangeScores(exchange.id, scores, embeddings)

    def _judge_support(self, exchange: Exchange) -> Score:
        return self._hallucination.score(exchange.response, exchange.contexts, exchange.prompt)

    def _judge_reading(self, metric: str, reading: TextReading | TextFailure | None, absent: str, column: int) -> Score:
        identity = self._toxicity.identity
        if reading is None:
            return not_assessed(metric, absent, identity)
        if isinstance(reading, TextFailure):
            return not_assessed(metric, reading.reason, identity)
        if reading.refusal is not None:
            return not_assessed(metric, reading.refusal, identity)
        labels = dict(zip(self._toxicity.labels[1:], reading.probabilities[1:], strict=True)) if column == 0 else {}
        return assessed(metric, reading.probabilities[column], identity, labels=labels)

    def _embed(self, field: EmbeddedField, reading: TextReading | TextFailure | None) -> tuple[Embedding, ...]:
        if isinstance(reading, TextReading):
            return (Embedding(field, self._encoder.identity, reading.vector, self._encoder.dim),)
        return ()

    @staticmethod
    def _guarded(metric: str, identity: DetectorIdentity, judge: Callable[[], Score]) -> Score:
        try:
            return judge()
        except Exception as error:
            _LOG.warning(
                "an exchange could not be scored", extra={"metric": metric, "error_type": type(error).__name__}
            )
            return not_assessed(metric, DETECTOR_ERROR, identity)


def load_profile(
    name: str,
    *,
    models_dir: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    precision: Precision | None = None,
) -> Profile:
    """Load a profile by name, from local files only.

    ``models_dir`` holds the encoder's files; None means the installed distribution. ``threads`` limits torch's threads,
    for the whole process; None leaves them alone. ``precision`` None takes bfloat16 where the processor has it, else
    float32; the detectors' digests tell them apart. Raises UnknownProfileError or ModelFileError.
    """
    if name not in PROFILES:
        raise UnknownProfileError(
            f"no detector profile {name!r} here; available: {', '.join(PROFILES)}. "
            "Another profile is never used in its place"
        )
    if threads is not None:
        if threads < 1:
            raise DetectorError(f"threads must be at least 1, got {threads}")
        torch.set_num_threads(threads)
    chosen = fastest_precision(device) if precision is None else precision
    encoder = load_encoder(models_dir, device=device, precision=chosen)
    head = load_toxicity_head(encoder)
    reader: Reader = TextReader(
        MiniLmModel(encoder, head),
        max_batch_tokens=CPU_BATCH_TOKENS if device.startswith("cpu") else ACCELERATOR_BATCH_TOKENS,
        max_windows=MAX_WINDOWS,
        cache_capacity=CACHED_TEXTS,
    )
    return Profile(name, encoder, head, load_hallucination_detector(), reader)
