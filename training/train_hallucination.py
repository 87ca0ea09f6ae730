"""Fits the hallucination detector's five weights and writes its parameters and card.

    python -m training.train_hallucination --data ../shared/data

Takes under a minute. Weights are fitted on cg2c_doc (news) and on its supported claims with one number exchanged,
calibrated on cg2c_doc and the WiCE dev set (Wikipedia) in equal parts, and reported on the WiCE test set, which is used
for nothing else. Exchanged numbers of the dev and test sets are reported apart.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.model import DetectorIdentity
from detectors.text.hallucination import (
    HEADS_FOLDER,
    LONE_WORD_CEILING,
    NUMBER_FLOOR,
    PARAMETERS_FILE,
    HallucinationDetector,
)
from detectors.text.sentences import split_sentences
from detectors.text.support import FEATURES, build_support, content_words, is_known, weigh_sentence
from training.measures import auroc_interval, calibration_error, fit_logistic, fit_platt

TRAIN: Final = "groundedness/cg2c_doc.jsonl"
DEV: Final = "groundedness/wice_oracle_dev.jsonl"
TEST: Final = "groundedness/wice_oracle_test.jsonl"
SEED: Final = 11
# Half of cg2c and two thirds of WiCE are unsupported; answers in production are mostly supported.
UNSUPPORTED_SHARE: Final = 0.3

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, the text it should rest on, and whether it is (even partly) unsupported."""

    text: str
    context: str
    unsupported: bool


def load_claims(path: Path) -> list[Claim]:
    """Read either file format of the groundedness data."""
    claims = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            row: dict[str, Any] = json.loads(line)
            if "claim" in row:
                claims.append(Claim(row["claim"], "\n".join(row["evidence"]), row["label"] != "supported"))
            else:
                claims.append(Claim(row["text_b"][0], row["text_a"], row["orig_label"] == 0))
    return claims


def features_of(claim: Claim) -> Floats:
    """Return the features of a claim, averaged over its sentences by their number of checkable words."""
    support = build_support([claim.context], None)
    evidence = [weigh_sentence(claim.text, sentence, support) for sentence in split_sentences(claim.text)]
    weights = np.array([float(max(one.claims, 1)) for one in evidence])
    values = np.array([[float(getattr(one, feature)) for feature in FEATURES] for one in evidence])
    return np.asarray(weights @ values / weights.sum())


def exchange_number(claim: Claim, rng: np.random.Generator) -> Claim | None:
    """Return a supported claim with one of its figures replaced by another that its context does not hold.

    None if the claim has no figure of its context in digits. The new figure has as many digits, so that a year becomes
    a year and a price a price.
    """
    support = build_support([claim.context], None)
    figures = [
        word
        for sentence in split_sentences(claim.text)
        for word in content_words(claim.text, sentence.start, sentence.end)
        if word.is_number and claim.text[word.start : word.end].isdigit() and is_known(word, support.places)
    ]
    if claim.unsupported or not figures:
        return None
    word = figures[int(rng.integers(len(figures)))]
    digits = word.end - word.start
    lowest = 10 ** (digits - 1)
    free = [str(lowest + int(step)) for step in rng.permutation(min(9 * lowest, 1000))]
    other = next((number for number in free if number not in support.places), None)
    return (
        None if other is None else Claim(claim.text[: word.start] + other + claim.text[word.end :], claim.context, True)
    )


def exchanged(claims: list[Claim]) -> list[tuple[Claim, Claim]]:
    """Return each supported claim that has a figure, once, with its twin that holds a wrong one."""
    rng = np.random.default_rng(SEED)
    pairs = [(claim, exchange_number(claim, rng)) for claim in dict.fromkeys(claims)]
    return [(claim, twin) for claim, twin in pairs if twin is not None]


def report_exchanged(detector: HallucinationDetector, claims: list[Claim]) -> dict[str, Any]:
    """Return how well supported claims are told from their twins with a wrong number, with and without the rules."""
    pairs = exchanged(claims)
    truth = np.array([False] * len(pairs) + [True] * len(pairs))
    both = [claim for claim, _ in pairs] + [twin for _, twin in pairs]
    figures: dict[str, Any] = {}
    for name, values in (("detector", ruled_values(detector, both)), ("fit_alone", fitted_values(detector, both))):
        flagged = values >= 0.5
        figures[name] = auroc_interval(truth, values, np.random.default_rng(SEED)).as_json() | {
            "recall": round(float(flagged[truth].mean()), 4),
            "false_alarms": round(float(flagged[~truth].mean()), 4),
        }
    return figures


def ruled_values(detector: HallucinationDetector, claims: list[Claim]) -> Floats:
    """Return the scores of the detector as it runs; 0 where it has none."""
    return np.array([detector.score(claim.text, [claim.context], None).value or 0.0 for claim in claims])


def fitted_values(detector: HallucinationDetector, claims: list[Claim]) -> Floats:
    """Return the scores as the logistic model alone would give them."""
    return np.array(
        [
            max(
                (
                    detector.fitted_value(sentence.evidence)
                    for sentence in detector.sentence_scores(claim.text, [claim.context], None)
                ),
                default=0.0,
            )
            for claim in claims
        ]
    )


def report(detector: HallucinationDetector, claims: list[Claim]) -> dict[str, Any]:
    """Return the figures of the detector as it runs, beside word overlap and length, on the same claims."""
    truth = np.array([claim.unsupported for claim in claims])
    values, fitted = ruled_values(detector, claims), fitted_values(detector, claims)
    overlap = np.array([features_of(claim)[0] for claim in claims])
    lengths = np.array([float(len(claim.text)) for claim in claims])
    figures: dict[str, Any] = {
        name: auroc_interval(truth, scores, np.random.default_rng(SEED)).as_json()
        for name, scores in (
            ("detector", values),
            ("fit_alone", fitted),
            ("word_overlap", overlap),
            ("length_only", lengths),
        )
    }
    figures["calibration_error"] = round(calibration_error(truth, values), 4)
    flagged = values >= 0.5
    figures["at_half"] = {
        "recall": round(float(flagged[truth].mean()), 4),
        "false_alarms": round(float(flagged[~truth].mean()), 4),
    }
    return figures


def calibrate(raw: HallucinationDetector, sets: list[list[Claim]]) -> tuple[float, float]:
    """Return the Platt scale of the fitted values, sets counting equally, at ``UNSUPPORTED_SHARE``."""
    margins, truths, weights = [], [], []
    for claims in sets:
        truth = np.array([claim.unsupported for claim in claims])
        values = fitted_values(raw, claims).clip(1e-6, 1 - 1e-6)
        margins.append(np.log(values / (1 - values)))
        truths.append(truth)
        share = np.where(truth, UNSUPPORTED_SHARE / truth.sum(), (1 - UNSUPPORTED_SHARE) / (~truth).sum())
        weights.append(1000 * share)
    return fit_platt(np.concatenate(truths), np.concatenate(margins), np.concatenate(weights))


def render_card(card: dict[str, Any]) -> str:
    """Return the model card in Markdown."""
    lines = [
        "# Hallucination detector (builtin)",
        "",
        "Made by `training/train_hallucination.py`; the same facts for machines are in `hallucination.json`. English,",
        "lexical: it compares words, names and numbers of each sentence with the contexts. It does not understand",
        "paraphrase (which looks unsupported) or a wrong relation between right words (which looks supported).",
        "",
        f"Fitted on `{TRAIN}` and its supported claims with one number exchanged, calibrated on `{TRAIN}`",
        f"and `{DEV}` to a reference mix with",
        f"{UNSUPPORTED_SHARE:.0%} unsupported claims, reported on `{TEST}`. Partly supported counts as unsupported.",
        "",
        "Two rules act on the fitted value of a sentence: an unsupported number lifts it to at least "
        f"{NUMBER_FLOOR}, and one",
        "unsupported word that is neither number nor name, with nothing else, leaves it at most "
        f"{LONE_WORD_CEILING}. Apologies,",
        "offers and statements that something was not found are no claims. Numbers may also come from the prompt.",
        "",
        "| set | unsupported / supported | detector | fit without rules | word overlap | length only | recall, 0.5 "
        "| false alarms, 0.5 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, figures in card["figures"].items():
        cells = [
            f"{figures[column]['auroc']:.3f} ({figures[column]['low']:.3f}-{figures[column]['high']:.3f})"
            for column in ("detector", "fit_alone", "word_overlap", "length_only")
        ]
        counts = figures["detector"]
        lines.append(
            f"| {name} | {counts['positives']} / {counts['negatives']} | {' | '.join(cells)} | "
            f"{figures['at_half']['recall']:.0%} | {figures['at_half']['false_alarms']:.0%} |"
        )
    lines += [
        "",
        "AUROC with 95 % bootstrap intervals. The row of the fitted set shows fit, not skill.",
        "",
        "Supported claims of the same sets beside their twins with one number exchanged for another of as many digits:",
        "",
        "| set | pairs | detector | recall, 0.5 | false alarms, 0.5 | recall without rules |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {both['detector']['positives']} | {both['detector']['auroc']:.3f} "
            f"({both['detector']['low']:.3f}-{both['detector']['high']:.3f}) | {both['detector']['recall']:.0%} | "
            f"{both['detector']['false_alarms']:.0%} | {both['fit_alone']['recall']:.0%} |"
            for name, both in card["exchanged_numbers"].items()
        ),
        "",
        "Exchanging a number is what the number rule looks for, so these rows show that it works, not how often real "
        "answers err.",
        "",
        "| feature | weight |",
        "|---|---|",
    ]
    lines += [f"| {feature} | {weight:.3f} |" for feature, weight in card["model"]["weights"].items()]
    lines += ["", *(f"- `{name}` `sha256:{digest}`" for name, digest in card["data_sha256"].items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fit, calibrate, measure and write the parameters with their card; prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the training data")
    parser.add_argument("--out", type=Path, default=HEADS_FOLDER, help="where parameters and card are written")
    arguments = parser.parse_args()
    claims = {name: load_claims(arguments.data / name) for name in (TRAIN, DEV, TEST)}
    fitted = claims[TRAIN] + [twin for _, twin in exchanged(claims[TRAIN])]
    coefficients, intercept = fit_logistic(
        [features_of(claim) for claim in fitted], [float(claim.unsupported) for claim in fitted]
    )
    identity = DetectorIdentity("unfinished", "0", "sha256:" + "0" * 64)
    raw = HallucinationDetector(identity, tuple(map(float, coefficients)), intercept)
    slope, shift = calibrate(raw, [claims[TRAIN], claims[DEV]])
    weights = {feature: round(slope * weight, 6) for feature, weight in zip(FEATURES, raw.weights, strict=True)}
    offset = round(slope * raw.offset + shift, 6)
    detector = HallucinationDetector(identity, tuple(weights.values()), offset)
    card = {
        "model": {"weights": weights, "offset": offset},
        "figures": {name: report(detector, claims[name]) for name in (TRAIN, DEV, TEST)},
        "exchanged_numbers": {name: report_exchanged(detector, claims[name]) for name in (TRAIN, DEV, TEST)},
        "unsupported_share": UNSUPPORTED_SHARE,
        "data_sha256": {
            name: hashlib.sha256((arguments.data / name).read_bytes()).hexdigest() for name in (TRAIN, DEV, TEST)
        },
    }
    (arguments.out / PARAMETERS_FILE).write_text(json.dumps(card, indent=1) + "\n")
    (arguments.out / "hallucination.md").write_text(render_card(card))
    print(json.dumps(card["figures"], indent=1))


if __name__ == "__main__":
    main()
