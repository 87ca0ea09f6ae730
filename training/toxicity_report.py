"""Measures the toxicity head on texts it has not seen, beside honest baselines.

Every figure is an AUROC with a 95 % bootstrap interval unless it says otherwise. The baselines, fitted on the same
training texts, are text length alone, the words alone (log-odds of each word, naive Bayes) and a logistic regression on
the pooled sentence vector.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.measures import auroc, auroc_interval, calibration_error, fit_logistic, subgroup_aurocs
from training.reliability_diagram import bin_reliability
from training.toxicity_sets import LABELS, HateCheckCase, Sample

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Figures = dict[str, Any]

SEED: Final = 11
RESAMPLES: Final = 1000
MAIN: Final = ("toxicity", "identity_attack")
SOURCES: Final = ("wikipedia", "davidson", "toxigen", "madlibs", "phrases", "frames", "chat_frames", "mixture", "chat")
PART_SOURCES: Final = ("phrases", "chat_frames", "mixture", "chat")
HARMLESS: Final = ("chat", "prose", "chat_frames", "phrases", "frames", "wikipedia", "davidson", "toxigen")
THRESHOLD: Final = 0.5
AUDIT_TEMPLATE: Final = "being_adj"
_WORD: Final = re.compile(r"[a-z']+")


@dataclass(frozen=True, slots=True)
class Scored:
    """Texts with what the head (probabilities, ``(texts, labels)``) and the sentence vector say of them."""

    probabilities: Floats
    pooled: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Baselines:
    """What the pooled vector and the words alone say, fitted for one label."""

    linear: Floats
    words: dict[str, float]

    def scores(self, texts: Sequence[str], pooled: npt.NDArray[np.float32]) -> dict[str, Floats]:
        """Return the scores of each baseline."""
        return {
            "pooled_linear": np.asarray(pooled @ self.linear, dtype=np.float64),
            "words": np.array([sum(self.words.get(word, 0.0) for word in _words(text)) for text in texts]),
            "length_only": np.array([float(len(text)) for text in texts]),
        }


def fit_baselines(samples: Sequence[Sample], pooled: npt.NDArray[np.float32], column: int) -> Baselines:
    """Fit both on the train part."""
    truth = np.array([sample.holds(column) for sample in samples])
    used = np.array([sample.part == "train" for sample in samples]) & (truth >= 0)
    linear = fit_logistic(pooled[used], truth[used], penalty=0.1)[0]
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for index in np.flatnonzero(used).tolist():
        counts[int(truth[index])].update(set(_words(samples[index].text)))
    totals = [int((truth[used] == side).sum()) for side in (0, 1)]
    words = {
        word: math.log((counts[1][word] + 1) / (totals[1] + 2)) - math.log((counts[0][word] + 1) / (totals[0] + 2))
        for word in counts[0].keys() | counts[1].keys()
    }
    return Baselines(linear, words)


def measure(samples: Sequence[Sample], scored: Scored, cases: Sequence[HateCheckCase], held: Scored) -> Figures:
    """Return all figures as plain JSON values."""
    figures: Figures = {}
    test = np.array([sample.part == "test" for sample in samples])
    sources = np.array([sample.source for sample in samples])
    baselines = {label: fit_baselines(samples, scored.pooled, LABELS.index(label)) for label in MAIN}
    for column, label in enumerate(LABELS):
        truth = np.array([sample.holds(column) for sample in samples])
        ours = scored.probabilities[:, column]
        of_label: Figures = {}
        for source in SOURCES if label in MAIN else PART_SOURCES:
            chosen = np.flatnonzero(test & (sources == source) & (truth >= 0))
            if len(set(truth[chosen])) == 2:
                rivals: dict[str, Floats] = {}
                if label in MAIN:
                    texts = [samples[index].text for index in chosen.tolist()]
                    rivals = baselines[label].scores(texts, scored.pooled[chosen])
                of_label[source] = _areas(truth[chosen] == 1, {"head": ours[chosen], **rivals})
                of_label[source]["at_half"] = error_rates(truth[chosen] == 1, ours[chosen])
        of_label["flagged_harmless_share_at_half"] = {
            source: round(float((ours[test & (sources == source) & (truth == 0)] > THRESHOLD).mean()), 4)
            for source in HARMLESS
            if (test & (sources == source) & (truth == 0)).any()
        }
        known = test & (truth >= 0)
        of_label["calibration_error"] = round(calibration_error(truth[known], ours[known]), 4)
        figures[label] = of_label
    figures["madlibs_subgroups"] = _subgroups(samples, scored.probabilities[:, 0])
    figures["hatecheck"] = _hatecheck(samples, cases, held, baselines)
    return figures


def _areas(truth: Bools, scores: dict[str, Floats]) -> Figures:
    return {
        name: auroc_interval(truth, values, np.random.default_rng(SEED), resamples=RESAMPLES).as_json()
        for name, values in scores.items()
    }


def error_rates(truth: Bools, probabilities: Floats) -> Figures:
    """Return the share of harmless texts above the threshold and of the others below it, with 95 % intervals."""
    return {
        "false_alarms": share_interval(probabilities[~truth] > THRESHOLD),
        "misses": share_interval(probabilities[truth] <= THRESHOLD),
    }


def share_interval(happened: Bools) -> dict[str, float]:
    """Return a share with its Wilson interval."""
    n, z = happened.size, 1.96
    share = float(happened.mean())
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {
        "share": round(share, 4),
        "low": round(max(0.0, middle - half), 4),
        "high": round(min(1.0, middle + half), 4),
    }


def reliability(samples: Sequence[Sample], probabilities: Floats) -> dict[str, list[tuple[float, float, int]]]:
    """Return the points of the reliability diagram, over the test parts that no template of ours made."""
    used = np.array([s.part == "test" and s.source in ("wikipedia", "davidson", "toxigen", "chat") for s in samples])
    series = {}
    for label in MAIN:
        column = LABELS.index(label)
        truth = np.array([sample.holds(column) for sample in samples])
        known = used & (truth >= 0)
        series[label] = bin_reliability(truth[known], probabilities[known, column])
    return series


def madlibs_groups(samples: Sequence[Sample], chosen: Bools) -> dict[str, Bools]:
    """Return, per identity word of the held-out ``being_adj`` template, which samples name it."""
    texts = [sample.text.lower().split() if keep else [] for sample, keep in zip(samples, chosen, strict=True)]
    words = sorted({words[1] for words in texts if len(words) > 2})
    return {word: np.array([len(text) > 2 and text[1] == word for text in texts]) for word in words}


def _subgroups(samples: Sequence[Sample], scores: Floats) -> Figures:
    chosen = _of_audit(samples)
    truth = np.array([sample.holds(0) == 1 for sample in samples])
    groups = {word: inside[chosen] for word, inside in madlibs_groups(samples, chosen).items()}
    per_group = subgroup_aurocs(truth[chosen], scores[chosen], groups)
    names = ("subgroup", "bpsn", "bnsp")
    summary: Figures = {"groups": len(groups)}
    for place, name in enumerate(names):
        worst = min(per_group, key=lambda word: per_group[word][place])
        values = [figures[place] for figures in per_group.values()]
        summary[name] = {"min": round(min(values), 4), "max": round(max(values), 4), "lowest_for": worst}
    return summary


def _of_audit(samples: Sequence[Sample]) -> Bools:
    return np.array([s.part == "test" and s.source == "madlibs" and s.family == AUDIT_TEMPLATE for s in samples])


def audit_identities(samples: Sequence[Sample], probabilities: Floats) -> Figures:
    """Return by how much each identity word moves the error rates: what ``detectors.fairness.audit`` reads."""
    chosen = _of_audit(samples)
    groups = madlibs_groups(samples, chosen)
    audit: Figures = {"template": AUDIT_TEMPLATE, "words": len(groups), "threshold": THRESHOLD}
    for label in MAIN:
        column = LABELS.index(label)
        truth = np.array([sample.holds(column) for sample in samples])
        flagged = probabilities[:, column] > THRESHOLD
        by_identity = {
            word: {
                "false_alarms_at_half": round(float(flagged[inside & (truth == 0)].mean()), 4),
                "misses_at_half": round(float((~flagged)[inside & (truth == 1)].mean()), 4),
                "subgroup_auroc": round(auroc(truth[inside] == 1, probabilities[inside, column]), 4),
            }
            for word, inside in groups.items()
        }
        spread = {}
        for name in ("false_alarms_at_half", "misses_at_half", "subgroup_auroc"):
            values = [rates[name] for rates in by_identity.values()]
            spread[name] = {"min": min(values), "max": max(values), "spread": round(max(values) - min(values), 4)}
        audit[label] = {"spread": spread, "by_identity": by_identity}
    return audit


def _hatecheck(
    samples: Sequence[Sample], cases: Sequence[HateCheckCase], held: Scored, baselines: dict[str, Baselines]
) -> Figures:
    """Return HateCheck's figures. Cases whose very words occur in training are left out, and counted."""
    seen = {" ".join(_words(sample.text)) for sample in samples if sample.part == "train"}
    fresh = np.array([" ".join(_words(case.text)) not in seen for case in cases])
    truth = np.array([case.hateful for case in cases])
    texts = [case.text for case, keep in zip(cases, fresh, strict=True) if keep]
    result: Figures = {"cases": int(fresh.sum()), "left_out_as_seen_in_training": int((~fresh).sum())}
    for label in MAIN:
        ours = held.probabilities[fresh, LABELS.index(label)]
        rivals = baselines[label].scores(texts, held.pooled[fresh])
        result[label] = _areas(truth[fresh], {"head": ours, **rivals})
        result[label]["at_half"] = error_rates(truth[fresh], ours)
    attack = held.probabilities[:, LABELS.index("identity_attack")]
    by_functionality: Figures = {}
    for functionality in sorted({case.functionality for case in cases}):
        inside = np.array([case.functionality == functionality for case in cases]) & fresh
        hateful = bool(truth[inside].all())
        rest = inside | (fresh & (truth != hateful))
        by_functionality[functionality] = {
            "hateful": hateful,
            "cases": int(inside.sum()),
            "auroc_against_other_class": round(auroc(truth[rest], attack[rest]), 4),
            "right_at_half": round(float(((attack[inside] > THRESHOLD) == hateful).mean()), 4),
        }
    result["by_functionality"] = by_functionality
    return result


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("’", "'"))
