"""Makes models of a few thousand random weights, in the architectures and file formats of the real ones.

What they answer means nothing; that it is answered in the same way, in the same places and from the same files as with
the real weights is what the tests look at. Everything is made from a seed; nothing is fetched.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LETTERS: Final = tuple(chr(code) for code in range(33, 127))
ORIGINAL_CLASSES: Final = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
UNBIASED_CLASSES: Final = (
    "toxicity", "severe_toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit",
)  # fmt: skip
UNBIASED_OUTPUTS: Final = 16
SIZES: Final[dict[str, Any]] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def bert_tokenizer(folder: Path, *, positions: int) -> int:
    """Write WordPiece files in BERT's original form; return the size of the vocabulary."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + letter for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    _write(folder / "tokenizer_config.json", {"do_lower_case": True, "model_max_length": positions})
    return len(words)


def byte_tokenizer(folder: Path, *, positions: int) -> int:
    """Write byte-level BPE files in RoBERTa's original form; return the size of the vocabulary."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, "<mask>"]
    _write(folder / "vocab.json", {word: number for number, word in enumerate(words)})
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {"tokenizer_class": "RobertaTokenizer", "model_max_length": positions}
    _write(folder / "tokenizer_config.json", config)
    return len(words)


def piece_tokenizer(folder: Path, *, positions: int) -> int:
    """Write a Unigram tokenizer as XLM-RoBERTa has it; return the size of the vocabulary."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=[*specials, "<mask>"], unk_token="<unk>")
    tokenizer.train_from_iterator([" ".join(LETTERS), "the parcel will arrive on Tuesday " * 20], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": positions}
    _write(folder / "tokenizer_config.json", {**config, **_NAMES})
    return int(tokenizer.get_vocab_size())


_NAMES: Final = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "unk_token": "<unk>",
                 "pad_token": "<pad>", "mask_token": "<mask>"}  # fmt: skip


def modern_tokenizer(folder: Path, *, positions: int) -> int:
    """Write a byte-level tokenizer as ModernBERT has it; return the size of the vocabulary."""
    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    words = {word: number for number, word in enumerate([*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": positions,
        "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]",
    }  # fmt: skip
    _write(folder / "tokenizer_config.json", config)
    return len(words)


def write_detoxify(folder: Path, kind: str, *, seed: int = 0, positions: int = 64) -> Path:
    """Write a checkpoint as detoxify publishes them, with tokenizer and ``config.json``; return the checkpoint's path.

    ``kind`` is original, unbiased or multilingual. The weights are spread out, so that texts score differently.
    """
    import transformers

    folder.mkdir(parents=True)
    architecture, tokenizer_class, write_tokenizer, classes, outputs = {
        "original": ("Bert", "BertTokenizer", bert_tokenizer, ORIGINAL_CLASSES, len(ORIGINAL_CLASSES)),
        "unbiased": ("Roberta", "RobertaTokenizer", byte_tokenizer, UNBIASED_CLASSES, UNBIASED_OUTPUTS),
        "multilingual": ("XLMRoberta", "XLMRobertaTokenizer", piece_tokenizer, UNBIASED_CLASSES, UNBIASED_OUTPUTS),
    }[kind]
    vocabulary = write_tokenizer(folder, positions=positions)
    offset = 0 if kind == "original" else 2
    config_class = getattr(transformers, f"{architecture}Config")
    ids = {} if kind == "original" else {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    config = config_class(
        vocab_size=vocabulary,
        max_position_embeddings=positions + offset,
        num_labels=outputs,
        **SIZES,
        **ids,
    )
    config.save_pretrained(folder)
    model = getattr(transformers, f"{architecture}ForSequenceClassification")(config)
    spread_weights(model, seed)
    names = {"model_name": f"{architecture}ForSequenceClassification", "tokenizer_name": tokenizer_class}
    arch = {"type": architecture.upper(), "args": {"num_classes": outputs, "model_type": str(folder), **names}}
    dataset = {"type": "Jigsaw", "args": {"classes": list(classes), "loss_weight": 0.75}}
    content = {
        "state_dict": OrderedDict(model.state_dict()),
        "config": {"name": kind, "arch": arch, "dataset": dataset},
    }
    plain = folder / "checkpoint.ckpt"
    torch.save(content, plain)
    named = folder / f"toxic_{kind}-{hashlib.sha256(plain.read_bytes()).hexdigest()[:8]}.ckpt"
    return plain.rename(named)


def write_grounding(folder: Path, *, seed: int = 0, positions: int = 1024) -> None:
    """Write a token classifier as LettuceDetect publishes them: ModernBERT with two classes."""
    import transformers

    # Its configurations take more arguments than their types say.
    library: Any = transformers
    folder.mkdir(parents=True)
    vocabulary = modern_tokenizer(folder, positions=positions)
    config = library.ModernBertConfig(
        vocab_size=vocabulary,
        max_position_embeddings=positions,
        num_labels=2,
        local_attention=32,
        pad_token_id=3, cls_token_id=1, bos_token_id=1, sep_token_id=2, eos_token_id=2,
        **SIZES,
    )  # fmt: skip
    model = library.ModernBertForTokenClassification(config)
    spread_weights(model, seed)
    model.save_pretrained(folder)


def write_claim_checker(folder: Path, kind: str = "roberta", *, seed: int = 0, positions: int = 256) -> None:
    """Write a two-class sequence classifier as MiniCheck publishes them: RoBERTa, or DeBERTa v3."""
    import transformers

    library: Any = transformers
    folder.mkdir(parents=True)
    if kind == "roberta":
        vocabulary = byte_tokenizer(folder, positions=positions)
        config = library.RobertaConfig(
            vocab_size=vocabulary, max_position_embeddings=positions + 2, num_labels=2,
            pad_token_id=1, bos_token_id=0, eos_token_id=2, **SIZES,
        )  # fmt: skip
        model = library.RobertaForSequenceClassification(config)
    else:
        vocabulary = deberta_tokenizer(folder, positions=positions)
        config = library.DebertaV2Config(
            vocab_size=vocabulary, max_position_embeddings=positions, num_labels=2, pad_token_id=0,
            relative_attention=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0,
            position_buckets=16, norm_rel_ebd="layer_norm", share_att_key=True, **SIZES,
        )  # fmt: skip
        model = library.DebertaV2ForSequenceClassification(config)
    spread_weights(model, seed)
    model.save_pretrained(folder)


def deberta_tokenizer(folder: Path, *, positions: int) -> int:
    """Write a Unigram tokenizer as DeBERTa v3 has it; return the size of the vocabulary."""
    specials = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Strip(), normalizers.Replace("\n", " "), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=specials, unk_token="[UNK]")
    tokenizer.train_from_iterator([" ".join(LETTERS), "the parcel will arrive on Tuesday " * 20], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": positions,
        "bos_token": "[CLS]", "cls_token": "[CLS]", "eos_token": "[SEP]", "sep_token": "[SEP]", "unk_token": "[UNK]",
        "pad_token": "[PAD]", "mask_token": "[MASK]",
    }  # fmt: skip
    _write(folder / "tokenizer_config.json", config)
    return int(tokenizer.get_vocab_size())


def write_encoder(folder: Path, *, seed: int = 0, positions: int = 64, hidden: int = 32) -> None:
    """Write a sentence encoder as sentence-transformers saves them: BERT, mean pooling, normalisation."""
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True)
    vocabulary = bert_tokenizer(folder, positions=positions)
    sizes = {**SIZES, "hidden_size": hidden}
    model = BertModel(BertConfig(vocab_size=vocabulary, max_position_embeddings=positions, **sizes))
    spread_weights(model, seed)
    model.save_pretrained(folder)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(kinds)
    ]
    _write(folder / "modules.json", modules)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": positions, "do_lower_case": False})
    (folder / "1_Pooling").mkdir()
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True})
    (folder / "2_Normalize").mkdir()


def spread_weights(model: Any, seed: int) -> None:
    """Draw every weight matrix anew, wide enough that the answers differ from text to text."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim > 1:
                scale = 1.5 if "classifier" in name else 1.0
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale / tensor.shape[-1] ** 0.5)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1))
