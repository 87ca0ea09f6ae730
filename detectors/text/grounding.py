"""The trained half of the hallucination detector: reads evidence and response together and judges every token.

The packaged MiniLM encoder runs over ``[CLS] response [SEP] evidence [SEP]``; its lower layers are frozen, the layers
of this head are copies of its next ones, tuned on contrasts (``training/train_hallucination.py``). What word overlap
cannot see is its work: turned negations, opposites, exchanged roles, a right figure for the wrong thing, paraphrase.
The response comes first, so that the last layer, of which only the response's tokens are wanted, computes only those.
Weights are kept as int8 with one scale a row, which halves the file and moves scores in the third decimal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor

from detectors.batching.plan import padded_length, plan_batches
from detectors.errors import ModelFileError
from detectors.text.bert import PAD_ID, BertLayer, layer_from_weights
from detectors.text.encoder import CLS_ID, SEP_ID, Encoder

WEIGHTS_FILE: Final = "hallucination.safetensors"
CARD_FILE: Final = "hallucination.json"
SPECIAL_TOKENS: Final = 3
OUTPUTS: Final = 3  # of the tuned layers, per token: unsupported, attention, verdict
# Late interaction in the same pass: how far a token is from the nearest token of the evidence, after these layers.
DISTANCE_LAYERS: Final = (1, 3)
COLUMNS: Final = OUTPUTS + len(DISTANCE_LAYERS)
# Measured on two cores: larger batches outgrow the processor's cache.
MAX_BATCH_TOKENS: Final = 2048
_LENGTH_STEP: Final = 4
SCALE: Final = ".scale"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pair:
    """Token ids of evidence and response, without special tokens."""

    evidence: Sequence[int]
    response: Sequence[int]

    def __len__(self) -> int:
        return len(self.evidence) + len(self.response) + SPECIAL_TOKENS


@dataclass(frozen=True, slots=True)
class GroundingHead:
    """Tuned upper layers and three numbers for each response token.

    ``layers`` continue after the encoder's layer ``input_layer``; ``segment`` marks response tokens.
    """

    encoder: Encoder
    input_layer: int
    layers: tuple[BertLayer, ...]
    segment: Tensor
    output_weight: Tensor
    output_bias: Tensor

    def read(self, pairs: Sequence[Pair]) -> list[Floats]:
        """Return, for each pair in order, ``(response tokens, COLUMNS)`` float32: ``OUTPUTS``, then distances.

        A distance is one less the largest cosine, in [0, 2]; 1 without evidence (Khattab & Zaharia 2020, ColBERT, arXiv
        2004.12832, whose score this is, before its sum).

        Pairs run in padded batches of similar length. Raises ArithmeticError if a number is not finite.
        """
        answers: list[Floats] = [np.empty((0, COLUMNS), np.float32)] * len(pairs)
        for batch in plan_batches([len(pair) for pair in pairs], MAX_BATCH_TOKENS, _LENGTH_STEP):
            ids, mask, of_response = pad_pairs([pairs[index] for index in batch])
            device = self.encoder.device
            with torch.inference_mode():
                states = self.encoder.bert.states(ids.to(device), mask.to(device), upto=self.input_layer)
                outputs = self.outputs(states[-1], mask.to(device), of_response.to(device)).float().cpu().numpy()
                layers = [F.normalize(states[layer].float(), dim=-1) for layer in DISTANCE_LAYERS]
                for row, index in enumerate(batch):
                    told = len(pairs[index].response)
                    distances = [_distances(layer[row], pairs[index]) for layer in layers]
                    answers[index] = np.concatenate([outputs[row, :told], np.stack(distances, axis=1)], axis=1)
        if not all(np.isfinite(answer).all() for answer in answers):
            raise ArithmeticError("the hallucination head returned a number that is not finite")
        return answers

    def outputs(self, states: Tensor, mask: Tensor, of_response: Tensor) -> Tensor:
        """Return ``(batch, longest response, 3)``; ``states`` is the encoder's output after ``input_layer``."""
        shape = self.encoder.bert.shape
        return token_outputs(
            states,
            mask,
            of_response,
            self.layers,
            self.segment,
            (self.output_weight, self.output_bias),
            heads=shape.heads,
            epsilon=shape.norm_epsilon,
        )


def _distances(units: Tensor, pair: Pair) -> Floats:
    """Return how far each response token of one pair is from its nearest evidence token; ``units`` have length 1."""
    told, shown = len(pair.response), len(pair.evidence)
    if not told or not shown:
        return np.ones(told, np.float32)
    similarity = units[1 : 1 + told] @ units[2 + told : 2 + told + shown].T
    return np.asarray((1.0 - similarity.amax(dim=1)).cpu().numpy(), dtype=np.float32)


def token_outputs(
    states: Tensor,
    mask: Tensor,
    of_response: Tensor,
    layers: Sequence[BertLayer],
    segment: Tensor,
    output: tuple[Tensor, Tensor],
    *,
    heads: int,
    epsilon: float,
) -> Tensor:
    """Run the tuned layers and return ``(batch, longest response, 3)``; used alike in training and in production."""
    states = states + of_response[:, :, None].to(states.dtype) * segment
    attention_mask = mask[:, None, None, :]
    for layer in layers[:-1]:
        states = layer.apply(states, attention_mask, heads=heads, epsilon=epsilon)
    longest = 1 + int(of_response.sum(dim=1).max())
    states = layers[-1].apply(states, attention_mask, heads=heads, epsilon=epsilon, first=longest)
    return F.linear(states[:, 1:], *output)


def pad_pairs(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids int64, mask bool and response mask bool, each ``(pairs, tokens)``, padded on the right."""
    width = padded_length(max(len(pair) for pair in pairs), _LENGTH_STEP)
    ids = torch.full((len(pairs), width), PAD_ID, dtype=torch.int64)
    mask = torch.zeros((len(pairs), width), dtype=torch.bool)
    of_response = torch.zeros((len(pairs), width), dtype=torch.bool)
    for row, pair in enumerate(pairs):
        filled = [CLS_ID, *pair.response, SEP_ID, *pair.evidence, SEP_ID]
        ids[row, : len(filled)] = torch.tensor(filled, dtype=torch.int64)
        mask[row, : len(filled)] = True
        of_response[row, 1 : 1 + len(pair.response)] = True
    return ids, mask, of_response


def pool_verdict(outputs: Floats) -> float:
    """Return the logit that a stretch of tokens is unsupported: its verdicts, weighed by a learned attention."""
    attention = np.exp(outputs[:, 1].astype(np.float64) - float(outputs[:, 1].max()))
    return float((attention * outputs[:, 2]).sum() / attention.sum())


def quantise(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return matrices as int8 with one float32 scale a row, vectors as float32."""
    stored: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if tensor.dim() < 2:
            stored[name] = tensor.detach().float().contiguous()
            continue
        scale = tensor.detach().float().abs().amax(dim=1).clamp(min=1e-8) / 127.0
        stored[name] = (tensor.detach().float() / scale[:, None]).round().clamp(-127, 127).to(torch.int8).contiguous()
        stored[name + SCALE] = scale
    return stored


def dequantise(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that ``quantise`` stored, in float32."""
    return {
        name: tensor.float() * stored[name + SCALE][:, None] if tensor.dtype == torch.int8 else tensor
        for name, tensor in stored.items()
        if not name.endswith(SCALE)
    }


def load_grounding_head(encoder: Encoder, folder: Path) -> GroundingHead:
    """Load the committed head, made for exactly the encoder given; raises ModelFileError if it does not fit."""
    path = folder / WEIGHTS_FILE
    try:
        content = path.read_bytes()
        parameters: Mapping[str, Any] = json.loads((folder / CARD_FILE).read_bytes())["model"]["reader"]
        found = hashlib.sha256(content).hexdigest()
        if parameters["weights_sha256"] != found:
            raise ModelFileError(
                f"{path} has SHA-256 {found}, its card says {parameters['weights_sha256']}: reinstall the package, or "
                "train again with training/train_hallucination.py"
            )
        if parameters["encoder"] != encoder.identity.digest:
            raise ModelFileError(
                f"{path} was trained on encoder {parameters['encoder']}, not {encoder.identity.digest}"
            )
        return build_grounding_head(encoder, content, int(parameters["input_layer"]), int(parameters["layers"]))
    except OSError as error:
        raise ModelFileError(f"cannot read {error.filename}: {error.strerror}; reinstall the package") from error
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelFileError(
            f"the hallucination head in {folder} cannot be used: {type(error).__name__} at {error}"
        ) from error


def build_grounding_head(encoder: Encoder, content: bytes, input_layer: int, layers: int) -> GroundingHead:
    """Return the head whose quantised weights are ``content``, a safetensors file."""
    weights = {
        name: tensor.to(device=encoder.device, dtype=getattr(torch, encoder.precision))
        for name, tensor in dequantise(safetensors.torch.load(content)).items()
    }
    return GroundingHead(
        encoder=encoder,
        input_layer=input_layer,
        layers=tuple(layer_from_weights(weights, f"layer.{index}.") for index in range(layers)),
        segment=weights["segment"],
        output_weight=weights["output.weight"],
        output_bias=weights["output.bias"],
    )
