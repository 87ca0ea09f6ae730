"""The trainable form of the toxicity head: cached encoder states in, logits out, weights in checkpoint form.

The encoder is frozen, so its states are computed once and the head alone is trained. The network itself is the one
that runs in production (``detectors.text.bert``, ``detectors.text.toxicity``), fed with parameters instead of loaded
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.batching.plan import plan_batches
from detectors.text.bert import BertEncoder, layer_from_weights
from detectors.text.encoder import Encoder
from detectors.text.reading import pad_windows
from detectors.text.toxicity import pool_logits
from training.toxicity_sets import LABELS

BATCH_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the outcome of a training run, besides data and code."""

    seed: int = 7
    input_layer: int = 4
    layers: int = 1
    epochs: int = 3
    learning_rate: float = 3e-4
    pool_learning_rate: float = 3e-3
    weight_decay: float = 0.02
    dropout: float = 0.15
    batch_tokens: int = 2048
    max_tokens: int = 254
    labels: tuple[str, ...] = LABELS
    # The metrics are labels one and two; the others must not cost them anything.
    label_weights: tuple[float, ...] = (1.0, 1.0, 0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class CachedStates:
    """Encoder states of each text, float16 ``(tokens, hidden)``, and the pooled unit vectors ``(texts, hidden)``."""

    states: list[Tensor]
    pooled: npt.NDArray[np.float32]


def cache_states(encoder: Encoder, texts: Sequence[str], recipe: Recipe) -> CachedStates:
    """Run the frozen encoder over the first ``max_tokens`` tokens of each text."""
    windows = [tokenised.ids[: recipe.max_tokens] for tokenised in encoder.tokenise(texts)]
    states: list[Tensor] = [torch.empty(0)] * len(texts)
    pooled = np.zeros((len(texts), encoder.dim), dtype=np.float32)
    for batch in plan_batches([len(window) for window in windows], BATCH_TOKENS):
        ids, mask = pad_windows([windows[index] for index in batch])
        with torch.inference_mode():
            outputs = encoder.bert.states(ids, mask)
            means = (outputs[-1].float() * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
            vectors = F.normalize(means, dim=1).numpy()
        for row, index in enumerate(batch):
            count = int(mask[row].sum())
            states[index] = outputs[recipe.input_layer][row, :count].to(torch.float16).clone()
            pooled[index] = vectors[row]
    return CachedStates(states, pooled)


def pad_states(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return ``(batch, tokens, hidden)`` float32 and its boolean mask."""
    padded = nn.utils.rnn.pad_sequence([state.float() for state in states], batch_first=True)
    lengths = torch.tensor([len(state) for state in states])
    return padded, torch.arange(padded.shape[1])[None, :] < lengths[:, None]


class HeadNetwork(nn.Module):
    """Copies of the encoder's upper layers, to be tuned, and the pooling."""

    def __init__(self, encoder: BertEncoder, weights: dict[str, Tensor], recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.heads = encoder.shape.heads
        self.epsilon = encoder.shape.norm_epsilon
        self.names: list[str] = []
        self.tensors = nn.ParameterList()
        for index in range(recipe.layers):
            source = f"encoder.layer.{recipe.input_layer + index}."
            for name, tensor in weights.items():
                if name.startswith(source):
                    self._add(f"layer.{index}.{name.removeprefix(source)}", tensor.float().clone())
        labels, hidden = len(recipe.labels), encoder.shape.hidden
        self._add("pool.attention.weight", torch.randn(labels, hidden) * 0.02)
        self._add("pool.output.weight", torch.randn(labels, hidden) * 0.02)
        self._add("pool.output.bias", torch.zeros(labels))

    def _add(self, name: str, tensor: Tensor) -> None:
        self.names.append(name)
        self.tensors.append(nn.Parameter(tensor))

    def named(self) -> dict[str, Tensor]:
        """Return all weights under their checkpoint names."""
        return dict(zip(self.names, self.tensors, strict=True))

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        named = self.named()
        states = F.dropout(states, self.recipe.dropout, self.training)
        for index in range(self.recipe.layers):
            layer = layer_from_weights(named, f"layer.{index}.")
            states = layer.apply(states, mask[:, None, None, :], heads=self.heads, epsilon=self.epsilon)
        states = F.dropout(states, self.recipe.dropout, self.training)
        return pool_logits(
            states, mask, named["pool.attention.weight"], named["pool.output.weight"], named["pool.output.bias"]
        )


def train(
    network: HeadNetwork, states: Sequence[Tensor], targets: Tensor, weights: Tensor, rng: np.random.Generator
) -> None:
    """Fit the network. ``targets`` is ``(texts, labels)`` with -1 where unknown, ``weights`` is ``(texts,)``."""
    recipe = network.recipe
    pool = [tensor for name, tensor in network.named().items() if name.startswith("pool.")]
    layers = [tensor for name, tensor in network.named().items() if not name.startswith("pool.")]
    optimizer = torch.optim.AdamW(
        [{"params": layers, "lr": recipe.learning_rate}, {"params": pool, "lr": recipe.pool_learning_rate}],
        weight_decay=recipe.weight_decay,
    )
    lengths = [len(state) for state in states]
    plan = plan_batches(lengths, recipe.batch_tokens)
    total = len(plan) * recipe.epochs + recipe.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [recipe.learning_rate, recipe.pool_learning_rate], total_steps=total, pct_start=0.1
    )
    label_weights = torch.tensor(recipe.label_weights)
    network.train()
    step = 0
    for _ in range(recipe.epochs):
        # Batches hold texts of similar length; jitter makes their company change from epoch to epoch.
        jittered = [round(length * float(rng.uniform(0.8, 1.25))) + 1 for length in lengths]
        batches = plan_batches(jittered, recipe.batch_tokens)
        for position in rng.permutation(len(batches)):
            batch = batches[position]
            padded, mask = pad_states([states[index] for index in batch])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = network(padded, mask)
            known = targets[batch] >= 0
            losses = F.binary_cross_entropy_with_logits(logits, targets[batch].clamp(min=0), reduction="none")
            importance = known * weights[batch][:, None] * label_weights
            loss = (losses * importance).sum() / importance.sum().clamp(min=1.0)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            if step < total - 1:
                schedule.step()
            step += 1
    network.eval()


def predict(network: HeadNetwork, states: Sequence[Tensor]) -> npt.NDArray[np.float64]:
    """Return ``(texts, labels)`` logits."""
    logits = np.zeros((len(states), len(network.recipe.labels)))
    with torch.inference_mode():
        for batch in plan_batches([len(state) for state in states], BATCH_TOKENS):
            padded, mask = pad_states([states[index] for index in batch])
            logits[batch] = network(padded, mask).numpy()
    return logits
