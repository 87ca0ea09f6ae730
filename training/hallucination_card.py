"""Writes the model card of the hallucination detector from its figures; every number in it comes from them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

from detectors.text.hallucination import NUMBER_FLOOR
from training.hallucination_candidates import SHIPPED
from training.hallucination_fits import UNSUPPORTED_SHARE

TITLES: Final = {
    "support": "(a) words, names, numbers, clauses",
    "late_interaction": "(b) late interaction, encoder frozen",
    "reader": "(c) tuned reader alone",
    "support+late": "(a) + (b)",
    "support+reader": "(a) + (c)",
    "support+reader+distances": "(a) + (c) + late interaction in the same pass, shipped",
}


def _area(figure: Mapping[str, Any]) -> str:
    return f"{figure['auroc']:.3f} ({figure['low']:.3f}-{figure['high']:.3f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def render_card(card: Mapping[str, Any]) -> str:
    """Return the model card in Markdown."""
    figures = card["figures"]
    sections = (
        _introduction(card),
        _candidates(figures["candidates"]),
        _claims(figures),
        _tokens(figures),
        _contrasts(figures["contrasts"]),
        _cases(figures["cases"]["categories"]),
        _weights(card["model"]),
        _recipe(card),
    )
    return "\n\n".join("\n\n".join(section) for section in sections) + "\n"


def _text(*parts: str) -> str:
    """Return one paragraph in lines of at most 120 characters."""
    return textwrap.fill(" ".join(parts), 120, break_long_words=False, break_on_hyphens=False)


def _introduction(card: Mapping[str, Any]) -> list[str]:
    recipe = card["recipe"]
    return [
        "# Hallucination detector (builtin)",
        _text(
            "Made by `training/train_hallucination.py`; the same facts for machines are in `hallucination.json`.",
            "English. It says how far a response is supported by its contexts, sentence by sentence and word by word.",
            "Logistic weights combine two kinds of evidence: which words, names and numbers the",
            "contexts don't hold (a),",
            f"and a reader (c): the packaged MiniLM encoder up to layer {recipe['input_layer']},",
            "frozen, and tuned copies",
            f"of its next {recipe['layers']} layers, which read response and passages together and give a number for",
            "each word. One rule stands beside the fit: a number that stands nowhere lifts its sentence to at least",
            f"{NUMBER_FLOOR}. Numbers and ordinary words may also come from the prompt.",
        ),
    ]


def _candidates(candidates: Mapping[str, Mapping[str, float]]) -> list[str]:
    shipped, plain = candidates[SHIPPED], candidates["support"]
    columns = ("claims", "tokens", "cases")
    rows = [
        [TITLES[name], *(f"{own[column]:.3f}" for column in columns), f"{own['ms']:.1f}"]
        for name, own in candidates.items()
    ]
    gains = ", ".join(f"{shipped[column] - plain[column]:+.3f} on {column}" for column in columns)
    return [
        "## What was compared",
        _text(
            "All fitted on the same rows. AUROC on WiCE test claims, on WiCE test tokens and on the chat-style cases,",
            "none of which were fitted on. Time is that of one core for an exchange with 1,500",
            "characters of context and",
            "400 of response, float32, batches of 32.",
        ),
        _table(["candidate", *columns, "ms an exchange"], rows),
        _text(
            "Per millisecond nothing beats (a), but of contradictions it sees little:",
            f"{plain['cases']:.2f} on the cases, where 0.5 is chance.",
            f"The reader costs {shipped['ms'] - plain['ms']:.0f} ms more and brings {gains}; it is shipped for that.",
            "Late interaction costs nothing more in the reader's own pass, and as much as the reader in a pass of its",
            "own (b).",
        ),
    ]


def _claim_row(name: str, figures: Mapping[str, Any]) -> list[str]:
    counts, half = figures["detector"], figures["at_half"]
    return [
        name,
        f"{counts['positives']} / {counts['negatives']}",
        *(_area(figures[column]) for column in ("detector", "word_overlap", "length_only")),
        f"{half['recall']:.0%}",
        f"{half['false_alarms']:.0%}",
        f"{figures['calibration_error']:.3f}",
    ]


def _claims(figures: Mapping[str, Any]) -> list[str]:
    blocks = {"WiCE test": figures["claims"]["wice_test"], "chat-style cases": figures["cases"]}
    limits = [
        [title, f"{float(target):.0%}", f"{found['threshold']:.3f}", f"{found['recall']:.0%}"]
        for title, block in blocks.items()
        for target, found in block["thresholds"].items()
    ]
    head = ["set", "unsupported / supported", "detector", "word overlap", "length only", "recall, 0.5",
            "false alarms, 0.5", "calibration error"]  # fmt: skip
    rows = [_claim_row("WiCE dev", figures["claims"]["wice_dev"])]
    rows += [_claim_row(title, block) for title, block in blocks.items()]
    return [
        "## Claims",
        _text(
            "Partly supported counts as unsupported. AUROC with 95 % bootstrap intervals. The weights",
            "were fitted on the",
            "dev set among others, so its row shows fit; the test set and the cases were only reported.",
            "Figures on an eighth of the cases were seen before the fit sets got their final shares.",
        ),
        _table(head, rows),
        _text(
            f"Calibrated for a mix with {UNSUPPORTED_SHARE:.0%} unsupported sentences. Two thirds of WiCE's claims and",
            "half of the cases are, so points above the diagonal of",
            "[the reliability diagram](../../docs/images/hallucination-reliability.svg) are to be expected. Thresholds",
            "that keep false alarms within a bound, and what they find:",
        ),
        _table(["set", "false alarms at most", "threshold", "recall"], limits),
    ]


def _tokens(figures: Mapping[str, Any]) -> list[str]:
    columns = ("detector", "word_overlap", "length_only", "detector_content_words", "word_overlap_content_words")
    rows = []
    for part in ("dev", "test"):
        block = figures["tokens"][f"wice_{part}"]
        counts = f"{block['detector']['claims']} / {block['detector']['tokens']}"
        rows.append([f"WiCE {part}", counts, *(_area(block[column]) for column in columns), *_span_cells(block)])
    rows.append(["chat-style cases", "", *[""] * len(columns), *_span_cells(figures["cases"])])
    head = ["set", "claims / tokens", "detector", "word overlap", "length only", "detector, content words",
            "overlap, content words", "span precision", "recall", "F1"]  # fmt: skip
    return [
        "## Tokens and spans",
        _text(
            "WiCE's partly supported claims with their annotated tokens, function words and signs included. Intervals",
            "resample claims. Spans are the product's own, compared in characters: the words at fault of sentences at",
            "0.5 or more.",
        ),
        _table(head, rows),
    ]


def _span_cells(block: Mapping[str, Any]) -> list[str]:
    return [f"{block['spans'][name]:.2f}" for name in ("precision", "recall", "f1")]


def _contrasts(contrasts: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = [
        [
            name.replace("_", " "),
            f"{row['pairs']}",
            f"{row['auroc']:.3f}",
            *(f"{row[column]:.0%}" for column in ("twin_above", "recall", "false_alarms")),
        ]
        for name, row in contrasts.items()
    ]
    return [
        "## Contrasts",
        _text(
            "Supported claims of WiCE's test set beside their twins with one thing changed",
            "(`training/support_contrasts.py`). The reader learnt from such changes on other documents, so these rows",
            "show what it can see, not how real answers err.",
        ),
        _table(["change", "pairs", "AUROC", "twin scores higher", "recall, 0.5", "false alarms, 0.5"], rows),
    ]


def _cases(categories: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = [
        [
            name.replace("_", " "),
            f"{row['cases']}",
            *(f"{row[column]:.0%}" for column in ("detector", "support", "word_overlap")),
            f"{row['span_hits']:.0%}" if "span_hits" in row else "",
        ]
        for name, row in categories.items()
    ]
    return [
        "## Chat-style cases",
        _text(
            "Answers about documents of twelve kinds, written by hand for measuring",
            "(`training/support_cases.txt`); they",
            "share no sentence with the training frames. Share flagged at 0.5; a span hits if it",
            "overlaps what is wrong.",
        ),
        _table(["category", "cases", "detector", "(a) alone", "word overlap", "span hits"], rows),
    ]


def _weights(model: Mapping[str, Any]) -> list[str]:
    return [
        "## Weights",
        _table(["sentence feature", "weight"], [[n, f"{w:.3f}"] for n, w in model["sentence"]["weights"].items()]),
        _table(["word feature", "weight"], [[n, f"{w:.3f}"] for n, w in model["word"]["weights"].items()]),
        f"A word belongs to a span from {model['word_threshold']} on, the value of the best F1 on WiCE's dev tokens.",
    ]


def _recipe(card: Mapping[str, Any]) -> list[str]:
    recipe, versions = card["recipe"], card["versions"]
    digests = {**card["data_sha256"]}
    digests |= card["own_texts_sha256"]
    digests["hallucination.safetensors"] = card["model"]["reader"]["weights_sha256"]
    return [
        "## Data and recipe",
        _text(
            f"{recipe['examples']} training examples: cg2c's claims, WiCE's token claims, contrasts made of supported",
            "claims and of sentences of the documents, and chat-style frames.",
            f"{recipe['held_share']:.0%} of the source documents were held out from the reader. Seed {recipe['seed']},",
            f"{recipe['epochs']} epochs at a learning rate of {recipe['learning_rate']:g}, then",
            f"{recipe['second_epochs']} at {recipe['second_learning_rate']:g} on",
            "relations told in other words and a part",
            "of the first stage again (`build_second_corpus`); weights int8 by row. Python",
            f"{versions['python']}, torch {versions['torch']}, numpy {versions['numpy']}.",
        ),
        "\n".join(f"- `{name}` `sha256:{digest}`" for name, digest in digests.items()),
    ]
