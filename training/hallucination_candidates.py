"""The ways to judge support that were compared: each a set of features, all fitted on the same rows.

Support (words, names, numbers), late interaction over frozen token states, the tuned reader, and combinations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.text.encoder import Encoder
from detectors.text.evidence import SENTENCE_FEATURES, WORD_FEATURES, SentenceEvidence
from detectors.text.grounding import GroundingHead
from detectors.text.hallucination import Logistic
from detectors.text.support import FEATURES
from training.hallucination_fits import (
    UNSUPPORTED_SHARE,
    Rows,
    claim_rows,
    fit,
    gather,
    token_values,
    word_rows,
    words_of,
)
from training.late_interaction import claim_features, measure_distances, token_features
from training.support_examples import Example, TokenClaim

SUPPORT: Final = tuple(range(len(FEATURES)))
READER: Final = tuple(SENTENCE_FEATURES.index(name) for name in ("reader_verdict", "reader_worst"))
DISTANCES: Final = tuple(SENTENCE_FEATURES.index(name) for name in ("distance_mean", "distance_worst"))
LATE: Final = tuple(range(len(SENTENCE_FEATURES), len(SENTENCE_FEATURES) + 6))
WORD_READER: Final = tuple(WORD_FEATURES.index(name) for name in ("reader", "reader_beside", "verdict"))
WORD_DISTANCES: Final = tuple(WORD_FEATURES.index(name) for name in WORD_FEATURES if "distance" in name)
WORD_SUPPORT: Final = tuple(
    index for index in range(len(WORD_FEATURES)) if index not in {*WORD_READER, *WORD_DISTANCES}
)
WORD_LATE: Final = tuple(range(len(WORD_FEATURES), len(WORD_FEATURES) + 7))

# Name -> columns of the claim rows and of the word rows.
CANDIDATES: Final[Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "support": (SUPPORT, WORD_SUPPORT),
    "late_interaction": (LATE, WORD_LATE),
    "reader": (READER, WORD_READER),
    "support+late": (SUPPORT + LATE, WORD_SUPPORT + WORD_LATE),
    "support+reader": (SUPPORT + READER, WORD_SUPPORT + WORD_READER),
    "support+reader+distances": (SUPPORT + READER + DISTANCES, WORD_SUPPORT + WORD_READER + WORD_DISTANCES),
}
SHIPPED: Final = "support+reader+distances"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """A set of examples with every candidate's features."""

    examples: tuple[Example, ...]
    evidence: tuple[tuple[SentenceEvidence, ...], ...]
    late_claims: tuple[tuple[float, ...], ...]
    late_words: tuple[tuple[tuple[float, ...], ...], ...]

    def claims(self) -> Rows:
        """Return the rows of claims, all candidates' features side by side."""
        return claim_rows(self.examples, self.evidence, self.late_claims)

    def words(self) -> Rows:
        """Return the rows of words, all candidates' features side by side."""
        return word_rows(self.examples, self.evidence, self.late_words)

    def truth(self) -> npt.NDArray[np.bool_]:
        """Return whether each example is unsupported."""
        return np.array([example.is_unsupported for example in self.examples])


def measure(examples: Sequence[Example], encoder: Encoder, reader: GroundingHead) -> Measured:
    """Compute all features of the examples."""
    evidence = gather(examples, reader)
    distances = measure_distances(encoder, examples)
    return Measured(
        tuple(examples),
        tuple(map(tuple, evidence)),
        tuple(tuple(claim_features(one)) for one in distances),
        tuple(
            tuple(map(tuple, token_features(one, [(word.start, word.end) for word in words_of(sentences)])))
            for one, sentences in zip(distances, evidence, strict=True)
        ),
    )


def fit_candidates(claims: Sequence[Rows], words: Sequence[Rows]) -> dict[str, tuple[Logistic, Logistic]]:
    """Return each candidate's claim model, calibrated at ``UNSUPPORTED_SHARE``, and its word model."""
    return {
        name: (fit(claims, of_claims, UNSUPPORTED_SHARE), fit(words, of_words, None))
        for name, (of_claims, of_words) in CANDIDATES.items()
    }


def claim_values(model: Logistic, measured: Measured) -> Floats:
    """Return a value per example: its worst sentence's, 0 where nothing is claimed."""
    return np.array(
        [
            max((model.probability([*sentence.features, *late]) for sentence in sentences), default=0.0)
            for sentences, late in zip(measured.evidence, measured.late_claims, strict=True)
        ]
    )


def word_values(model: Logistic, measured: Measured, claims: Sequence[TokenClaim]) -> Floats:
    """Return a value per annotated token of WiCE's token claims, all claims in one row."""
    values = []
    for claim, sentences, late in zip(claims, measured.evidence, measured.late_words, strict=True):
        words = words_of(sentences)
        rated = [
            (word.start, word.end, model.probability([*word.features, *more]))
            for word, more in zip(words, late, strict=True)
        ]
        values.append(token_values(claim, rated))
    return np.concatenate(values)
