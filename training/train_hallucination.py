"""Makes the hallucination detector: trains the reader, fits the weights that combine it with lexical support, measures.

    python -m training.train_hallucination --data ../shared/data

Writes ``detectors/heads/hallucination.safetensors``, ``.json`` and ``.md`` and the reliability diagram in
``docs/images``. Everything is seeded. ``--keep-reader`` takes the committed reader, and fits and measures again.

What is chosen is chosen on source documents held out from the training sets and on WiCE's dev claims. WiCE's test sets
and the chat-style cases are only reported.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch

from detectors.model import DetectorIdentity
from detectors.text.encoder import WEIGHTS_FILE as ENCODER_WEIGHTS
from detectors.text.encoder import Encoder, load_encoder, locate_encoder
from detectors.text.evidence import SENTENCE_FEATURES, WORD_FEATURES
from detectors.text.grounding import WEIGHTS_FILE, GroundingHead, build_grounding_head, quantise
from detectors.text.hallucination import HEADS_FOLDER, PARAMETERS_FILE, HallucinationDetector, Logistic
from training.grounding_corpus import build_corpus, build_second_corpus, split_by_group
from training.grounding_network import GroundingNetwork, Recipe, cache_states, prepare, train
from training.hallucination_candidates import SHIPPED, Measured, fit_candidates, measure
from training.hallucination_card import render_card
from training.hallucination_figures import measure_all
from training.hallucination_fits import token_values, words_of
from training.reliability_diagram import draw_reliability
from training.support_examples import (
    CG2C,
    WICE_CLAIMS,
    WICE_TOKENS,
    Example,
    load_token_claims,
    load_wice_claims,
)

REPOSITORY: Final = Path(__file__).resolve().parent.parent
HELD_SHARE: Final = 0.07
SPLIT_SEED: Final = 1
IMAGE: Final = "hallucination-reliability.svg"
DATA_FILES: Final = (CG2C, *WICE_TOKENS.values(), *WICE_CLAIMS.values())
OWN_FILES: Final = (
    "training/support_frames.txt",
    "training/support_frames_2.txt",
    "training/support_cases.txt",
    "training/word_pairs.py",
    "detectors/text/opposites.py",
)


@dataclass(frozen=True, slots=True)
class FitSets:
    """What the combining weights are fitted on: documents the reader hasn't seen, by kind."""

    news: Measured
    contrasts: Measured
    chats: Measured
    wice_claims: Measured
    wice_tokens: Measured


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the training: its examples, how long and how fast, and the generator that it goes on drawing from."""

    corpus: Sequence[Example]
    epochs: int
    learning_rate: float
    seed: int
    rng: np.random.Generator


def plan_stages(data: Path, recipe: Recipe) -> list[Stage]:
    """Return the two stages. Each draws from a generator of its own, so one can be done again without the other."""
    rng = np.random.default_rng(recipe.seed)
    first = Stage(build_corpus(data, rng), recipe.epochs, recipe.learning_rate, recipe.seed, rng)
    rng = np.random.default_rng(recipe.seed + 1)
    corpus = build_second_corpus(first.corpus, rng)
    return [first, Stage(corpus, recipe.second_epochs, recipe.second_learning_rate, recipe.seed + 1, rng)]


def train_reader(encoder: Encoder, stages: Sequence[Stage], recipe: Recipe) -> bytes:
    """Train without the held-out documents and return the weights as a safetensors file."""
    weights = safetensors.torch.load_file(str(locate_encoder() / ENCODER_WEIGHTS))
    torch.manual_seed(recipe.seed)
    network = GroundingNetwork(encoder, weights, recipe)
    unseen = held_groups([example for stage in stages for example in stage.corpus])
    for stage in stages:
        prepared = [
            one
            for one, example in zip(prepare(encoder, stage.corpus, recipe, stage.rng), stage.corpus, strict=True)
            if example.group not in unseen
        ]
        states = cache_states(encoder, [one.pair for one in prepared], recipe.input_layer)
        print(f"{len(prepared)} examples, {sum(map(len, states))} tokens", flush=True)
        if stage is not stages[0]:
            torch.manual_seed(stage.seed)
        train(network, states, prepared, stage.rng, _tell, epochs=stage.epochs, learning_rate=stage.learning_rate)
    return safetensors.torch.save(quantise(network.named()))


def _tell(epoch: int, loss: float) -> None:
    print(f"epoch {epoch + 1}: loss {loss:.4f}", flush=True)


def held_groups(corpus: Sequence[Example]) -> set[str]:
    """Return the source documents that the reader never sees."""
    _, held = split_by_group(corpus, HELD_SHARE, np.random.default_rng(SPLIT_SEED))
    return {corpus[index].group for index in held}


def measure_fit_sets(encoder: Encoder, reader: GroundingHead, corpus: Sequence[Example], data: Path) -> FitSets:
    """Compute the features of everything that weights are fitted on."""
    held = held_groups(corpus)
    unseen = [example for example in corpus if example.group in held]
    return FitSets(
        measure([one for one in unseen if one.unsupported is None], encoder, reader),
        measure([one for one in unseen if one.unsupported is not None and one.origin != "frames"], encoder, reader),
        measure([one for one in unseen if one.origin == "frames"], encoder, reader),
        measure(one_chunk_each(load_wice_claims(data, "dev")), encoder, reader),
        measure([claim.example for claim in load_token_claims(data, "dev")], encoder, reader),
    )


def one_chunk_each(examples: Sequence[Example]) -> list[Example]:
    """Return each claim once; WiCE gives it several chunks of evidence, which say nearly the same."""
    return list({example.text: example for example in examples}.values())


def choose_word_threshold(model: Logistic, sets: FitSets, data: Path) -> float:
    """Return the word value that gives the best F1 over the tokens of WiCE's dev claims."""
    claims = load_token_claims(data, "dev")
    truth = np.array([flag for claim in claims for _, _, flag in claim.tokens])
    values = np.concatenate(
        [
            token_values(
                claim, [(word.start, word.end, model.probability(word.features)) for word in words_of(sentences)]
            )
            for claim, sentences in zip(claims, sets.wice_tokens.evidence, strict=True)
        ]
    )

    def f1(threshold: float) -> float:
        flagged = values >= threshold
        return float(2 * (flagged & truth).sum() / max(flagged.sum() + truth.sum(), 1))

    return max((round(step, 2) for step in np.arange(0.1, 0.91, 0.02)), key=f1)


def trimmed(model: Logistic, features: Sequence[str]) -> Logistic:
    """Return the model over the detector's own features; the candidates' further columns have no weight in it."""
    return Logistic(model.weights[: len(features)], model.offset)


def named(model: Logistic, features: Sequence[str]) -> dict[str, Any]:
    """Return a model as it stands in the parameter file."""
    return {"weights": dict(zip(features, model.weights, strict=True)), "offset": model.offset}


def main() -> None:
    """Train, fit, measure, and write weights, parameters, card and diagram; prints the main figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the training data")
    parser.add_argument("--out", type=Path, default=HEADS_FOLDER, help="where weights, parameters and card are written")
    parser.add_argument("--images", type=Path, default=Path("docs/images"), help="where the diagram is written")
    parser.add_argument("--keep-reader", action="store_true", help="take the reader's weights from --out as they are")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe()
    encoder = load_encoder()
    stages = plan_stages(arguments.data, recipe)
    corpus = list(dict.fromkeys(example for stage in stages for example in stage.corpus))
    path = arguments.out / WEIGHTS_FILE
    if not arguments.keep_reader:
        path.write_bytes(train_reader(encoder, stages, recipe))
    content = path.read_bytes()
    reader = build_grounding_head(encoder, content, recipe.input_layer, recipe.layers)
    sets = measure_fit_sets(encoder, reader, corpus, arguments.data)
    candidates = fit_candidates(
        [sets.news.claims(), sets.contrasts.claims(), sets.chats.claims(), sets.wice_claims.claims()],
        [sets.contrasts.words(), sets.chats.words(), sets.wice_tokens.words()],
    )
    claim_model, word_model = candidates[SHIPPED]
    sentence, word = trimmed(claim_model, SENTENCE_FEATURES), trimmed(word_model, WORD_FEATURES)
    threshold = choose_word_threshold(word, sets, arguments.data)
    identity = DetectorIdentity("unfinished", "0", "sha256:" + "0" * 64)
    detector = HallucinationDetector(identity, reader, sentence, word, threshold)
    figures, diagram = measure_all(detector, candidates, arguments.data, sets.wice_claims, sets.wice_tokens)
    card: Mapping[str, Any] = {
        "model": {
            "sentence": named(sentence, SENTENCE_FEATURES),
            "word": named(word, WORD_FEATURES),
            "word_threshold": threshold,
            "reader": {
                "input_layer": recipe.input_layer,
                "layers": recipe.layers,
                "encoder": encoder.identity.digest,
                "weights_sha256": hashlib.sha256(content).hexdigest(),
            },
        },
        "figures": figures,
        "recipe": asdict(recipe) | {"held_share": HELD_SHARE, "examples": len(corpus)},
        "data_sha256": {name: hashlib.sha256((arguments.data / name).read_bytes()).hexdigest() for name in DATA_FILES},
        "own_texts_sha256": {name: hashlib.sha256((REPOSITORY / name).read_bytes()).hexdigest() for name in OWN_FILES},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }
    (arguments.out / PARAMETERS_FILE).write_text(json.dumps(card, indent=1) + "\n")
    (arguments.out / "hallucination.md").write_text(render_card(card))
    arguments.images.mkdir(parents=True, exist_ok=True)
    (arguments.images / IMAGE).write_text(draw_reliability("Hallucination: score and outcome", diagram))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
