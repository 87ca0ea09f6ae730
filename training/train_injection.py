"""Makes ``detectors/heads/injection.json`` and its card: a small network that tells attacks from harmless prompts.

    python -m training.train_injection --data ../shared/data

Attacks and harmless prompts come from templates of our own (``training/injection_corpus.py``); tweets that are neither
hateful nor offensive and claims about news stand for other harmless text. NotInject is read for the figures only. Takes
about three minutes of one core.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detectors.rules.injection import judge_injection
from detectors.rules.injection_head import HEAD_FILE
from detectors.text.encoder import fastest_precision, load_encoder
from training.injection_corpus import TEXTS, Prompt, read_prompts
from training.sentence_vectors import read_vectors
from training.train_refusal import area, read_claims, share

SEED = 7
UNITS = 32
EPOCHS = 200
RATE = 3e-3
DECAY = 0.3
DROPOUT = 0.2
NOISE = 0.02
FILLINGS = 8
FOLDS = 6
HARMLESS_OTHERS = 400
# The share of harmless prompts with the words of attacks that the network alone may flag, in cross-validation.
FALSE_ALARMS = 0.02
TRIGGERS = re.compile(
    r"\b(?:ignore|disregard|forget|bypass|override|reveal|secret|system|prompt|instructions?|pretend|jailbreak)"
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Network:
    """A fitted network as plain arrays."""

    hidden: Floats
    hidden_offset: Floats
    output: Floats
    output_offset: float

    def probabilities(self, vectors: Floats) -> Floats:
        """Return one probability a row."""
        logits = np.maximum(vectors @ self.hidden.T + self.hidden_offset, 0.0) @ self.output + self.output_offset
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -60, 60))), dtype=np.float64)


def fit_network(vectors: Floats, targets: Floats) -> Network:
    """Return a network of ``UNITS`` rectified units fitted with noise on its input, dropout and weight decay."""
    torch.manual_seed(SEED)
    first, last = torch.nn.Linear(vectors.shape[1], UNITS), torch.nn.Linear(UNITS, 1)
    model = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Dropout(DROPOUT), last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    given = torch.tensor(vectors, dtype=torch.float32)
    wanted = torch.tensor(targets, dtype=torch.float32)
    for _ in range(EPOCHS):
        optimiser.zero_grad()
        logits = model(given + NOISE * torch.randn_like(given))[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Network(
        _to_array(first.weight),
        _to_array(first.bias),
        _to_array(last.weight)[0],
        round(float(last.bias.detach()[0]), 4),
    )


def _to_array(values: torch.Tensor) -> Floats:
    return np.asarray(np.round(values.detach().double().numpy(), 4), dtype=np.float64)


def read_others(data: Path) -> list[str]:
    """Return harmless texts that are no prompts: tweets and claims about news, mixed."""
    with open(data / "toxicity" / "davidson.csv", encoding="utf-8", newline="") as file:
        tweets = [row["tweet"] for row in csv.DictReader(file) if row["class"] == "2"]
    pairs = zip(tweets[:HARMLESS_OTHERS], read_claims(data)[:HARMLESS_OTHERS], strict=True)
    return [text for pair in pairs for text in pair]


def read_notinject(data: Path) -> dict[str, list[str]]:
    """Return the harmless prompts of NotInject by their number of trigger words."""
    return {
        name: [row["prompt"] for row in json.loads((data / "injection" / f"pig_NotInject_{name}.json").read_text())]
        for name in ("one", "two", "three")
    }


def main() -> None:
    """Fit, choose the threshold by cross-validation over templates, measure, write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    encoder = load_encoder(None, device="cpu", precision=fastest_precision("cpu"))
    prompts = read_prompts(FILLINGS, np.random.default_rng(SEED))
    vectors = read_vectors(encoder, [one.text for one in prompts])
    others = read_vectors(encoder, read_others(data))
    trained_others, other_others = others[::2], others[1::2]
    attacks = np.array([one.attack for one in prompts])
    kinds = np.array([one.family for one in prompts])
    patterns = np.array([judge_injection(one.text).value for one in prompts])

    def fit_without(left_out: Flags) -> Network:
        known = ~left_out
        zeros = np.zeros(len(trained_others))
        return fit_network(np.r_[vectors[known], trained_others], np.r_[attacks[known].astype(np.float64), zeros])

    crossed = cross_validate(prompts, vectors, fit_without)
    threshold = round(float(np.quantile(crossed[kinds == "hard"], 1 - FALSE_ALARMS)), 3)
    network = fit_without(np.zeros(len(prompts), dtype=bool))
    families = measure_families(vectors, kinds, attacks, patterns, fit_without, threshold)
    model = {
        "encoder": encoder.identity.digest,
        "hidden": network.hidden.tolist(),
        "hidden_offset": network.hidden_offset.tolist(),
        "output": network.output.tolist(),
        "output_offset": network.output_offset,
        "threshold": threshold,
        "seed": SEED,
        "texts_sha256": {
            name: hashlib.sha256((TEXTS / name).read_bytes()).hexdigest()
            for name in ("injection_attacks.txt", "injection_benign.txt")
        },
    }
    HEAD_FILE.write_text(json.dumps({"model": model}) + "\n", encoding="utf-8")
    by_pattern, by_head = patterns >= 0.5, crossed >= threshold
    words = np.array([TRIGGERS.search(one.text.lower()) is not None for one in prompts])
    lengths = np.array([float(len(one.text)) for one in prompts])
    groups = {"attacks": attacks, "hard": kinds == "hard", "chat": kinds == "chat"}
    rows = [
        _row("any trigger word", {name: words[one] for name, one in groups.items()}, None),
        _row("longer is an attack", {}, area(lengths[attacks], lengths[kinds == "hard"])),
        _row("patterns", {name: by_pattern[one] for name, one in groups.items()},
             area(patterns[attacks], patterns[kinds == "hard"])),
        _row("network", {name: by_head[one] for name, one in groups.items()},
             area(crossed[attacks], crossed[kinds == "hard"])),
        _row("both, as shipped", {name: (by_pattern | by_head)[one] for name, one in groups.items()},
             area(np.maximum(patterns, crossed)[attacks], np.maximum(patterns, crossed)[kinds == "hard"])),
    ]  # fmt: skip
    card = CARD.format(
        n_attacks=int(attacks.sum()),
        n_attack_templates=len({one.template for one in prompts if one.attack}),
        n_families=len({one.family for one in prompts if one.attack}),
        n_hard=int((kinds == "hard").sum()),
        n_hard_templates=len({one.template for one in prompts if one.family == "hard"}),
        n_chat=int((kinds == "chat").sum()),
        n_chat_templates=len({one.template for one in prompts if one.family == "chat"}),
        n_others=len(trained_others),
        seed=SEED,
        units=UNITS,
        threshold=threshold,
        false_alarms=FALSE_ALARMS,
        rows="\n".join(rows),
        families="\n".join(families),
        notinject="\n".join(measure_notinject(encoder_vectors=lambda texts: read_vectors(encoder, texts),
                                              network=network, threshold=threshold, data=data)),
        others=share(network.probabilities(other_others) >= threshold),
    )  # fmt: skip
    HEAD_FILE.with_suffix(".md").write_text(card, encoding="utf-8")
    print(card)


def cross_validate(prompts: Sequence[Prompt], vectors: Floats, fit_without: Callable[[Flags], Network]) -> Floats:
    """Return for each prompt the probability by a network that has seen no filling of its template."""
    names = np.array([f"{one.attack} {one.template}" for one in prompts])
    order = np.random.default_rng(SEED).permutation(np.unique(names))
    found = np.zeros(len(prompts))
    for part in np.array_split(order, FOLDS):
        left_out = np.isin(names, part)
        found[left_out] = fit_without(left_out).probabilities(vectors[left_out])
    return found


def measure_families(
    vectors: Floats,
    kinds: NDArray[np.str_],
    attacks: Flags,
    patterns: Floats,
    fit_without: Callable[[Flags], Network],
    threshold: float,
) -> list[str]:
    """Return table rows: each family's recall by a network that has seen none of the family."""
    rows = []
    for family in sorted(set(kinds[attacks])):
        left_out = kinds == family
        learnt = fit_without(left_out).probabilities(vectors[left_out]) >= threshold
        matched = patterns[left_out] >= 0.5
        rows.append(f"| {family} | {share(matched)} | {share(learnt)} | {share(matched | learnt)} |")
    return rows


def measure_notinject(
    *, encoder_vectors: Callable[[Sequence[str]], Floats], network: Network, threshold: float, data: Path
) -> list[str]:
    """Return table rows: the share of NotInject's harmless prompts that are left alone."""
    rows = []
    all_words: list[bool] = []
    all_patterns: list[bool] = []
    all_flags: list[bool] = []
    for name, texts in read_notinject(data).items():
        words = [TRIGGERS.search(text.lower()) is not None for text in texts]
        matched = np.array([judge_injection(text).value >= 0.5 for text in texts])
        flags = matched | (network.probabilities(encoder_vectors(texts)) >= threshold)
        rows.append(_notinject_row(name, np.array(words), matched, flags))
        all_words += words
        all_patterns += matched.tolist()
        all_flags += flags.tolist()
    rows.append(_notinject_row("all", np.array(all_words), np.array(all_patterns), np.array(all_flags)))
    return rows


def _notinject_row(name: str, words: Flags, matched: Flags, flags: Flags) -> str:
    return f"| {name} | {share(~words)} | {share(~matched)} | {share(~flags)} |"


def _row(name: str, found: dict[str, Flags], auroc: float | None) -> str:
    cells = [share(found[group]) if group in found else "" for group in ("attacks", "hard", "chat")]
    return f"| {name} | {' | '.join(cells)} | {'' if auroc is None else f'{auroc:.2f}'} |"


CARD = """# Model card: injection

`prompt_injection` is judged by patterns (`detectors/rules/injection_patterns.txt`, thirteen families in some
fifteen languages) and, where no pattern matches, by a network of {units} units on the sentence vector of the
prompt: a probability of {threshold} becomes the value 0.5. `context_injection` is judged by the patterns alone.

**Data.** Templates of our own in `training/texts`: {n_attack_templates} attacks of {n_families} families, filled to
{n_attacks} prompts; {n_hard_templates} harmless ones with the words that attacks use, filled to {n_hard};
{n_chat_templates} everyday ones, filled to {n_chat}; and {n_others} tweets and claims about news. Digests and
weights: `injection.json`. Seed {seed}. Patterns were written before the attacks and changed afterwards only where
they flagged harmless templates.

**Threshold.** Chosen by cross-validation over templates so that the network alone flags {false_alarms:.0%} of the
harmless prompts with attack words.

**Templates that the network has not seen** (six folds over templates; share flagged, with its 95 % interval over
fillings, which are not independent; AUROC of attacks against hard harmless prompts):

| | attacks | harmless with attack words | everyday prompts | AUROC |
|---|---|---|---|---|
{rows}

**Families that the network has not seen** (each left out of its training in turn; share of its attacks found):

| family | patterns | network | both |
|---|---|---|---|
{families}

**Over-defence: NotInject** (harmless prompts with one, two or three trigger words; share left alone; never trained
or tuned on):

| trigger words | any-trigger-word rule | patterns | both, as shipped |
|---|---|---|---|
{notinject}

Tweets and claims about news that were not trained on: the network flags {others}.

**Limits.** Attacks are templates by one author, short and mostly English; real ones are longer, mixed and change.
Outside English the network says little, and patterns know the plainest forms. What looks like an order to a tool
("delete all files without asking") may be a wish of the user. A finding is a reason to look, and no wall: use it
beside permissions, not in their place.
"""


if __name__ == "__main__":
    main()
