"""Whether a response says more than the documents it was given: lexical support and a trained reader, word by word.

Two kinds of evidence are weighed for each sentence and each word. ``detectors.text.support`` says which words, names
and numbers the contexts don't hold; ``detectors.text.grounding`` reads the best passages and the response together and
sees what words alone don't show: turned negations, exchanged roles, a right figure for the wrong thing, paraphrase.
Logistic weights fitted by ``training/train_hallucination.py`` combine them. One rule stands beside the fit: a number
that stands nowhere puts its sentence above one half. The response is as bad as its worst sentence, since one invented
sentence makes an answer wrong. ``heads/hallucination.md`` compares the parts, alone and together, and what they cost.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from detectors.errors import ModelFileError
from detectors.model import (
    HALLUCINATION,
    NO_CHECKABLE_CLAIM,
    NO_CONTEXT,
    NO_RESPONSE_TEXT,
    TEXT_TOO_LONG,
    UNSUPPORTED_TEXT,
    DetectorIdentity,
    Exchange,
    Score,
    Span,
    assessed,
    not_assessed,
)
from detectors.text.encoder import Encoder, load_encoder
from detectors.text.evidence import (
    MAX_CONTEXT_CHARACTERS,
    MAX_RESPONSE_CHARACTERS,
    SENTENCE_FEATURES,
    WORD_FEATURES,
    SentenceEvidence,
    gather_evidence,
)
from detectors.text.grounding import GroundingHead, load_grounding_head
from detectors.text.script import has_foreign_letters

NAME: Final = "hallucination/builtin"
VERSION: Final = "2.0.0"
HEADS_FOLDER: Final = Path(__file__).resolve().parent.parent / "heads"
PARAMETERS_FILE: Final = "hallucination.json"
RULE_FILES: Final = (
    "evidence.py",
    "grounding.py",
    "hallucination.py",
    "numbers.py",
    "opposites.py",
    "passages.py",
    "relations.py",
    "sentences.py",
    "script.py",
    "support.py",
    "talk.py",
    "vocabulary.py",
    "words.py",
)
SPAN_THRESHOLD: Final = 0.5
DECIMALS: Final = 6
# A figure that stands nowhere is wrong or invented, whatever surrounds it. The fit alone cannot say so: the longer the
# sentence, the less one of its words weighs. Above one half, so that policies that ask for more than 0.5 see it.
NUMBER_FLOOR: Final = 0.55


@dataclass(frozen=True, slots=True)
class Logistic:
    """``sigmoid(weights . features + offset)``."""

    weights: tuple[float, ...]
    offset: float

    def probability(self, features: Sequence[float]) -> float:
        """Return a probability in [0, 1], rounded to ``DECIMALS``."""
        margin = self.offset + sum(weight * feature for weight, feature in zip(self.weights, features, strict=True))
        # Beyond this the rounded result is 0 or 1 anyway, and exp would overflow.
        return round(1.0 / (1.0 + math.exp(-min(max(margin, -40.0), 40.0))), DECIMALS)


@dataclass(frozen=True, slots=True)
class SentenceScore:
    """One sentence's evidence and its probability in [0, 1] of being unsupported; the same for each of its words."""

    evidence: SentenceEvidence
    value: float
    word_values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class HallucinationDetector:
    """Scores responses against contexts. Immutable; safe to call from several threads.

    ``sentence_model`` reads ``SENTENCE_FEATURES``, ``word_model`` reads ``WORD_FEATURES``; a word's value must reach
    ``word_threshold`` to be part of a span.
    """

    identity: DetectorIdentity
    reader: GroundingHead
    sentence_model: Logistic
    word_model: Logistic
    word_threshold: float

    def score(self, response: str | None, contexts: Sequence[str], prompt: str | None) -> Score:
        """Return one response's score; see ``score_all``."""
        return self.score_all([Exchange("single", prompt, response, tuple(contexts))])[0]

    def score_all(self, exchanges: Sequence[Exchange]) -> list[Score]:
        """Return each response's score with the unsupported stretches of text as spans, in order.

        Not assessed without a response, without a context, in scripts other than Latin, beyond the length limits, and
        when no sentence claims anything that could be checked ("Sure, happy to help!", "I could not find this"). Raises
        ArithmeticError if the reader returns a number that is not finite.
        """
        refusals = [refuse(exchange) for exchange in exchanges]
        read = [exchange for exchange, refusal in zip(exchanges, refusals, strict=True) if refusal is None]
        judged = iter(self.sentence_scores(read))
        return [
            self.combine(next(judged)) if refusal is None else not_assessed(HALLUCINATION, refusal, self.identity)
            for refusal in refusals
        ]

    def sentence_scores(self, exchanges: Sequence[Exchange]) -> list[list[SentenceScore] | None]:
        """Return, for each exchange in order, a score per sentence that claims something; small talk is left out.

        None stands for a response too long to read. Exchanges must not be among those that ``refuse`` refuses.
        """
        return [
            None if sentences is None else self.weigh(sentences)
            for sentences in gather_evidence(exchanges, self.reader)
        ]

    def weigh(self, sentences: Sequence[SentenceEvidence]) -> list[SentenceScore]:
        """Return a score per sentence from the evidence on it."""
        return [self._weigh(evidence) for evidence in sentences]

    def _weigh(self, evidence: SentenceEvidence) -> SentenceScore:
        value = self.sentence_model.probability(evidence.features)
        if evidence.lexical.missing_numbers:
            value = max(value, NUMBER_FLOOR)
        return SentenceScore(
            evidence, value, tuple(self.word_model.probability(word.features) for word in evidence.words)
        )

    def combine(self, sentences: Sequence[SentenceScore] | None) -> Score:
        """Return the response's score from its sentences': as bad as the worst, with the words at fault as spans."""
        if sentences is None:
            return not_assessed(HALLUCINATION, TEXT_TOO_LONG, self.identity)
        if not sentences:
            return not_assessed(HALLUCINATION, NO_CHECKABLE_CLAIM, self.identity)
        spans = tuple(
            Span(start, end, sentence.value)
            for sentence in sentences
            if sentence.value >= SPAN_THRESHOLD
            for start, end in unsupported_ranges(sentence, self.word_threshold)
        )
        return assessed(HALLUCINATION, max(sentence.value for sentence in sentences), self.identity, spans=spans)


def refuse(exchange: Exchange) -> str | None:
    """Return the reason for which an exchange cannot be judged at all, or None."""
    if exchange.response is None or not exchange.response.strip():
        return NO_RESPONSE_TEXT
    if not any(context.strip() for context in exchange.contexts):
        return NO_CONTEXT
    if len(exchange.response) > MAX_RESPONSE_CHARACTERS or sum(map(len, exchange.contexts)) > MAX_CONTEXT_CHARACTERS:
        return TEXT_TOO_LONG
    if has_foreign_letters(exchange.response) or all(map(has_foreign_letters, exchange.contexts)):
        return UNSUPPORTED_TEXT
    return None


def unsupported_ranges(sentence: SentenceScore, threshold: float) -> list[tuple[int, int]]:
    """Return character ranges of a sentence's unsupported words, neighbours joined.

    A sentence can be flagged though no word reaches the threshold; then the words that come closest stand for it.
    """
    values = sentence.word_values
    if not values:
        return [(sentence.evidence.lexical.sentence.start, sentence.evidence.lexical.sentence.end)]
    limit = min(threshold, max(values))
    ranges: list[tuple[int, int]] = []
    previous = False
    for word, value in zip(sentence.evidence.words, values, strict=True):
        if value >= limit and previous:
            ranges[-1] = (ranges[-1][0], word.end)
        elif value >= limit:
            ranges.append((word.start, word.end))
        previous = value >= limit
    return ranges


def load_hallucination_detector(encoder: Encoder | None = None, folder: Path = HEADS_FOLDER) -> HallucinationDetector:
    """Load the committed parameters and the reader; raises ModelFileError if they are missing or malformed.

    ``encoder`` is the packaged encoder; None loads it anew. The identity's digest covers the parameters, the reader's
    weights, the encoder with its number format, and the source of the rules that compute the features.
    """
    path = folder / PARAMETERS_FILE
    try:
        model: Mapping[str, Any] = json.loads(path.read_bytes())["model"]
        sentence_model = _read_logistic(model["sentence"], SENTENCE_FEATURES, path)
        word_model = _read_logistic(model["word"], WORD_FEATURES, path)
        word_threshold = float(model["word_threshold"])
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}; reinstall the package") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path} is not a parameter file: {type(error).__name__} at {error}") from error
    loaded = load_encoder() if encoder is None else encoder
    digest = hashlib.sha256(json.dumps(model, sort_keys=True, separators=(",", ":")).encode())
    digest.update(f"{loaded.identity.digest} {loaded.precision}".encode())
    for name in RULE_FILES:
        digest.update(hashlib.sha256((Path(__file__).resolve().parent / name).read_bytes()).digest())
    return HallucinationDetector(
        DetectorIdentity(NAME, VERSION, f"sha256:{digest.hexdigest()}"),
        load_grounding_head(loaded, folder),
        sentence_model,
        word_model,
        word_threshold,
    )


def _read_logistic(parameters: Mapping[str, Any], features: Sequence[str], path: Path) -> Logistic:
    if set(parameters["weights"]) != set(features):
        raise ModelFileError(
            f"{path} has weights for {sorted(parameters['weights'])}, this version needs {list(features)}"
        )
    weights = tuple(float(parameters["weights"][feature]) for feature in features)
    offset = float(parameters["offset"])
    if not all(map(math.isfinite, (*weights, offset))):
        raise ModelFileError(f"{path} holds a number that is not finite")
    return Logistic(weights, offset)
