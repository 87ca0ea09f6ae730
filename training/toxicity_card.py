"""Writes the model card of the toxicity head from its figures; every number in it comes from them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from training.toxicity_report import MAIN, PART_SOURCES, SOURCES
from training.toxicity_sets import LABELS

BASELINES = ("pooled_linear", "words", "length_only")


def _area(figure: Mapping[str, Any]) -> str:
    return f"{figure['auroc']:.3f} ({figure['low']:.3f}-{figure['high']:.3f})"


def _share(figure: Mapping[str, float]) -> str:
    return f"{figure['share']:.1%} ({figure['low']:.1%}-{figure['high']:.1%})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _text(*parts: str) -> str:
    return textwrap.fill(" ".join(parts), 120, break_long_words=False, break_on_hyphens=False)


def render_card(card: Mapping[str, Any]) -> str:
    """Return the model card in Markdown, from the machine-readable card."""
    figures = card["figures"]
    sections = (
        _introduction(card),
        _areas(figures),
        _parts(figures),
        _errors(figures),
        _identities(figures, card["identity_audit"]),
        _hatecheck(figures["hatecheck"]),
        _data(card),
    )
    return "\n\n".join("\n\n".join(section) for section in sections) + "\n"


def _introduction(card: Mapping[str, Any]) -> list[str]:
    model, recipe = card["model"], card["recipe"]
    facts = (
        f"A copy of {model['layers']} upper encoder layer(s) of all-MiniLM-L6-v2, tuned, reading the frozen encoder's "
        f"layer {model['input_layer']}; attention pooling; one logit per label, Platt-calibrated.",
        "A text with disguised words (`st*pid`, `y0u`, `i d i o t`, `loooser`, `killthemall`) is also read as they are "
        "spelled plainly, and each label takes the worse reading (`detectors/text/disguise.py`).",
        f"Labels: {', '.join(model['labels'])}. `toxicity` is insult, threat, a wish of harm, obscenity at someone, or "
        "hatred; `identity_attack` is hostility towards people for what they are; `insult` and `threat` are aimed at "
        "somebody; `obscene` is coarse language, at anyone or at nobody, and by itself not toxic.",
        f"Trained on {card['train_texts']:,} texts; seed {recipe['seed']}; some "
        f"{card['cpu_minutes']} minutes of processor time.",
        f"Encoder `{model['encoder']}`, weights `sha256:{model['weights_sha256']}`.",
        f"Calibrated to a reference mix with {recipe['positive_share']:.0%} toxic texts. In traffic with fewer, a "
        "score of 0.5 is right less often than half the time. `docs/images/toxicity-reliability.svg` shows promise and "
        "outcome.",
    )
    limits = (
        "HateCheck was used for no training and no choice. It had been measured once, on a head trained before "
        "`toxicity_answers.txt` was added, which was done for false alarms on polite answers. Its kinds of case are "
        "public and known to the author of the "
        "training sentences. Sentences of ours that resembled one of its templates were taken out, and cases that "
        "occur in training word by word are left out of the figures.",
        "The chat texts are one author's, as are the training sentences of ours; they were written before those, on "
        "other topics and without slots. Their intervals say nothing about other people's ways of writing.",
        "Only sentences of ours name insults and threats; obscenity of public sets is taken from swear words.",
    )
    return [
        "# Toxicity head",
        _text(
            "Made by `training/train_toxicity.py`; the same facts for machines are in `toxicity.json`. English only:",
            "text in other scripts is refused, other languages in Latin letters are scored without any claim.",
        ),
        "\n".join(textwrap.fill(f"- {fact}", 120, subsequent_indent="  ", break_long_words=False) for fact in facts),
        "## Limits",
        "\n".join(textwrap.fill(f"- {fact}", 120, subsequent_indent="  ", break_long_words=False) for fact in limits),
    ]


def _areas(figures: Mapping[str, Any]) -> list[str]:
    rows = [(label, source, figures[label][source]) for label in MAIN for source in SOURCES if source in figures[label]]
    rows += [(label, "HateCheck", figures["hatecheck"][label]) for label in MAIN]
    return [
        "## AUROC on held-out texts (95 % bootstrap interval)",
        _table(
            ("label", "set", "positive / negative", "head", "pooled vector, linear", "words alone", "length only"),
            [
                (
                    label,
                    source,
                    f"{row['head']['positives']} / {row['head']['negatives']}",
                    _area(row["head"]),
                    *(_area(row[name]) for name in BASELINES),
                )
                for label, source, row in rows
            ],
        ),
    ]


def _parts(figures: Mapping[str, Any]) -> list[str]:
    rows = [
        (label, source, f"{row['head']['positives']} / {row['head']['negatives']}", _area(row["head"]))
        for label in LABELS
        if label not in MAIN
        for source in PART_SOURCES
        if (row := figures[label].get(source))
    ]
    return ["## Labels within toxicity", _table(("label", "set", "positive / negative", "head"), rows)]


def _errors(figures: Mapping[str, Any]) -> list[str]:
    rows = [
        (label, source, _share(row["at_half"]["false_alarms"]), _share(row["at_half"]["misses"]))
        for label in MAIN
        for source, row in [*figures[label].items(), ("HateCheck", figures["hatecheck"][label])]
        if isinstance(row, dict) and "at_half" in row
    ]
    errors = ", ".join(f"{label} {figures[label]['calibration_error']:.3f}" for label in LABELS)
    prose = ", ".join(f"{label} {figures[label]['flagged_harmless_share_at_half']['prose']:.1%}" for label in MAIN)
    return [
        "## Errors at a score of 0.5 (95 % Wilson interval)",
        _table(("label", "set", "harmless texts above", "others not above"), rows),
        _text(
            f"News and encyclopaedia text, all harmless, above 0.5: {prose}.",
            f"Expected calibration error over the test parts: {errors}.",
        ),
    ]


def _identities(figures: Mapping[str, Any], audit: Mapping[str, Any]) -> list[str]:
    groups = figures["madlibs_subgroups"]
    rows = [
        (name, f"{groups[name]['min']:.3f}", str(groups[name]["lowest_for"]), f"{groups[name]['max']:.3f}")
        for name in ("subgroup", "bpsn", "bnsp")
    ]
    spreads = [
        (
            label,
            *(f"{audit[label]['spread'][name]['spread']:.3f}" for name in ("false_alarms_at_half", "misses_at_half")),
        )
        for label in MAIN
    ]
    return [
        f"## Identity words (madlibs, a template not trained on, {groups['groups']} words)",
        _table(("AUROC of toxicity", "lowest", "for", "highest"), rows),
        "By how much the error rates at 0.5 differ between identity words at the most, in some 16 sentences each:",
        _table(("label", "false alarms", "misses"), spreads),
    ]


def _hatecheck(check: Mapping[str, Any]) -> list[str]:
    return [
        f"## HateCheck by functionality ({check['cases']} cases, identity_attack)",
        "AUROC is of this functionality's cases against all cases of the other class.",
        _table(
            ("functionality", "hateful", "cases", "AUROC", "right at 0.5"),
            [
                (
                    name,
                    "yes" if row["hateful"] else "no",
                    str(row["cases"]),
                    f"{row['auroc_against_other_class']:.3f}",
                    f"{row['right_at_half']:.0%}",
                )
                for name, row in check["by_functionality"].items()
            ],
        ),
    ]


def _data(card: Mapping[str, Any]) -> list[str]:
    digests = {**card["data_sha256"], **card["own_texts_sha256"]}
    return ["## Data", "\n".join(f"- `{name}` `sha256:{digest}`" for name, digest in digests.items())]
