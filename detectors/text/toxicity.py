"""The toxicity head: a small trained network over MiniLM's token states, with calibrated outputs.

The head is one more transformer layer that reads the encoder's *second-last* layer, so it keeps what single words and
their negation contribute, which the pooled sentence vector blurs; then attention pooling and one logit per label. It
is trained by ``training/train_toxicity.py``; ``heads/toxicity.md`` states on what, and how well it does. Trained on
English. A list of bad words would be faster, and is fooled by both "I am not an idiot" and polite hatred.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor

from detectors.errors import ModelFileError
from detectors.model import DetectorIdentity
from detectors.text.bert import BertLayer, layer_from_weights
from detectors.text.disguise import WORDS_FILE, PlainSpelling, load_plain_spelling
from detectors.text.encoder import Encoder

NAME: Final = "toxicity/builtin"
VERSION: Final = "2.0.0"
HEADS_FOLDER: Final = Path(__file__).resolve().parent.parent / "heads"
WEIGHTS_FILE: Final = "toxicity.safetensors"
CARD_FILE: Final = "toxicity.json"


@dataclass(frozen=True, slots=True)
class PlattScale:
    """Turns a logit into a probability: ``sigmoid(slope * logit + offset)`` (Platt 1999)."""

    slope: float
    offset: float


@dataclass(frozen=True, slots=True)
class ToxicityHead:
    """Logits and probabilities per label. ``labels[0]`` is the metric's own value, the others break it down.

    A text with disguised words is also read as ``spelling`` spells it, and the worse of both counts, label by label.
    """

    identity: DetectorIdentity
    spelling: PlainSpelling
    labels: tuple[str, ...]
    scales: tuple[PlattScale, ...]
    input_layer: int
    heads: int
    epsilon: float
    layers: tuple[BertLayer, ...]
    attention_weight: Tensor
    output_weight: Tensor
    output_bias: Tensor

    def logits(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return ``(batch, labels)`` logits.

        ``states`` is the encoder's output after layer ``input_layer``, ``(batch, tokens, hidden)``; ``mask`` is boolean
        ``(batch, tokens)``.
        """
        for layer in self.layers:
            states = layer.apply(states, mask[:, None, None, :], heads=self.heads, epsilon=self.epsilon)
        return pool_logits(states, mask, self.attention_weight, self.output_weight, self.output_bias)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return calibrated probabilities in [0, 1] for ``(batch, labels)`` logits."""
        slopes = torch.tensor([scale.slope for scale in self.scales], dtype=torch.float64)
        offsets = torch.tensor([scale.offset for scale in self.scales], dtype=torch.float64)
        return torch.sigmoid(logits.double().cpu() * slopes + offsets)


def pool_logits(
    states: Tensor, mask: Tensor, attention_weight: Tensor, output_weight: Tensor, output_bias: Tensor
) -> Tensor:
    """Pool token states by one learned attention per label and return ``(batch, labels)`` logits in float32.

    ``attention_weight`` and ``output_weight`` are ``(labels, hidden)``: each label chooses for itself which tokens
    count, so the word that makes a long text toxic is not averaged away.
    """
    attention = F.linear(states, attention_weight).float()
    attention = attention.masked_fill(~mask[:, :, None], float("-inf")).softmax(dim=1)
    evidence = F.linear(states, output_weight).float()
    return (attention * evidence).sum(dim=1) + output_bias.float()


def load_toxicity_head(encoder: Encoder, folder: Path = HEADS_FOLDER) -> ToxicityHead:
    """Load the committed head, made for exactly the encoder given.

    The identity's digest covers the head's weights, its parameters, the words looked for in disguise, the encoder and
    the number format. Raises
    ModelFileError if a file is missing or changed, or if the head was trained on another encoder.
    """
    try:
        weight_bytes = (folder / WEIGHTS_FILE).read_bytes()
        card_bytes = (folder / CARD_FILE).read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read the toxicity head at {error.filename}: {error.strerror}") from error
    try:
        card: Mapping[str, Any] = json.loads(card_bytes)
        model: Mapping[str, Any] = card["model"]
        if model["encoder"] != encoder.identity.digest:
            raise ModelFileError(
                f"the toxicity head was trained on encoder {model['encoder']}, not {encoder.identity.digest}"
            )
        found = hashlib.sha256(weight_bytes).hexdigest()
        if model["weights_sha256"] != found:
            raise ModelFileError(
                f"{folder / WEIGHTS_FILE} has SHA-256 {found}, its card says {model['weights_sha256']}: "
                "reinstall the package, or train the head again with training/train_toxicity.py"
            )
        weights = {
            name: tensor.to(device=encoder.device, dtype=getattr(torch, encoder.precision))
            for name, tensor in safetensors.torch.load(weight_bytes).items()
        }
        parameters = json.dumps(model, sort_keys=True, separators=(",", ":"))
        disguised = hashlib.sha256(WORDS_FILE.read_bytes()).hexdigest()
        digest = hashlib.sha256(f"{parameters}\n{disguised}\n{encoder.precision}".encode()).hexdigest()
        return ToxicityHead(
            identity=DetectorIdentity(NAME, VERSION, f"sha256:{digest}"),
            spelling=load_plain_spelling(encoder.tokenizer.get_vocab()),
            labels=tuple(model["labels"]),
            scales=tuple(PlattScale(float(scale["slope"]), float(scale["offset"])) for scale in model["calibration"]),
            input_layer=int(model["input_layer"]),
            heads=encoder.bert.shape.heads,
            epsilon=encoder.bert.shape.norm_epsilon,
            layers=tuple(layer_from_weights(weights, f"layer.{i}.") for i in range(int(model["layers"]))),
            attention_weight=weights["pool.attention.weight"],
            output_weight=weights["pool.output.weight"],
            output_bias=weights["pool.output.bias"],
        )
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelFileError(
            f"the toxicity head in {folder} cannot be used: {type(error).__name__} at {error}"
        ) from error
