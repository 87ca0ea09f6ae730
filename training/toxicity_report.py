"""Measures the toxicity head on texts it has not seen, beside honest baselines, and writes the card people read.

Every figure is an AUROC with a 95 % bootstrap interval unless it says otherwise. The baselines are text length alone
and a logistic regression on the pooled sentence vector, trained on the same texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from training.measures import auroc, auroc_interval, calibration_error, fit_logistic, subgroup_aurocs
from training.toxicity_corpus import HateCheckCase, Sample

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Figures = dict[str, Any]

SEED = 11
RESAMPLES = 1000


def _probabilities(logits: Floats, scale: dict[str, float]) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-(scale["slope"] * logits + scale["offset"]))))


def _three_ways(truth: Bools, ours: Floats, pooled: Floats, lengths: Floats) -> dict[str, Any]:
    """Return the head's figures and both baselines', on the same examples."""
    return {
        name: auroc_interval(truth, scores, np.random.default_rng(SEED), resamples=RESAMPLES).as_json()
        for name, scores in (("head", ours), ("pooled_linear", pooled), ("length_only", lengths))
    }


def _pooled_baseline(samples: list[Sample], pooled: npt.NDArray[np.float32], column: int) -> Floats:
    """Return coefficients of a logistic regression on the sentence vector; ranking needs no offset."""
    truth = np.array([(sample.toxic, sample.attack)[column] for sample in samples])
    used = np.array([sample.part == "train" for sample in samples]) & (truth >= 0)
    return fit_logistic(pooled[used], truth[used], penalty=0.1)[0]


def madlibs_groups(samples: list[Sample], chosen: Bools) -> dict[str, Bools]:
    """Return, per identity word of the held-out ``being_adj`` template, which samples name it."""
    texts = [sample.text.lower().split() if keep else [] for sample, keep in zip(samples, chosen, strict=True)]
    words = sorted({words[1] for words in texts if len(words) > 2})
    return {word: np.array([len(text) > 2 and text[1] == word for text in texts]) for word in words}


def measure(
    samples: list[Sample],
    logits: Floats,
    pooled: npt.NDArray[np.float32],
    scales: list[dict[str, float]],
    cases: list[HateCheckCase],
    case_logits: Floats,
    case_pooled: npt.NDArray[np.float32],
) -> Figures:
    """Return all figures as plain JSON values."""
    lengths = np.array([float(len(sample.text)) for sample in samples])
    figures: Figures = {"toxicity": {}, "identity_attack": {}}
    baselines = [_pooled_baseline(samples, pooled, column) for column in (0, 1)]
    for column, label in enumerate(("toxicity", "identity_attack")):
        truth = np.array([(sample.toxic, sample.attack)[column] for sample in samples])
        linear = pooled @ baselines[column]
        for source in ("wikipedia", "davidson", "toxigen", "madlibs", "phrases", "frames", "mixture"):
            chosen = np.array([s.part == "test" and s.source == source for s in samples]) & (truth >= 0)
            if len(set(truth[chosen])) == 2:
                figures[label][source] = _three_ways(
                    truth[chosen] == 1, logits[chosen, column], linear[chosen], lengths[chosen]
                )
        probabilities = _probabilities(logits[:, column], scales[column])
        harmless = {
            source: np.array([s.part == "test" and s.source == source for s in samples]) & (truth == 0)
            for source in ("prose", "phrases", "frames", "wikipedia", "toxigen")
        }
        figures[label]["flagged_harmless_share_at_half"] = {
            source: round(float((probabilities[chosen] > 0.5).mean()), 4) for source, chosen in harmless.items()
        }
        known = np.array([s.part == "test" for s in samples]) & (truth >= 0)
        figures[label]["calibration_error"] = round(calibration_error(truth[known], probabilities[known]), 4)
    figures["madlibs_subgroups"] = _subgroups(samples, logits)
    figures["hatecheck"] = _hatecheck(samples, cases, case_logits, case_pooled, baselines, scales)
    return figures


def _subgroups(samples: list[Sample], logits: Floats) -> Figures:
    chosen = np.array([s.part == "test" and s.source == "madlibs" and s.family == "being_adj" for s in samples])
    truth = np.array([s.toxic == 1 for s in samples])
    groups = {word: inside[chosen] for word, inside in madlibs_groups(samples, chosen).items()}
    per_group = subgroup_aurocs(truth[chosen], logits[chosen, 0], groups)
    names = ("subgroup", "bpsn", "bnsp")
    summary: Figures = {"groups": len(groups)}
    for place, name in enumerate(names):
        worst = min(per_group, key=lambda word: per_group[word][place])
        values = [figures[place] for figures in per_group.values()]
        summary[name] = {"min": round(min(values), 4), "max": round(max(values), 4), "lowest_for": worst}
    return summary


def _hatecheck(
    samples: list[Sample],
    cases: list[HateCheckCase],
    logits: Floats,
    pooled: npt.NDArray[np.float32],
    baselines: list[Floats],
    scales: list[dict[str, float]],
) -> Figures:
    """Return HateCheck's figures. Cases whose very words occur in training are left out, and counted."""
    seen = {_bare(sample.text) for sample in samples if sample.part == "train"}
    fresh = np.array([_bare(case.text) not in seen for case in cases])
    truth = np.array([case.hateful for case in cases])
    lengths = np.array([float(len(case.text)) for case in cases])
    result: Figures = {"cases": int(fresh.sum()), "left_out_as_seen_in_training": int((~fresh).sum())}
    for column, label in enumerate(("toxicity", "identity_attack")):
        linear = pooled @ baselines[column]
        result[label] = _three_ways(truth[fresh], logits[fresh, column], linear[fresh], lengths[fresh])
    probabilities = _probabilities(logits[:, 1], scales[1])
    by_functionality: Figures = {}
    for functionality in sorted({case.functionality for case in cases}):
        inside = np.array([case.functionality == functionality for case in cases]) & fresh
        hateful = bool(truth[inside].all())
        rest = inside | (fresh & (truth != hateful))
        by_functionality[functionality] = {
            "hateful": hateful,
            "cases": int(inside.sum()),
            "auroc_against_other_class": round(auroc(truth[rest], logits[rest, 1]), 4),
            "right_at_half": round(float(((probabilities[inside] > 0.5) == hateful).mean()), 4),
        }
    result["by_functionality"] = by_functionality
    return result


def _bare(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def render_card(card: dict[str, Any]) -> str:
    """Return the model card in Markdown, from the machine-readable card."""
    figures = card["figures"]
    lines = [
        "# Toxicity head",
        "",
        "Made by `training/train_toxicity.py`; the same facts for machines are in `toxicity.json`. English only: text",
        "in other scripts is refused, other languages in Latin letters are scored without any claim.",
        "",
        f"- A copy of {card['model']['layers']} upper encoder layer(s) of all-MiniLM-L6-v2, tuned, reading the frozen "
        f"encoder's layer {card['model']['input_layer']}; attention pooling; one logit per label, Platt-calibrated.",
        f"- Labels: {', '.join(card['model']['labels'])}. `toxicity` is insult, threat, obscenity at someone, or "
        "hatred; `identity_attack` is hostility towards people for what they are.",
        f"- Trained on {card['train_texts']:,} texts; seed {card['recipe']['seed']}; "
        f"{card['cpu_seconds']} s of processor time.",
        f"- Encoder `{card['model']['encoder']}`, weights `sha256:{card['model']['weights_sha256']}`.",
        f"- Calibrated to a reference mix with {card['recipe']['positive_share']:.0%} toxic texts. In traffic with "
        "fewer, a score of 0.5 is right less often than half the time.",
        "- HateCheck was used for no training and no choice. Its categories are public and known to the author of the",
        "  training sentences; its cases were not used, and exact repeats are left out of the figures.",
        "",
        "## AUROC on held-out texts (95 % bootstrap interval)",
        "",
        "| label | set | positive / negative | head | pooled vector, linear | length only |",
        "|---|---|---|---|---|---|",
    ]
    show: Callable[[dict[str, Any]], str] = lambda f: f"{f['auroc']:.3f} ({f['low']:.3f}-{f['high']:.3f})"  # noqa: E731
    rows = [
        (label, source, figures[label][source])
        for label in ("toxicity", "identity_attack")
        for source in ("wikipedia", "davidson", "toxigen", "madlibs", "phrases", "frames", "mixture")
        if source in figures[label]
    ]
    rows += [(label, "HateCheck", figures["hatecheck"][label]) for label in ("toxicity", "identity_attack")]
    for label, source, row in rows:
        head = row["head"]
        lines.append(
            f"| {label} | {source} | {head['positives']} / {head['negatives']} | {show(head)} | "
            f"{show(row['pooled_linear'])} | {show(row['length_only'])} |"
        )
    lines += [
        "",
        "## Harmless texts scored above 0.5",
        "",
        "| label | prose | phrases | frames | Wikipedia | ToxiGen |",
        "|---|---|---|---|---|---|",
    ]
    for label in ("toxicity", "identity_attack"):
        flagged = figures[label]["flagged_harmless_share_at_half"]
        cells = " | ".join(
            f"{flagged[source]:.1%}" for source in ("prose", "phrases", "frames", "wikipedia", "toxigen")
        )
        lines.append(f"| {label} | {cells} |")
    lines += [
        "",
        f"Expected calibration error over the test parts: toxicity {figures['toxicity']['calibration_error']:.3f}, "
        f"identity_attack {figures['identity_attack']['calibration_error']:.3f}.",
        "",
        f"## Identity words (madlibs, a template not trained on, {figures['madlibs_subgroups']['groups']} words)",
        "",
        "| AUROC | lowest | for | highest |",
        "|---|---|---|---|",
    ]
    for name in ("subgroup", "bpsn", "bnsp"):
        row = figures["madlibs_subgroups"][name]
        lines.append(f"| {name} | {row['min']:.3f} | {row['lowest_for']} | {row['max']:.3f} |")
    check = figures["hatecheck"]
    lines += [
        "",
        f"## HateCheck by functionality ({check['cases']} cases, identity_attack)",
        "",
        "AUROC is of this functionality's cases against all cases of the other class.",
        "",
        "| functionality | hateful | cases | AUROC | right at 0.5 |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in check["by_functionality"].items():
        lines.append(
            f"| {name} | {'yes' if row['hateful'] else 'no'} | {row['cases']} | "
            f"{row['auroc_against_other_class']:.3f} | {row['right_at_half']:.0%} |"
        )
    lines += ["", "## Data", ""]
    lines += [f"- `{name}` `sha256:{digest}`" for name, digest in card["data_sha256"].items()]
    return "\n".join(lines) + "\n"
