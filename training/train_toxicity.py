"""Trains the toxicity head and writes its weights, its parameters and its card.

    python -m training.train_toxicity --data ../shared/data

Takes some thirteen minutes of processor time, half of that on two idle cores. The same seed, data and library
versions on the same kind of processor give the same weights; elsewhere rounding makes them differ a little, and the
card's figures hold for the committed file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch

from detectors.text.encoder import WEIGHTS_FILE as ENCODER_WEIGHTS_FILE
from detectors.text.encoder import Encoder, load_encoder, locate_encoder
from detectors.text.toxicity import CARD_FILE, HEADS_FOLDER, WEIGHTS_FILE
from training.head_network import CachedStates, HeadNetwork, Recipe, cache_states, predict, train
from training.measures import fit_platt
from training.toxicity_corpus import Sample, file_digests, hatecheck, load_corpus
from training.toxicity_report import Figures, measure, render_card

# Which share of the calibration set is to be attacks and abuse: the dev part is far richer in them than real traffic,
# but a probability needs some reference, and the card names this one.
POSITIVE_SHARE = 0.3


def calibrate(samples: list[Sample], logits: npt.NDArray[np.float64], recipe: Recipe) -> list[dict[str, float]]:
    """Fit a Platt scale per label on the dev part: classes weighted to ``POSITIVE_SHARE``, sources to equal shares."""
    sources = np.array([sample.source for sample in samples])
    scales = []
    for column, _ in enumerate(recipe.labels):
        truth = np.array([(sample.toxic, sample.attack)[column] for sample in samples])
        used = np.array([sample.part == "dev" for sample in samples]) & (truth >= 0)
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
    targets = torch.tensor([[samples[index].toxic, samples[index].attack] for index in chosen], dtype=torch.float32)
    importance = torch.tensor([samples[index].weight for index in chosen])
    train(network, [cached.states[index] for index in chosen], targets, importance, np.random.default_rng(recipe.seed))
    return network


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
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = Recipe()
    started = time.monotonic()
    samples = load_corpus(arguments.data, np.random.default_rng(recipe.seed))
    encoder = load_encoder(precision="bfloat16")
    cached = cache_states(encoder, [sample.text for sample in samples], recipe)
    print(f"{len(samples)} texts read in {time.monotonic() - started:.0f} s", flush=True)
    network = fit_head(encoder, samples, cached, recipe)
    print(f"trained after {time.monotonic() - started:.0f} s", flush=True)
    # Figures are those of the weights as stored, after rounding to float16.
    for tensor in network.tensors:
        tensor.data = tensor.data.to(torch.float16).float()
    logits = predict(network, cached.states)
    scales = calibrate(samples, logits, recipe)
    cases = hatecheck(arguments.data)
    held = cache_states(encoder, [case.text for case in cases], replace(recipe))
    figures: Figures = measure(
        samples, logits, cached.pooled, scales, cases, predict(network, held.states), held.pooled
    )
    card = {
        "figures": figures,
        "recipe": asdict(recipe) | {"positive_share": POSITIVE_SHARE},
        "data_sha256": file_digests(arguments.data),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "train_texts": sum(sample.part == "train" for sample in samples),
        "cpu_seconds": round(time.process_time()),
    }
    write_head(network, scales, encoder, card, arguments.out)
    (arguments.out / "toxicity.md").write_text(render_card(json.loads((arguments.out / CARD_FILE).read_text())))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
