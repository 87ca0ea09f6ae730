"""The trainable form of the hallucination head: cached encoder states of pairs in, three numbers a response token out.

The encoder's lower layers are frozen, so their states are computed once. The network itself is the one that runs in
production (``detectors.text.grounding``), fed with parameters instead of loaded weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.batching.plan import plan_batches
from detectors.text.bert import layer_from_weights
from detectors.text.encoder import Encoder, TokenisedText
from detectors.text.grounding import OUTPUTS, Pair, pad_pairs, token_outputs
from detectors.text.passages import choose_passages
from detectors.text.sentences import Sentence, split_sentences
from detectors.text.support import build_support
from detectors.text.words import content_words
from training.support_examples import Example

MOST_EVIDENCE_TOKENS = 220
MOST_RESPONSE_TOKENS = 160
BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the outcome of a training run, besides data and code."""

    seed: int = 11
    input_layer: int = 3
    layers: int = 2
    epochs: int = 3
    second_epochs: int = 2
    learning_rate: float = 2e-4
    second_learning_rate: float = 1e-4
    output_learning_factor: float = 10.0  # how much faster the outputs learn than the layers
    weight_decay: float = 0.02
    dropout: float = 0.1
    batch_tokens: int = 2048
    evidence_characters: tuple[int, ...] = (200, 300, 450)
    claim_weight: float = 1.0
    origin_weights: tuple[tuple[str, float], ...] = (("wice_tokens", 3.0), ("cg2c", 2.0))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pair with its targets: per response token 1, 0 or -1 (unknown), and segments ``(first, last, target)``."""

    pair: Pair
    token_targets: tuple[int, ...]
    segments: tuple[tuple[int, int, int], ...]
    weight: float


def evidence_for(example: Example, budget: int) -> str:
    """Return what the head is shown of an example's contexts."""
    support = build_support(example.contexts, None)
    sentences = split_sentences(example.text)
    words = [content_words(example.text, sentence.start, sentence.end) for sentence in sentences]
    return choose_passages(words, support, budget)


def prepare(encoder: Encoder, examples: Sequence[Example], recipe: Recipe, rng: np.random.Generator) -> list[Prepared]:
    """Choose evidence, tokenise and lay out the targets; evidence budgets vary from example to example."""
    budgets = [int(rng.choice(recipe.evidence_characters)) for _ in examples]
    evidence = [evidence_for(example, budget) for example, budget in zip(examples, budgets, strict=True)]
    shown = encoder.tokenise(evidence)
    told = encoder.tokenise([example.text for example in examples])
    weights = dict(recipe.origin_weights)
    return [
        _prepared(example, left, right, weights.get(example.origin, 1.0))
        for example, left, right in zip(examples, shown, told, strict=True)
    ]


def _prepared(example: Example, evidence: TokenisedText, response: TokenisedText, weight: float) -> Prepared:
    ids, offsets = response.ids[:MOST_RESPONSE_TOKENS], response.offsets[:MOST_RESPONSE_TOKENS]
    ranges = example.unsupported
    if ranges is None:
        targets = tuple(-1 for _ in ids) if example.is_unsupported else tuple(0 for _ in ids)
        sentences = [Sentence(example.text, 0, len(example.text))]
    else:
        targets = tuple(int(any(start < b and a < end for a, b in ranges)) for start, end in offsets)
        sentences = split_sentences(example.text)
    segments = []
    for sentence in sentences:
        inside = [i for i, (start, _) in enumerate(offsets) if sentence.start <= start < sentence.end]
        if inside:
            target = int(example.is_unsupported) if ranges is None else max(targets[i] for i in inside)
            segments.append((inside[0], inside[-1] + 1, target))
    return Prepared(Pair(evidence.ids[:MOST_EVIDENCE_TOKENS], ids), targets, tuple(segments), weight)


def cache_states(encoder: Encoder, pairs: Sequence[Pair], input_layer: int) -> list[Tensor]:
    """Return the frozen encoder's states of each pair after ``input_layer``, float16 ``(tokens, hidden)``."""
    states: list[Tensor] = [torch.empty(0)] * len(pairs)
    for batch in plan_batches([len(pair) for pair in pairs], BATCH_TOKENS):
        ids, mask, _ = pad_pairs([pairs[index] for index in batch])
        with torch.inference_mode():
            output = encoder.bert.states(ids, mask, upto=input_layer)[-1]
        for row, index in enumerate(batch):
            states[index] = output[row, : len(pairs[index])].to(torch.float16).clone()
    return states


class GroundingNetwork(nn.Module):
    """Copies of the encoder's next layers, to be tuned, the response marker and the outputs."""

    def __init__(self, encoder: Encoder, weights: Mapping[str, Tensor], recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.heads = encoder.bert.shape.heads
        self.epsilon = encoder.bert.shape.norm_epsilon
        self.names: list[str] = []
        self.tensors = nn.ParameterList()
        for index in range(recipe.layers):
            source = f"encoder.layer.{recipe.input_layer + index}."
            for name, tensor in weights.items():
                if name.startswith(source):
                    self._add(f"layer.{index}.{name.removeprefix(source)}", tensor.float().clone())
        hidden = encoder.bert.shape.hidden
        self._add("segment", torch.randn(hidden) * 0.02)
        self._add("output.weight", torch.randn(OUTPUTS, hidden) * 0.02)
        self._add("output.bias", torch.zeros(OUTPUTS))

    def _add(self, name: str, tensor: Tensor) -> None:
        self.names.append(name)
        self.tensors.append(nn.Parameter(tensor))

    def named(self) -> dict[str, Tensor]:
        """Return all weights under their checkpoint names."""
        return dict(zip(self.names, self.tensors, strict=True))

    def forward(self, states: Tensor, mask: Tensor, of_response: Tensor) -> Tensor:
        named = self.named()
        layers = [layer_from_weights(named, f"layer.{index}.") for index in range(self.recipe.layers)]
        states = F.dropout(states, self.recipe.dropout, self.training)
        return token_outputs(
            states,
            mask,
            of_response,
            layers,
            named["segment"],
            (named["output.weight"], named["output.bias"]),
            heads=self.heads,
            epsilon=self.epsilon,
        )


def _pad(states: Sequence[Tensor], pairs: Sequence[Pair]) -> tuple[Tensor, Tensor, Tensor]:
    _, mask, of_response = pad_pairs(pairs)
    padded = torch.zeros(len(pairs), mask.shape[1], states[0].shape[1])
    for row, state in enumerate(states):
        padded[row, : len(state)] = state.float()
    return padded, mask, of_response


def batch_loss(outputs: Tensor, batch: Sequence[Prepared], claim_weight: float) -> Tensor:
    """Return the mean of the tokens' and the segments' cross-entropy."""
    token_logits, token_targets, token_weights = [], [], []
    claim_logits, claim_targets, claim_weights = [], [], []
    for row, one in enumerate(batch):
        own = outputs[row, : len(one.pair.response)]
        targets = torch.tensor(one.token_targets, dtype=torch.float32)
        known = targets >= 0
        token_logits.append(own[known, 0])
        token_targets.append(targets[known])
        token_weights.append(torch.full((int(known.sum()),), one.weight))
        for first, last, target in one.segments:
            attention = own[first:last, 1].softmax(0)
            claim_logits.append((attention * own[first:last, 2]).sum())
            claim_targets.append(float(target))
            claim_weights.append(one.weight)
    weights = torch.cat(token_weights)
    tokens = F.binary_cross_entropy_with_logits(torch.cat(token_logits), torch.cat(token_targets), reduction="none")
    importance = torch.tensor(claim_weights)
    claims = F.binary_cross_entropy_with_logits(
        torch.stack(claim_logits), torch.tensor(claim_targets), reduction="none"
    )
    token_loss = (tokens * weights).sum() / weights.sum().clamp(min=1.0)
    return token_loss + claim_weight * (claims * importance).sum() / importance.sum()


def train(
    network: GroundingNetwork,
    states: Sequence[Tensor],
    examples: Sequence[Prepared],
    rng: np.random.Generator,
    after_epoch: Callable[[int, float], None],
    *,
    epochs: int,
    learning_rate: float,
) -> None:
    """Fit the network; ``after_epoch`` is told each epoch's number and mean loss."""
    recipe = network.recipe
    named = network.named()
    rates = [learning_rate, learning_rate * recipe.output_learning_factor]
    layers = [tensor for name, tensor in named.items() if name.startswith("layer.")]
    rest = [tensor for name, tensor in named.items() if not name.startswith("layer.")]
    optimizer = torch.optim.AdamW(
        [{"params": layers, "lr": rates[0]}, {"params": rest, "lr": rates[1]}],
        weight_decay=recipe.weight_decay,
    )
    lengths = [len(state) for state in states]
    total = (len(plan_batches(lengths, recipe.batch_tokens)) + 20) * epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=total, pct_start=0.1)
    step = 0
    for epoch in range(epochs):
        network.train()
        jittered = [round(length * float(rng.uniform(0.8, 1.25))) + 1 for length in lengths]
        batches = plan_batches(jittered, recipe.batch_tokens)
        losses = []
        for position in rng.permutation(len(batches)):
            batch = [examples[index] for index in batches[position]]
            padded = _pad([states[index] for index in batches[position]], [one.pair for one in batch])
            loss = batch_loss(network(*padded), batch, recipe.claim_weight)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            if step < total - 1:
                schedule.step()
            step += 1
            losses.append(float(loss.detach()))
        network.eval()
        after_epoch(epoch, float(np.mean(losses)))
    network.eval()
