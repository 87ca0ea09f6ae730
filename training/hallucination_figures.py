"""Puts the figures of the hallucination detector and of the candidates beside it together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.text.evidence import WORD_FEATURES
from detectors.text.hallucination import HallucinationDetector, Logistic
from detectors.text.vocabulary import FUNCTION_WORDS
from training.hallucination_candidates import SHIPPED, Measured, claim_values, measure, word_values
from training.hallucination_fits import words_of
from training.hallucination_report import (
    baselines,
    cluster_interval,
    report_cases,
    report_claims,
    report_contrasts,
    report_spans,
    report_time,
    score_measured,
    timed_exchanges,
    values_of,
)
from training.measures import auroc
from training.reliability_diagram import bin_reliability
from training.support_cases import load_cases
from training.support_examples import TokenClaim, load_token_claims, load_wice_claims

TIME_OF: Final = {  # which timed parts a candidate needs
    "support": ("support",),
    "late_interaction": ("late_interaction",),
    "reader": ("support+reader",),
    "support+late": ("support", "late_interaction"),
    "support+reader": ("support+reader",),
    "support+reader+distances": ("support+reader",),
}

Bins = list[tuple[float, float, int]]


def overlap_values(measured: Measured, claims: Sequence[TokenClaim]) -> npt.NDArray[np.float64]:
    """Return 1 for each annotated token that is a content word, name or number the evidence doesn't hold, else 0."""
    missing = WORD_FEATURES.index("missing")
    values = []
    for claim, sentences in zip(claims, measured.evidence, strict=True):
        absent = [(word.start, word.end) for word in words_of(sentences) if word.features[missing]]
        values += [float(any(start < b and a < end for a, b in absent)) for start, end, _ in claim.tokens]
    return np.array(values)


def measure_all(
    detector: HallucinationDetector,
    candidates: Mapping[str, tuple[Logistic, Logistic]],
    data: Path,
    dev_claims: Measured,
    dev_tokens: Measured,
) -> tuple[dict[str, Any], dict[str, Bins]]:
    """Return all figures of the card, and what the reliability diagram shows. Dev sets come measured already."""
    encoder, reader = detector.reader.encoder, detector.reader
    examples, annotated, cases = load_wice_claims(data, "test"), load_token_claims(data, "test"), load_cases()
    claims = measure(examples, encoder, reader)
    tokens = measure([claim.example for claim in annotated], encoder, reader)
    chats = measure([case.example for case in cases], encoder, reader)
    scores = score_measured(detector, claims)
    told = score_measured(detector, chats)
    alone = claim_values(candidates["support"][0], chats)
    figures = {
        "claims": {
            "wice_dev": report_claims(
                dev_claims.truth(), values_of(score_measured(detector, dev_claims)), baselines(dev_claims)
            ),
            "wice_test": report_claims(claims.truth(), values_of(scores), baselines(claims)),
        },
        "tokens": {
            "wice_dev": _token_figures(detector, candidates, load_token_claims(data, "dev"), dev_tokens),
            "wice_test": _token_figures(detector, candidates, annotated, tokens),
        },
        "cases": report_cases(cases, told, {"support": alone}, baselines(chats)),
        "contrasts": report_contrasts(detector, examples),
        "candidates": {},
    }
    times = report_time(detector, timed_exchanges(tokens.examples))
    every = np.ones(sum(len(claim.tokens) for claim in annotated), dtype=bool)
    for name, (claim_model, word_model) in candidates.items():
        rated = word_values(word_model, tokens, annotated)
        figures["candidates"][name] = {
            "claims": round(auroc(claims.truth(), claim_values(claim_model, claims)), 4),
            "tokens": cluster_interval(annotated, rated, every)["auroc"],
            "cases": round(auroc(chats.truth(), claim_values(claim_model, chats)), 4),
            "ms": round(sum(times[part] for part in TIME_OF[name]), 2),
        }
    diagram = {
        "WiCE test claims": bin_reliability(claims.truth(), values_of(scores)),
        "chat-style cases": bin_reliability(chats.truth(), values_of(told)),
    }
    return figures, diagram


def _token_figures(
    detector: HallucinationDetector,
    candidates: Mapping[str, tuple[Logistic, Logistic]],
    claims: Sequence[TokenClaim],
    measured: Measured,
) -> dict[str, Any]:
    """Return the figures over annotated tokens: all of them, and content words alone."""
    every = np.ones(sum(len(claim.tokens) for claim in claims), dtype=bool)
    told = [claim.example.text[start:end] for claim in claims for start, end, _ in claim.tokens]
    content = np.array([word.isalnum() and word.lower() not in FUNCTION_WORDS for word in told])
    values = word_values(candidates[SHIPPED][1], measured, claims)
    overlap = overlap_values(measured, claims)
    return {
        "detector": cluster_interval(claims, values, every),
        "word_overlap": cluster_interval(claims, overlap, every),
        "length_only": cluster_interval(claims, np.array([float(len(word)) for word in told]), every),
        "detector_content_words": cluster_interval(claims, values, content),
        "word_overlap_content_words": cluster_interval(claims, overlap, content),
        "spans": report_spans(score_measured(detector, measured), measured.examples),
    }
