"""Fits the hallucination detector's five weights and writes its parameters and card.

    python -m training.train_hallucination --data ../shared/data

Takes under a minute. Weights are fitted on cg2c_doc (news), calibrated on it and the WiCE dev set (Wikipedia) in equal
parts, and reported on the WiCE test set, which is used for nothing else.
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
from detectors.text.hallucination import HEADS_FOLDER, PARAMETERS_FILE, HallucinationDetector
from detectors.text.sentences import split_sentences
from detectors.text.support import FEATURES, build_support, weigh_sentence
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


def report(detector: HallucinationDetector, claims: list[Claim]) -> dict[str, Any]:
    """Return the figures of the detector as it runs, beside word overlap and length, on the same claims."""
    truth = np.array([claim.unsupported for claim in claims])
    values = np.array([detector.score(claim.text, [claim.context], None).value or 0.0 for claim in claims])
    overlap = np.array([features_of(claim)[0] for claim in claims])
    lengths = np.array([float(len(claim.text)) for claim in claims])
    figures: dict[str, Any] = {
        name: auroc_interval(truth, scores, np.random.default_rng(SEED)).as_json()
        for name, scores in (("detector", values), ("word_overlap", overlap), ("length_only", lengths))
    }
    figures["calibration_error"] = round(calibration_error(truth, values), 4)
    flagged = values >= 0.5
    figures["at_half"] = {
        "recall": round(float(flagged[truth].mean()), 4),
        "false_alarms": round(float(flagged[~truth].mean()), 4),
    }
    return figures


def calibrate(raw: HallucinationDetector, sets: list[list[Claim]]) -> tuple[float, float]:
    """Return the Platt scale of the detector's own values, sets counting equally, at ``UNSUPPORTED_SHARE``."""
    margins, truths, weights = [], [], []
    for claims in sets:
        truth = np.array([claim.unsupported for claim in claims])
        values = np.array([raw.score(claim.text, [claim.context], None).value or 0.0 for claim in claims])
        values = values.clip(1e-6, 1 - 1e-6)
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
        f"Fitted on `{TRAIN}`, calibrated on it and `{DEV}` to a reference mix with",
        f"{UNSUPPORTED_SHARE:.0%} unsupported claims, reported on `{TEST}`. Partly supported counts as unsupported.",
        "",
        "| set | unsupported / supported | detector | word overlap | length only | recall, 0.5 | false alarms, 0.5 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figures in card["figures"].items():
        cells = [
            f"{figures[column]['auroc']:.3f} ({figures[column]['low']:.3f}-{figures[column]['high']:.3f})"
            for column in ("detector", "word_overlap", "length_only")
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
    coefficients, intercept = fit_logistic(
        [features_of(claim) for claim in claims[TRAIN]], [float(claim.unsupported) for claim in claims[TRAIN]]
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
