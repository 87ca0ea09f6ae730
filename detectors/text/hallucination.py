"""Whether a response says more than the documents it was given: word, name and number support, sentence by sentence.

A logistic combination of the features of ``detectors.text.support``, fitted by ``training/train_hallucination.py`` and
calibrated, with two rules beside it: an unsupported number puts its sentence above one half, and a single word at
fault keeps it below. ``heads/hallucination.md`` has the figures with and without them. The response is as bad as its
worst sentence, since one invented sentence makes an answer wrong. A token-level model understands paraphrase and
contradiction far better; this one needs no download, explains itself, and takes a few milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detectors.errors import ModelFileError
from detectors.model import (
    HALLUCINATION,
    NO_CHECKABLE_CLAIM,
    NO_CONTEXT,
    NO_RESPONSE_TEXT,
    TEXT_TOO_LONG,
    UNSUPPORTED_TEXT,
    DetectorIdentity,
    Score,
    Span,
    assessed,
    not_assessed,
)
from detectors.text.script import has_foreign_letters
from detectors.text.sentences import split_sentences
from detectors.text.support import FEATURES, Evidence, build_support, weigh_sentence

NAME: Final = "hallucination/builtin"
VERSION: Final = "1.1.0"
HEADS_FOLDER: Final = Path(__file__).resolve().parent.parent / "heads"
PARAMETERS_FILE: Final = "hallucination.json"
RULE_FILES: Final = (
    "hallucination.py",
    "numbers.py",
    "sentences.py",
    "script.py",
    "support.py",
    "talk.py",
    "vocabulary.py",
)
MAX_CONTEXT_CHARACTERS: Final = 2_000_000
MAX_RESPONSE_CHARACTERS: Final = 200_000
SPAN_THRESHOLD: Final = 0.5
DECIMALS: Final = 6
# A figure that stands nowhere is wrong or invented, whatever surrounds it. The fit alone cannot say so: the longer the
# sentence, the less one of its words weighs. Above one half, so that policies that ask for more than 0.5 see it.
NUMBER_FLOOR: Final = 0.55
# One word the contexts don't use is as often a synonym as an invention.
LONE_WORD_CEILING: Final = 0.49


@dataclass(frozen=True, slots=True)
class SentenceScore:
    """One sentence's evidence and the probability in [0, 1] that the contexts don't support it."""

    evidence: Evidence
    value: float


@dataclass(frozen=True, slots=True)
class HallucinationDetector:
    """Scores responses against contexts. Immutable; safe to call from several threads.

    ``weights`` follow ``FEATURES``; a sentence's value is ``sigmoid(weights . features + offset)``.
    """

    identity: DetectorIdentity
    weights: tuple[float, ...]
    offset: float

    def sentence_scores(self, response: str, contexts: Sequence[str], prompt: str | None) -> list[SentenceScore]:
        """Return a value for each sentence that claims something; small talk is left out."""
        support = build_support(contexts, prompt)
        scores = []
        for sentence in split_sentences(response):
            evidence = weigh_sentence(response, sentence, support)
            if evidence.claims:
                scores.append(SentenceScore(evidence, ruled_value(self.fitted_value(evidence), evidence)))
        return scores

    def score(self, response: str | None, contexts: Sequence[str], prompt: str | None) -> Score:
        """Return the response's score with the unsupported stretches of text as spans, in order.

        Not assessed without a response, without a context, in scripts other than Latin, beyond the length limits, and
        when no sentence claims anything that could be checked ("Sure, happy to help!", "I could not find this").
        """
        if response is None or not response.strip():
            return not_assessed(HALLUCINATION, NO_RESPONSE_TEXT, self.identity)
        if not any(context.strip() for context in contexts):
            return not_assessed(HALLUCINATION, NO_CONTEXT, self.identity)
        if len(response) > MAX_RESPONSE_CHARACTERS or sum(map(len, contexts)) > MAX_CONTEXT_CHARACTERS:
            return not_assessed(HALLUCINATION, TEXT_TOO_LONG, self.identity)
        if has_foreign_letters(response) or all(has_foreign_letters(context) for context in contexts):
            return not_assessed(HALLUCINATION, UNSUPPORTED_TEXT, self.identity)
        sentences = self.sentence_scores(response, contexts, prompt)
        if not sentences:
            return not_assessed(HALLUCINATION, NO_CHECKABLE_CLAIM, self.identity)
        spans = tuple(
            Span(start, end, sentence.value)
            for sentence in sentences
            if sentence.value >= SPAN_THRESHOLD
            for start, end in unsupported_ranges(sentence.evidence)
        )
        return assessed(HALLUCINATION, max(sentence.value for sentence in sentences), self.identity, spans=spans)

    def fitted_value(self, evidence: Evidence) -> float:
        """Return the logistic model's probability for one sentence, before ``ruled_value``."""
        margin = self.offset + sum(
            weight * float(getattr(evidence, feature)) for weight, feature in zip(self.weights, FEATURES, strict=True)
        )
        return round(1.0 / (1.0 + math.exp(-margin)), DECIMALS)


def ruled_value(fitted: float, evidence: Evidence) -> float:
    """Return a sentence's value: the fitted one, except that

    - an unsupported number lifts it to at least ``NUMBER_FLOOR``;
    - one unsupported word that is neither number nor name, with nothing else, leaves it at most ``LONE_WORD_CEILING``.
    """
    if evidence.missing_numbers:
        return max(fitted, NUMBER_FLOOR)
    if len(evidence.unsupported) == 1 and not evidence.missing_names:
        return min(fitted, LONE_WORD_CEILING)
    return fitted


def unsupported_ranges(evidence: Evidence) -> list[tuple[int, int]]:
    """Return character ranges of unsupported words, neighbours joined; the whole sentence if no word is at fault."""
    ranges: list[tuple[int, int]] = []
    places = {word.start: word for word in evidence.unsupported}
    previous_missing = False
    for start, end in evidence.word_ranges:
        missing = start in places
        if missing and previous_missing:
            ranges[-1] = (ranges[-1][0], end)
        elif missing:
            ranges.append((start, end))
        previous_missing = missing
    return ranges or [(evidence.sentence.start, evidence.sentence.end)]


def load_hallucination_detector(folder: Path = HEADS_FOLDER) -> HallucinationDetector:
    """Load the committed parameters; raises ModelFileError if they are missing or malformed.

    The identity's digest covers the parameters and the source of the rules that compute the features.
    """
    path = folder / PARAMETERS_FILE
    try:
        model = json.loads(path.read_bytes())["model"]
        if set(model["weights"]) != set(FEATURES):
            raise ModelFileError(
                f"{path} has weights for {sorted(model['weights'])}, this version needs {list(FEATURES)}"
            )
        weights = tuple(float(model["weights"][feature]) for feature in FEATURES)
        offset = float(model["offset"])
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}; reinstall the package") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path} is not a parameter file: {type(error).__name__} at {error}") from error
    if not all(map(math.isfinite, (*weights, offset))):
        raise ModelFileError(f"{path} holds a number that is not finite")
    digest = hashlib.sha256(json.dumps(model, sort_keys=True, separators=(",", ":")).encode())
    for name in RULE_FILES:
        digest.update(hashlib.sha256((Path(__file__).resolve().parent / name).read_bytes()).digest())
    return HallucinationDetector(DetectorIdentity(NAME, VERSION, f"sha256:{digest.hexdigest()}"), weights, offset)
