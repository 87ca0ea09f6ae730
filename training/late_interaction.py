"""The late-interaction candidate: each response token against its most similar context token, encoder frozen.

ColBERT's scoring (Khattab & Zaharia 2020, arXiv 2004.12832) turned into features: one less the largest cosine, per
token, at a lower and an upper layer. It was measured beside the reader and is not shipped; the card says why.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.batching.plan import plan_batches
from detectors.text.encoder import Encoder
from detectors.text.evidence import PASSAGE_CHARACTERS
from detectors.text.reading import pad_windows
from training.grounding_network import evidence_for
from training.support_examples import Example

LAYERS: Final = (1, 5)
MOST_TOKENS: Final = 254
BATCH_TOKENS: Final = 4096
# BERT's vocabulary is sorted by frequency, so the place of a word piece says how rare it is.
FIRST_WORD_ID: Final = 1996
RARITY_SCALE: Final = 10.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Distances:
    """Per response token: ``(tokens, layers)`` distances, the rarity of each token in [0, 1], and its offsets."""

    values: Floats
    rarity: Floats
    offsets: tuple[tuple[int, int], ...]


def measure_distances(encoder: Encoder, examples: Sequence[Example]) -> list[Distances]:
    """Return how far each response token is from its nearest token of the chosen passages."""
    shown = encoder.tokenise([evidence_for(example, PASSAGE_CHARACTERS) for example in examples])
    told = encoder.tokenise([example.text for example in examples])
    contexts = _unit_states(encoder, [tokens.ids[:MOST_TOKENS] for tokens in shown])
    responses = _unit_states(encoder, [tokens.ids[:MOST_TOKENS] for tokens in told])
    found = []
    for context, response, tokens in zip(contexts, responses, told, strict=True):
        ids = np.array(tokens.ids[:MOST_TOKENS], dtype=np.float64)
        rarity = np.log1p(np.maximum(ids - FIRST_WORD_ID, 0.0)) / RARITY_SCALE
        if context.shape[1] == 0 or response.shape[1] == 0:
            values = np.ones((len(ids), len(LAYERS)))
        else:
            values = 1.0 - (response @ context.transpose(1, 2)).amax(dim=2).T.numpy().astype(np.float64)
        found.append(Distances(values, rarity, tokens.offsets[:MOST_TOKENS]))
    return found


def _unit_states(encoder: Encoder, texts: Sequence[Sequence[int]]) -> list[Tensor]:
    states: list[Tensor] = [torch.empty(len(LAYERS), 0, encoder.dim)] * len(texts)
    filled = [index for index, ids in enumerate(texts) if ids]
    for batch in plan_batches([len(texts[index]) for index in filled], BATCH_TOKENS):
        ids, mask = pad_windows([texts[filled[place]] for place in batch])
        with torch.inference_mode():
            outputs = encoder.bert.states(ids, mask, upto=max(LAYERS))
            units = torch.stack([F.normalize(outputs[layer].float(), dim=-1) for layer in LAYERS])
        for row, place in enumerate(batch):
            states[filled[place]] = units[:, row, 1 : 1 + len(texts[filled[place]])].clone()
    return states


def claim_features(distances: Distances) -> list[float]:
    """Return a claim's features: plain and rarity-weighed mean and the two largest distances, by layer."""
    if not len(distances.values):
        return [0.0] * (3 * len(LAYERS))
    weights = distances.rarity + 1e-6
    weighed = (weights[:, None] * distances.values).sum(axis=0) / weights.sum()
    worst = np.sort(distances.values, axis=0)[-2:].mean(axis=0)
    return [*distances.values.mean(axis=0), *weighed, *worst]


def token_features(distances: Distances, ranges: Sequence[tuple[int, int]]) -> list[list[float]]:
    """Return features of each range of the response: its distances, its neighbours' and its rarity."""
    starts = [start for start, _ in distances.offsets]
    own, rare = [], []
    for start, end in ranges:
        first = max(bisect_left(starts, start + 1) - 1, 0)
        last = max(bisect_left(starts, end), first + 1)
        inside = distances.values[first:last]
        own.append(inside.max(axis=0) if len(inside) else np.zeros(len(LAYERS)))
        rare.append(float(distances.rarity[first:last].max()) if len(inside) else 0.0)
    features = []
    for place, values in enumerate(own):
        beside = [own[other] for other in (place - 1, place + 1) if 0 <= other < len(own)]
        near = np.mean(beside, axis=0) if beside else values
        features.append([*values, *near, rare[place], *(values * rare[place])])
    return features
