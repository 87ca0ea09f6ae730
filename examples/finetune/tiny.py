"""Makes a base model of some thousand random weights, to try the trainer without downloading anything.

It knows nothing; what can be seen with it is that training runs, lowers the held-out loss and is registered. Its
tokenizer is made of bytes, and its chat template takes system text, tools and their answers.

    python tiny.py OUT [--seed 0]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

TEMPLATE = (
    "{%- for message in messages %}"
    "<|start|>{{ message['role'] }}\n{{ message['content'] or '' }}"
    "{%- if message.get('tool_calls') %}"
    "{%- for call in message['tool_calls'] %}\n"
    "{{ call['function']['name'] }}({{ call['function']['arguments'] | tojson }})"
    "{%- endfor %}"
    "{%- endif %}<|end|>\n"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}<|start|>assistant\n{%- endif %}"
)
SPECIAL = ("<|pad|>", "<|start|>", "<|end|>")


def write_tiny_model(folder: Path, seed: int = 0) -> None:
    """Write a Llama of two layers with random weights, its tokenizer and its chat template into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    words = {word: number for number, word in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "<|pad|>", "eos_token": "<|end|>", "model_max_length": 2048}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=2048, pad_token_id=0, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
        )
    )  # fmt: skip
    model.save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write_tiny_model(given.out, given.seed)
