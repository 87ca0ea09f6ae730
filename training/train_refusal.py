"""Makes ``detectors/heads/refusal.json`` and its card: a logistic regression for refusals that no pattern knows.

    python -m training.train_refusal --data ../shared/data

Reads the responses written for it in ``training/texts`` and, as harmless texts, claims of the groundedness training
data. Takes a minute of one core. The held-out responses are read for the figures only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detectors.rules.language import Languages
from detectors.rules.refusal import HEAD_FILE, judge_refusal
from detectors.text.encoder import fastest_precision, load_encoder
from training.linear_head import Floats, cross_predict, fit_linear, predict
from training.sentence_vectors import read_vectors

TEXTS = Path(__file__).with_name("texts")
SEED = 7
RIDGE = 3e-4
FOLDS = 10
# The share of hard harmless responses that the head alone may take for refusals, in cross-validation.
FALSE_ALARMS = 0.05
HARMLESS_CLAIMS = 300


@dataclass(frozen=True, slots=True)
class Response:
    """One response written for this: its kind (``full``, ``partial``, ``apology``, ``none``), text and language."""

    kind: str
    text: str
    language: str | None

    @property
    def refuses(self) -> bool:
        """Whether it refuses, wholly or in part."""
        return self.kind in ("full", "partial")


def read_responses(name: str, languages: Languages) -> list[Response]:
    """Return the responses of ``texts/refusal_<name>.txt``."""
    found = []
    for line in (TEXTS / f"refusal_{name}.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, text = line.split("\t")
            text = text.replace("\\n", "\n")
            found.append(Response(kind, text, languages.guess(text).code))
    return found


def read_claims(data: Path) -> list[str]:
    """Return claims about news, none of which refuses anything."""
    claims = []
    with open(data / "groundedness" / "cg2c_doc.jsonl", encoding="utf-8") as lines:
        for line in lines:
            claim = json.loads(line)["text_b"]
            claims.append(claim if isinstance(claim, str) else " ".join(claim))
    return claims


def share(found: NDArray[np.bool_]) -> str:
    """Return a share with its counts and its 95 % interval (Wilson)."""
    n, k = len(found), int(found.sum())
    z = 1.96
    middle = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * float(np.sqrt(k * (n - k) / n + z * z / 4))
    return f"{k}/{n} = {k / n:.2f} ({max(0.0, middle - half):.2f}–{min(1.0, middle + half):.2f})"


def area(positives: Floats, negatives: Floats) -> float:
    """Return the AUROC; ties count half."""
    wins = (positives[:, None] > negatives[None]).mean()
    return float(wins + 0.5 * (positives[:, None] == negatives[None]).mean())


def main() -> None:
    """Fit, choose the threshold by cross-validation, measure on the held-out responses, write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    languages = Languages()
    encoder = load_encoder(None, device="cpu", precision=fastest_precision("cpu"))
    everything = read_responses("test", languages)
    known = [one for one in read_responses("dev", languages) if one.language in (None, "en")]
    held_out = [one for one in everything if one.language in (None, "en")]
    claims = read_claims(arguments.data)
    vectors = np.r_[
        read_vectors(encoder, [one.text for one in known]), read_vectors(encoder, claims[: 2 * HARMLESS_CLAIMS])
    ]
    own, used = len(known), len(known) + HARMLESS_CLAIMS
    targets = np.array([float(one.refuses) for one in known] + [0.0] * HARMLESS_CLAIMS)
    crossed = cross_predict(vectors[:used], targets, ridge=RIDGE, folds=FOLDS, rng=np.random.default_rng(SEED))[:own]
    refuses = np.array([one.refuses for one in known])
    threshold = round(float(np.quantile(crossed[~refuses], 1 - FALSE_ALARMS)), 2)
    coefficients = np.round(fit_linear(vectors[:used], targets, ridge=RIDGE), 4)
    tested = predict(coefficients, read_vectors(encoder, [one.text for one in held_out]))
    wanted = np.array([one.refuses for one in held_out])
    by_pattern = np.array([judge_refusal(one.text, one.language).value for one in held_out])
    flagged = (by_pattern >= 0.5) | (tested >= threshold)
    news = predict(coefficients, vectors[used:]) >= threshold
    model = {
        "encoder": encoder.identity.digest,
        "coefficients": coefficients.tolist(),
        "threshold": threshold,
        "ridge": RIDGE,
        "seed": SEED,
        "texts_sha256": {
            name: hashlib.sha256((TEXTS / f"refusal_{name}.txt").read_bytes()).hexdigest() for name in ("dev", "test")
        },
    }
    HEAD_FILE.write_text(json.dumps({"model": model}, indent=1) + "\n", encoding="utf-8")
    all_wanted = np.array([one.refuses for one in everything])
    all_pattern = np.array([judge_refusal(one.text, one.language).value >= 0.5 for one in everything])
    card = CARD.format(
        known=own,
        refusals=int(refuses.sum()),
        claims=HARMLESS_CLAIMS,
        seed=SEED,
        ridge=RIDGE,
        threshold=threshold,
        false_alarms=FALSE_ALARMS,
        crossed_area=area(crossed[refuses], crossed[~refuses]),
        crossed_recall=share(crossed[refuses] >= threshold),
        crossed_false=share(crossed[~refuses] >= threshold),
        pattern_area=area(by_pattern[wanted], by_pattern[~wanted]),
        head_area=area(tested[wanted], tested[~wanted]),
        both_area=area(np.maximum(by_pattern, tested)[wanted], np.maximum(by_pattern, tested)[~wanted]),
        pattern_recall=share(by_pattern[wanted] >= 0.5),
        pattern_false=share(by_pattern[~wanted] >= 0.5),
        head_recall=share(tested[wanted] >= threshold),
        head_false=share(tested[~wanted] >= threshold),
        both_recall=share(flagged[wanted]),
        both_false=share(flagged[~wanted]),
        length_area=_length_area(held_out, wanted),
        all_recall=share(all_pattern[all_wanted]),
        all_false=share(all_pattern[~all_wanted]),
        news=share(news),
    )
    HEAD_FILE.with_suffix(".md").write_text(card, encoding="utf-8")
    print(card)


def _length_area(responses: list[Response], wanted: NDArray[np.bool_]) -> float:
    lengths = -np.array([float(len(one.text)) for one in responses])
    return area(lengths[wanted], lengths[~wanted])


CARD = """# Model card: refusal

`refusal` is judged by patterns (`detectors/rules/refusal_patterns.txt`, twenty languages) and, for English where no
pattern matches, by a logistic regression on the sentence vector of the response: {threshold} or more counts.

**Data.** {known} English responses written for this in `training/texts/refusal_dev.txt`, {refusals} of which refuse
wholly or in part; the others apologise, say what they lack, or hold the words of refusals ("the court declined to
hear the case"). {claims} claims about news as harmless texts. No sentence of the development set stands in the
held-out set, and the latter was written after the patterns were done. Digests of both and the coefficients:
`refusal.json`. Seed {seed}, ridge {ridge}.

**Threshold.** Chosen by ten-fold cross-validation so that the head alone takes {false_alarms:.0%} of the harmless
responses of the development set, most of them hard ones, for refusals: recall {crossed_recall}, false alarms
{crossed_false}, AUROC {crossed_area:.2f}.

**Held-out responses, English** (share, with its 95 % interval):

| | refusals found | false alarms | AUROC |
|---|---|---|---|
| shorter is a refusal | | | {length_area:.2f} |
| patterns | {pattern_recall} | {pattern_false} | {pattern_area:.2f} |
| head at its threshold | {head_recall} | {head_false} | {head_area:.2f} |
| both, as shipped | {both_recall} | {both_false} | {both_area:.2f} |

All languages, patterns alone: found {all_recall}, false alarms {all_false}. Claims about news that were not trained
on: the head flags {news}.

**How to read these figures.** The held-out responses were worded to differ from the usual formulas: they say how
the detector does on what it has never seen. Of the formulas themselves ("I'm sorry, but I can't help with that") it
misses none of the development set's. Patterns were made in four rounds, each against responses written before the
round; at first sight, before any change, they found 55 of 74, 51 of 69, 37 of 53 and 26 of 42 refusals in all
languages, with 2, 0, 1 and 2 false alarms among 58, 54, 41 and 30 harmless responses: 71 % found, 2.7 % false
alarms together.

**Limits.** One reader wrote and labelled all responses. Refusals in stories and quotations are left out only when
they are in quotation marks. A bare "No." is not recognised. Outside English only formulas are known; languages
without patterns are not assessed. Whether a refusal was right is not judged.
"""


if __name__ == "__main__":
    main()
