"""A BERT encoder's forward pass in plain torch, for inference only.

Gives the numbers transformers' ``BertModel`` gives (compared in the tests), without importing transformers, which takes
three seconds more than torch alone (measured on 2 cores). Query, key and value weights are joined into one matrix
product. The attention is torch's fused one. Architecture: Devlin et al. 2019, arXiv 1810.04805.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.errors import ModelFileError

PAD_ID = 0


@dataclass(frozen=True, slots=True)
class BertShape:
    """The sizes that a checkpoint's ``config.json`` states."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    vocabulary: int
    norm_epsilon: float


@dataclass(frozen=True, slots=True)
class BertLayer:
    """Weights of one transformer layer: linear weights are ``(out, in)``, as in the checkpoint."""

    qkv_weight: Tensor
    qkv_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor
    attention_norm_weight: Tensor
    attention_norm_bias: Tensor
    up_weight: Tensor
    up_bias: Tensor
    down_weight: Tensor
    down_bias: Tensor
    norm_weight: Tensor
    norm_bias: Tensor

    def apply(
        self, states: Tensor, attention_mask: Tensor, *, heads: int, epsilon: float, first: int | None = None
    ) -> Tensor:
        """Return this layer's output, ``(batch, tokens, hidden)``.

        ``attention_mask`` is boolean ``(batch, 1, 1, tokens)``, True where a token may be looked at. With ``first``,
        only the first so many tokens are computed, from all of them.
        """
        batch, tokens, hidden = states.shape
        if first is None:
            qkv = F.linear(states, self.qkv_weight, self.qkv_bias)
            query, key, value = qkv.view(batch, tokens, 3, heads, hidden // heads).permute(2, 0, 3, 1, 4)
        else:
            both = F.linear(states, self.qkv_weight[hidden:], self.qkv_bias[hidden:])
            key, value = both.view(batch, tokens, 2, heads, hidden // heads).permute(2, 0, 3, 1, 4)
            states = states[:, :first]
            asked = F.linear(states, self.qkv_weight[:hidden], self.qkv_bias[:hidden])
            query = asked.view(batch, states.shape[1], heads, hidden // heads).transpose(1, 2)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        attended = attended.transpose(1, 2).reshape(batch, states.shape[1], hidden)
        attended = F.linear(attended, self.out_weight, self.out_bias)
        states = F.layer_norm(
            states + attended, (hidden,), self.attention_norm_weight, self.attention_norm_bias, epsilon
        )
        inner = F.gelu(F.linear(states, self.up_weight, self.up_bias))
        return F.layer_norm(
            states + F.linear(inner, self.down_weight, self.down_bias),
            (hidden,),
            self.norm_weight,
            self.norm_bias,
            epsilon,
        )


def layer_from_weights(weights: Mapping[str, Tensor], prefix: str) -> BertLayer:
    """Build a layer from checkpoint tensors whose names start with ``prefix``; raises KeyError on a missing one."""

    def take(name: str) -> Tensor:
        return weights[prefix + name]

    return BertLayer(
        qkv_weight=torch.cat([take(f"attention.self.{part}.weight") for part in ("query", "key", "value")]),
        qkv_bias=torch.cat([take(f"attention.self.{part}.bias") for part in ("query", "key", "value")]),
        out_weight=take("attention.output.dense.weight"),
        out_bias=take("attention.output.dense.bias"),
        attention_norm_weight=take("attention.output.LayerNorm.weight"),
        attention_norm_bias=take("attention.output.LayerNorm.bias"),
        up_weight=take("intermediate.dense.weight"),
        up_bias=take("intermediate.dense.bias"),
        down_weight=take("output.dense.weight"),
        down_bias=take("output.dense.bias"),
        norm_weight=take("output.LayerNorm.weight"),
        norm_bias=take("output.LayerNorm.bias"),
    )


class BertEncoder:
    """Turns token ids into token states. Holds weights and nothing else; safe to call from several threads."""

    def __init__(self, shape: BertShape, weights: Mapping[str, Tensor]) -> None:
        self.shape = shape
        try:
            self._words = weights["embeddings.word_embeddings.weight"]
            # Every text is segment 0, so its embedding can be added to the positions once and for all.
            self._positions = (
                weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
            )
            self._norm_weight = weights["embeddings.LayerNorm.weight"]
            self._norm_bias = weights["embeddings.LayerNorm.bias"]
            self.layers = tuple(layer_from_weights(weights, f"encoder.layer.{i}.") for i in range(shape.layers))
        except KeyError as missing:
            raise ModelFileError(
                f"the encoder's weights hold no tensor {missing.args[0]!r}: not a BERT checkpoint?"
            ) from None
        if self._words.shape != (shape.vocabulary, shape.hidden):
            raise ModelFileError(
                f"word embeddings are {tuple(self._words.shape)}, config.json says {(shape.vocabulary, shape.hidden)}"
            )

    def states(self, ids: Tensor, mask: Tensor, upto: int | None = None) -> tuple[Tensor, ...]:
        """Return the output of the embedding layer and of each transformer layer, each ``(batch, tokens, hidden)``.

        ``upto`` stops after so many transformer layers; None runs all of them.
        ``ids`` is int64 ``(batch, tokens)`` with at most ``shape.positions`` tokens; ``mask`` is boolean, True on
        real tokens.
        """
        states = self._words[ids] + self._positions[: ids.shape[1]]
        states = F.layer_norm(states, (self.shape.hidden,), self._norm_weight, self._norm_bias, self.shape.norm_epsilon)
        attention_mask = mask[:, None, None, :]
        outputs = [states]
        for layer in self.layers[:upto]:
            states = layer.apply(states, attention_mask, heads=self.shape.heads, epsilon=self.shape.norm_epsilon)
            outputs.append(states)
        return tuple(outputs)
