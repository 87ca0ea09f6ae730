"""Trains the toxicity head and writes its weights, its parameters, its cards and its reliability diagram.

    python -m training.train_toxicity --data ../shared/data

Takes some six minutes of processor time. The same seed, data and library versions on the same kind of processor
give the same weights; elsewhere rounding makes them differ a little, and the card's figures hold for the committed
file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch

from detectors.text.disguise import WORDS_FILE, load_plain_spelling
from detectors.text.encoder import WEIGHTS_FILE as ENCODER_WEIGHTS_FILE
from detectors.text.encoder import Encoder, load_encoder, locate_encoder
from detectors.text.toxicity import CARD_FILE, HEADS_FOLDER, WEIGHTS_FILE
from training.head_network import CachedStates, HeadNetwork, Recipe, cache_states, predict, train
from training.measures import fit_platt
from training.reliability_diagram import draw_reliability
from training.toxicity_card import render_card
from training.toxicity_corpus import ANSWERS_FILE, CHAT_FILES, FRAMES_FILE, TEXTS, load_corpus
from training.toxicity_report import Scored, audit_identities, measure, reliability
from training.toxicity_sets import Sample, file_digests, hatecheck

IMAGE: Final = "toxicity-reliability.svg"
IMAGES_FOLDER: Final = Path(__file__).resolve().parent.parent / "docs/images"
# Which share of the calibration set is to be attacks and abuse: the dev part is far richer in them than real traffic,
# but a probability needs some reference, and the card names this one. At 30 %, polite answers to upset customers lay
# above 0.5.
POSITIVE_SHARE: Final = 0.2
# Sources that look like something people write; sentences that differ in one word would count for too much.
CALIBRATION_SOURCES: Final = ("wikipedia", "davidson", "toxigen", "chat", "chat_frames", "mixture", "prose")


def calibrate(samples: list[Sample], logits: npt.NDArray[np.float64], recipe: Recipe) -> list[dict[str, float]]:
    """Fit a Platt scale per label on the dev part: classes weighted to ``POSITIVE_SHARE``, sources to equal shares."""
    sources = np.array([sample.source for sample in samples])
    dev = np.array([sample.part == "dev" and sample.source in CALIBRATION_SOURCES for sample in samples])
    scales = []
    for column, _ in enumerate(recipe.labels):
        truth = np.array([sample.holds(column) for sample in samples])
        used = dev & (truth >= 0)
        positive, source = truth[used] == 1, sources[used]
        weights = np.zeros(positive.size)
        for chosen, share in ((positive, POSITIVE_SHARE), (~positive, 1 - POSITIVE_SHARE)):
            present = sorted(set(source[chosen]))
            for name in present:
                cell = chosen & (source == name)
                weights[cell] = share / len(present) / cell.sum()
        # The likelihood needs no particular scale, but the fit's convergence test likes sums near the number of texts.
        weights *= positive.size
        slope, offset = fit_platt(positive, logits[used, column], weights)
        scales.append({"slope": round(slope, 6), "offset": round(offset, 6)})
    return scales


def fit_head(encoder: Encoder, samples: list[Sample], cached: CachedStates, recipe: Recipe) -> HeadNetwork:
    """Return the head trained on the train part."""
    torch.manual_seed(recipe.seed)
    weights = safetensors.torch.load_file(locate_encoder() / ENCODER_WEIGHTS_FILE)
    network = HeadNetwork(encoder.bert, weights, recipe)
    chosen = [index for index, sample in enumerate(samples) if sample.part == "train"]
    targets = torch.tensor([samples[index].targets for index in chosen], dtype=torch.float32)
    importance = torch.tensor([samples[index].weight for index in chosen])
    train(network, [cached.states[index] for index in chosen], targets, importance, np.random.default_rng(recipe.seed))
    return network


def worst_logits(
    network: HeadNetwork, encoder: Encoder, texts: Sequence[str], states: Sequence[torch.Tensor]
) -> npt.NDArray[np.float64]:
    """Return ``(texts, labels)`` logits as the detector takes them: of the worse reading where words are disguised.

    Slopes of the calibration are positive, so the larger logit has the larger probability.
    """
    logits = predict(network, states)
    spelling = load_plain_spelling(encoder.tokenizer.get_vocab())
    readings = [spelling.spellings(text)[1:] for text in texts]
    disguised = [index for index, plain in enumerate(readings) if plain]
    if disguised:
        plain = cache_states(encoder, [readings[index][0] for index in disguised], network.recipe)
        logits[disguised] = np.maximum(logits[disguised], predict(network, plain.states))
    return logits


def probabilities(logits: npt.NDArray[np.float64], scales: list[dict[str, float]]) -> npt.NDArray[np.float64]:
    """Return calibrated probabilities, ``(texts, labels)``."""
    slopes, offsets = (np.array([scale[name] for scale in scales]) for name in ("slope", "offset"))
    return np.asarray(1.0 / (1.0 + np.exp(-(logits * slopes + offsets))))


def digest_own_texts() -> dict[str, str]:
    """Return the SHA-256 of the files of ours that decide what is learnt, read and measured."""
    files = (TEXTS / FRAMES_FILE, TEXTS / ANSWERS_FILE, *(TEXTS / name for name in CHAT_FILES.values()), WORDS_FILE)
    root = TEXTS.parent.parent
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_head(
    network: HeadNetwork, scales: list[dict[str, float]], encoder: Encoder, card: dict[str, Any], folder: Path
) -> None:
    """Write weights (float16) and the machine-readable card; ``card["model"]`` is what the detector loads."""
    weights = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in network.named().items()}
    content = safetensors.torch.save(weights)
    (folder / WEIGHTS_FILE).write_bytes(content)
    recipe = network.recipe
    model = {
        "encoder": encoder.identity.digest,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "labels": list(recipe.labels),
        "input_layer": recipe.input_layer,
        "layers": recipe.layers,
        "calibration": scales,
    }
    (folder / CARD_FILE).write_text(json.dumps({"model": model, **card}, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Train, measure and write the head with its cards; prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the training data")
    parser.add_argument("--out", type=Path, default=HEADS_FOLDER, help="where the head and its card are written")
    parser.add_argument("--images", type=Path, default=IMAGES_FOLDER, help="where the reliability diagram is written")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = Recipe()
    started = time.monotonic()
    samples = load_corpus(arguments.data, np.random.default_rng(recipe.seed))
    encoder = load_encoder(precision="bfloat16")
    texts = [sample.text for sample in samples]
    cached = cache_states(encoder, texts, recipe)
    print(f"{len(samples)} texts read in {time.monotonic() - started:.0f} s", flush=True)
    network = fit_head(encoder, samples, cached, recipe)
    print(f"trained after {time.monotonic() - started:.0f} s", flush=True)
    # Figures are those of the weights as stored, after rounding to float16.
    for tensor in network.tensors:
        tensor.data = tensor.data.to(torch.float16).float()
    # The texts of training decide neither calibration nor figures.
    held = [index for index, sample in enumerate(samples) if sample.part != "train"]
    logits = np.full((len(samples), len(recipe.labels)), np.nan)
    logits[held] = worst_logits(
        network, encoder, [texts[index] for index in held], [cached.states[index] for index in held]
    )
    scales = calibrate(samples, logits, recipe)
    scored = Scored(probabilities(logits, scales), cached.pooled)
    cases = hatecheck(arguments.data)
    case_texts = [case.text for case in cases]
    read = cache_states(encoder, case_texts, recipe)
    case_logits = worst_logits(network, encoder, case_texts, read.states)
    figures = measure(samples, scored, cases, Scored(probabilities(case_logits, scales), read.pooled))
    card = {
        "figures": figures,
        "identity_audit": audit_identities(samples, scored.probabilities),
        "recipe": asdict(recipe) | {"positive_share": POSITIVE_SHARE},
        "data_sha256": file_digests(arguments.data),
        "own_texts_sha256": digest_own_texts(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "train_texts": sum(sample.part == "train" for sample in samples),
        "cpu_minutes": round(time.process_time() / 60),
    }
    write_head(network, scales, encoder, card, arguments.out)
    (arguments.out / "toxicity.md").write_text(render_card(json.loads((arguments.out / CARD_FILE).read_text())))
    diagram = draw_reliability(
        "Toxicity: score and outcome", reliability(samples, scored.probabilities), outcome="true of the text"
    )
    (arguments.images / IMAGE).write_text(diagram)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
