"""Measures the hallucination detector as it runs: claims, tokens, spans, contrasts, chat-style cases, and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.model import Exchange, Score
from detectors.text.hallucination import SPAN_THRESHOLD, HallucinationDetector
from detectors.text.sentences import split_sentences
from detectors.text.support import build_support, weigh_sentence
from training.hallucination_candidates import Measured
from training.hallucination_fits import exchange_of
from training.late_interaction import measure_distances
from training.measures import auroc, auroc_interval, calibration_error
from training.support_cases import Case
from training.support_contrasts import CONTRADICTIONS
from training.support_examples import Example, TokenClaim, changed_example

SEED: Final = 11
SCORED_AT_ONCE: Final = 32
TIMED_EXCHANGES: Final = 32
FALSE_ALARM_TARGETS: Final = (0.05, 0.1)

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def score_measured(detector: HallucinationDetector, measured: Measured) -> list[Score]:
    """Return the scores that the detector gives the examples, from the evidence that is at hand already."""
    return [detector.combine(detector.weigh(sentences)) for sentences in measured.evidence]


def score_examples(detector: HallucinationDetector, examples: Sequence[Example]) -> list[Score]:
    """Return the detector's scores, in batches as in production."""
    scores: list[Score] = []
    for first in range(0, len(examples), SCORED_AT_ONCE):
        scores += detector.score_all([exchange_of(one) for one in examples[first : first + SCORED_AT_ONCE]])
    return scores


def values_of(scores: Sequence[Score]) -> Floats:
    """Return the scores' values; 0 where nothing was claimed."""
    return np.array([0.0 if score.value is None else score.value for score in scores])


def baselines(measured: Measured) -> dict[str, Floats]:
    """Return word overlap (share of content words that the contexts lack, worst sentence) and length."""
    overlap = [
        max((sentence.lexical.missing_share for sentence in sentences), default=0.0) for sentences in measured.evidence
    ]
    return {
        "word_overlap": np.array(overlap),
        "length_only": np.array([float(len(example.text)) for example in measured.examples]),
    }


def rate(truth: Flags, values: Floats, threshold: float = SPAN_THRESHOLD) -> dict[str, float]:
    """Return recall and false alarms at a threshold; NaN-free: a class that is absent is left out."""
    flagged = values >= threshold
    rates = {}
    if truth.any():
        rates["recall"] = round(float(flagged[truth].mean()), 4)
    if (~truth).any():
        rates["false_alarms"] = round(float(flagged[~truth].mean()), 4)
    return rates


def thresholds(truth: Flags, values: Floats) -> dict[str, dict[str, float]]:
    """Return the lowest thresholds that keep false alarms within each target, with what they still find."""
    found = {}
    for target in FALSE_ALARM_TARGETS:
        limit = float(np.quantile(values[~truth], 1 - target, method="higher")) + 1e-6
        found[f"{target:g}"] = {"threshold": round(limit, 3)} | rate(truth, values, limit)
    return found


def report_claims(truth: Flags, values: Floats, others: dict[str, Floats]) -> dict[str, Any]:
    """Return the detector's AUROC with interval, error rates and calibration, beside other values' AUROC."""
    figures: dict[str, Any] = {
        name: auroc_interval(truth, scores, np.random.default_rng(SEED)).as_json()
        for name, scores in ({"detector": values} | others).items()
    }
    figures["calibration_error"] = round(calibration_error(truth, values), 4)
    figures["at_half"] = rate(truth, values)
    figures["thresholds"] = thresholds(truth, values)
    return figures


def cluster_interval(
    claims: Sequence[TokenClaim], values: Floats, chosen: Flags, *, resamples: int = 1000
) -> dict[str, float | int]:
    """Return the AUROC over tokens with a 95 % interval that resamples whole claims, as their tokens hang together."""
    truth = np.array([flag for claim in claims for _, _, flag in claim.tokens])
    owner = np.repeat(np.arange(len(claims)), [len(claim.tokens) for claim in claims])
    places = [np.flatnonzero((owner == claim) & chosen) for claim in range(len(claims))]
    rng = np.random.default_rng(SEED)
    drawn = []
    for _ in range(resamples):
        sample = np.concatenate([places[int(claim)] for claim in rng.integers(len(claims), size=len(claims))])
        drawn.append(auroc(truth[sample], values[sample]))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return {
        "auroc": round(auroc(truth[chosen], values[chosen]), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "tokens": int(chosen.sum()),
        "claims": len(claims),
    }


def report_spans(scores: Sequence[Score], examples: Sequence[Example]) -> dict[str, float]:
    """Return precision, recall and F1 of the product's spans, in characters that are not white space."""
    hit = told = wanted = 0
    for score, example in zip(scores, examples, strict=True):
        spans = {
            place for span in score.spans for place in range(span.start, span.end) if not example.text[place].isspace()
        }
        gold = {
            place
            for start, end in example.unsupported or ()
            for place in range(start, end)
            if not example.text[place].isspace()
        }
        hit, told, wanted = hit + len(spans & gold), told + len(spans), wanted + len(gold)
    precision, recall = hit / max(told, 1), hit / max(wanted, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}


def report_contrasts(detector: HallucinationDetector, examples: Sequence[Example]) -> dict[str, Any]:
    """Return, for each kind of change, how well supported claims are told from their changed twins."""
    rng = np.random.default_rng(SEED)
    # A claim comes with several chunks of evidence; one is enough.
    supported = list({example.text: example for example in examples if not example.is_unsupported}.values())
    plain = values_of(score_examples(detector, supported))
    figures: dict[str, Any] = {}
    for name, change in CONTRADICTIONS.items():
        pairs = [(place, change(one.text, one.contexts[0], rng)) for place, one in enumerate(supported)]
        twins = [(place, changed_example(supported[place], *made, name)) for place, made in pairs if made is not None]
        values = values_of(score_examples(detector, [twin for _, twin in twins]))
        own = plain[[place for place, _ in twins]]
        truth = np.array([False] * len(own) + [True] * len(values))
        both = np.concatenate([own, values])
        figures[name] = (
            {"pairs": len(twins)}
            | rate(truth, both)
            | {"auroc": round(auroc(truth, both), 4), "twin_above": round(float((values > own).mean()), 4)}
        )
    return figures


def report_cases(
    cases: Sequence[Case], scores: Sequence[Score], others: dict[str, Floats], simple: dict[str, Floats]
) -> dict[str, Any]:
    """Return the figures on the chat-style cases: over all, and how often each category is flagged, by each method.

    ``others`` are detectors and ``simple`` baselines; of the latter only word overlap has a meaning at one half.
    """
    flagging = others | {"word_overlap": simple["word_overlap"]}
    truth = np.array([case.example.is_unsupported for case in cases])
    values = values_of(scores)
    rows: dict[str, Any] = {}
    for category in dict.fromkeys(case.category for case in cases):
        for wrong in (False, True):
            inside = np.array([c.category == category and c.example.is_unsupported == wrong for c in cases])
            if not inside.any():
                continue
            row = {"cases": int(inside.sum()), "detector": round(float((values[inside] >= 0.5).mean()), 4)}
            row |= {name: round(float((other[inside] >= 0.5).mean()), 4) for name, other in flagging.items()}
            if wrong:
                hits = [
                    any(span.start < end and start < span.end for span in score.spans for start, end in ranges)
                    for score, ranges in (
                        (score, case.example.unsupported or ())
                        for case, score, chosen in zip(cases, scores, inside, strict=True)
                        if chosen
                    )
                ]
                row["span_hits"] = round(float(np.mean(hits)), 4)
            rows[f"{category}, {'wrong' if wrong else 'right'}"] = row
    figures = report_claims(truth, values, others | simple)
    figures["spans"] = report_spans(scores, [case.example for case in cases])
    return figures | {"categories": rows}


def timed_exchanges(examples: Sequence[Example]) -> list[Exchange]:
    """Return exchanges of a 1,500-character context and a 400-character response, all different, of real text."""
    long_texts = [example.contexts[0] for example in examples if len(example.contexts[0]) >= 1900]
    return [
        Exchange(str(number), None, text[1500:1900], (text[:1500],))
        for number, text in enumerate(long_texts[:TIMED_EXCHANGES])
    ]


def report_time(detector: HallucinationDetector, exchanges: Sequence[Exchange]) -> dict[str, float]:
    """Return processor milliseconds an exchange of the parts and of the whole, batch as in production."""
    examples = [Example(one.response or "", one.contexts, False, None, one.id, "timed") for one in exchanges]

    def support() -> None:
        for one in exchanges:
            index = build_support(one.contexts, None)
            for sentence in split_sentences(one.response or ""):
                weigh_sentence(one.response or "", sentence, index)

    return {
        "support": _milliseconds(support, len(exchanges)),
        "late_interaction": _milliseconds(lambda: measure_distances(detector.reader.encoder, examples), len(exchanges)),
        "support+reader": _milliseconds(lambda: detector.score_all(exchanges), len(exchanges)),
    }


def _milliseconds(run: Callable[[], object], count: int) -> float:
    """Return the best of three runs, as other programs on the machine only ever add."""
    run()
    taken = []
    for _ in range(3):
        started = time.process_time()
        run()
        taken.append(time.process_time() - started)
    return round(1000 * min(taken) / count, 2)
