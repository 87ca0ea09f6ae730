"""Fits the logistic weights that combine lexical support with the reader, for sentences and for words.

The reader has seen its training claims, so its findings about them look better than they are: these few weights are
fitted on source documents that it has not seen, held-out ones of its own corpus and WiCE's dev claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.model import Exchange
from detectors.text.evidence import SentenceEvidence, WordEvidence, gather_evidence
from detectors.text.grounding import GroundingHead
from detectors.text.hallucination import DECIMALS, Logistic
from training.measures import fit_logistic
from training.support_examples import Example, TokenClaim

# Two thirds of WiCE's claims are unsupported; answers in production are mostly supported.
UNSUPPORTED_SHARE: Final = 0.3
SET_WEIGHT: Final = 1000.0
GATHERED_AT_ONCE: Final = 64

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """A set to fit on: features ``(rows, features)``, whether each row is unsupported, and how much each counts."""

    features: Floats
    truth: npt.NDArray[np.bool_]

    def weights(self, share: float | None) -> Floats:
        """Return weights that add up to ``SET_WEIGHT``, ``share`` of it on unsupported rows; None leaves the mix."""
        if share is None:
            return np.full(self.truth.size, SET_WEIGHT / self.truth.size)
        unsupported = int(self.truth.sum())
        shares = np.where(self.truth, share / max(unsupported, 1), (1 - share) / max(self.truth.size - unsupported, 1))
        return np.asarray(SET_WEIGHT * shares, dtype=np.float64)


def exchange_of(example: Example) -> Exchange:
    """Return an example in the form that detectors score."""
    return Exchange(example.group, example.prompt, example.text, example.contexts)


def gather(examples: Sequence[Example], reader: GroundingHead) -> list[list[SentenceEvidence]]:
    """Return the evidence on each example's sentences, a few dozen examples at a time."""
    found: list[list[SentenceEvidence]] = []
    for first in range(0, len(examples), GATHERED_AT_ONCE):
        batch = gather_evidence([exchange_of(one) for one in examples[first : first + GATHERED_AT_ONCE]], reader)
        found += [sentences or [] for sentences in batch]
    return found


def claim_rows(
    examples: Sequence[Example],
    evidence: Sequence[Sequence[SentenceEvidence]],
    further: Sequence[Sequence[float]] | None = None,
) -> Rows:
    """Return a row per sentence where the unsupported ranges are known, else one per example.

    The row of an example of several sentences is their mean, weighed by their number of checkable words. ``further``
    holds features of whole examples that are put behind the sentences' own.
    """
    added = [()] * len(examples) if further is None else further
    features, truth = [], []
    for example, sentences, more in zip(examples, evidence, added, strict=True):
        if not sentences:
            continue
        if example.unsupported is not None:
            for sentence in sentences:
                start, end = sentence.lexical.sentence.start, sentence.lexical.sentence.end
                features.append([*sentence.features, *more])
                truth.append(any(start < b and a < end for a, b in example.unsupported))
        else:
            weights = np.array([float(max(sentence.lexical.claims, 1)) for sentence in sentences])
            values = np.array([sentence.features for sentence in sentences])
            features.append([*(weights @ values / weights.sum()), *more])
            truth.append(example.is_unsupported)
    return Rows(np.array(features), np.array(truth, dtype=bool))


def words_of(sentences: Sequence[SentenceEvidence]) -> list[WordEvidence]:
    """Return the words of all sentences, in order."""
    return [word for sentence in sentences for word in sentence.words]


def word_rows(
    examples: Sequence[Example],
    evidence: Sequence[Sequence[SentenceEvidence]],
    further: Sequence[Sequence[Sequence[float]]] | None = None,
) -> Rows:
    """Return a row per word of the examples; ``further`` holds more features of each word."""
    features, truth = [], []
    for number, (example, sentences) in enumerate(zip(examples, evidence, strict=True)):
        for place, word in enumerate(words_of(sentences)):
            features.append([*word.features, *(() if further is None else further[number][place])])
            truth.append(any(word.start < b and a < word.end for a, b in example.unsupported or ()))
    return Rows(np.array(features), np.array(truth, dtype=bool))


def fit(sets: Sequence[Rows], columns: Sequence[int], share: float | None) -> Logistic:
    """Return the logistic model over ``columns``; the other features get the weight 0. All sets count alike.

    The likelihood is that of a mix with ``share`` unsupported rows, so the model is calibrated for that mix.
    """
    chosen = list(columns)
    coefficients, offset = fit_logistic(
        np.concatenate([rows.features[:, chosen] for rows in sets]),
        np.concatenate([rows.truth.astype(float) for rows in sets]),
        weights=np.concatenate([rows.weights(share) for rows in sets]),
    )
    weights = np.zeros(sets[0].features.shape[1])
    weights[chosen] = coefficients
    return Logistic(tuple(round(float(weight), DECIMALS) for weight in weights), round(offset, DECIMALS))


def token_values(claim: TokenClaim, words: Sequence[tuple[int, int, float]]) -> Floats:
    """Return a value per annotated token: that of the word it belongs to, or the lesser of its neighbours' for signs.

    ``words`` are ``(start, end, value)``, ascending. Tokens of sentences that claim nothing get 0.
    """
    values = np.full(len(claim.tokens), np.nan)
    for place, (start, end, _) in enumerate(claim.tokens):
        own = [value for a, b, value in words if a < end and start < b]
        if own:
            values[place] = max(own)
    for place in np.flatnonzero(np.isnan(values)).tolist():
        before = values[:place][~np.isnan(values[:place])]
        after = values[place + 1 :][~np.isnan(values[place + 1 :])]
        values[place] = min(before[-1], after[0]) if before.size and after.size else 0.0
    return values
