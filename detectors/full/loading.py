"""Transformer models and tokenizers from a verified local folder: nothing is fetched, run or made up.

Three things are refused that the libraries would do in silence: asking a hub for what a folder lacks, running code that
lies beside the weights, and starting with random numbers where the weights have none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor

from detectors.batching.plan import padded_length
from detectors.bundles import Bundle
from detectors.errors import ModelFileError
from detectors.text.encoder import Precision, TokenisedText
from detectors.text.reading import ACCELERATOR_LENGTH_STEP, CPU_LENGTH_STEP

Task = Literal["sequence", "token"]
Alive = Callable[[], None]
"""What a reader calls after every batch, so that a long run is not taken for one that hangs."""
_AUTO_CLASSES: Final = {
    "sequence": "AutoModelForSequenceClassification",
    "token": "AutoModelForTokenClassification",
}
# These count positions from behind the padding token's id, so a row of n tokens needs n + id + 1 of them.
_OFFSET_POSITIONS: Final = ("camembert", "roberta", "xlm-roberta")
# These attend by distance; what their configuration calls positions is no limit.
_RELATIVE_POSITIONS: Final = ("deberta", "deberta-v2")


def no_sign() -> None:
    """Tell nobody."""


@contextmanager
def hub_closed() -> Iterator[None]:
    """Make any call to a model hub fail at once instead of opening a connection, until the block ends.

    Local loading makes none; this holds the libraries to it in every version. It also keeps their progress bars off
    the terminal.
    """
    from huggingface_hub import constants  # noqa: PLC0415
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    # Published without types for these functions.
    bars: Any = transformers_logging
    before, had_bars = constants.HF_HUB_OFFLINE, bars.is_progress_bar_enabled()
    constants.HF_HUB_OFFLINE = True
    bars.disable_progress_bar()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        if had_bars:
            bars.enable_progress_bar()


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The ids a tokenizer puts around one text, and around and between two; ``types`` say which text a place is of.

    A row is ``before + first + after``, or ``before + first + between + second + after``. ``second_type`` is the token
    type of the second text and what follows, 0 where the model makes no difference. ``reserved`` are the ids that no
    text may produce, whatever it says: a response that writes out a separator must not end itself.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    second_type: int
    takes_types: bool
    padding: int
    unknown: int
    reserved: frozenset[int]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in its place, with its tokenizer; ``max_tokens`` is the longest row it can take, special tokens included.

    ``digest`` is the bundle's. Calls from several threads are safe: nothing changes after loading.
    """

    model: Any
    tokenizer: Tokenizer
    special: SpecialTokens
    max_tokens: int
    device: torch.device
    precision: Precision
    digest: str

    def tokenise(self, texts: Sequence[str]) -> list[TokenisedText]:
        """Return the tokens of each text in full, in order.

        Lone surrogates are read as question marks, one for one, and what looks like a special token as plain text.
        """
        if not texts:
            return []
        encodings = self.tokenizer.encode_batch(
            [text.encode("utf-8", "replace").decode("utf-8") for text in texts], add_special_tokens=False
        )
        return [TokenisedText(self._plain(encoding.ids), tuple(encoding.offsets)) for encoding in encodings]

    def _plain(self, ids: Sequence[int]) -> tuple[int, ...]:
        # Vocabularies of the Unigram kind hold the special tokens as words, and find them in a text.
        special = self.special
        if special.reserved.isdisjoint(ids):
            return tuple(ids)
        return tuple(special.unknown if token in special.reserved else token for token in ids)

    @property
    def length_step(self) -> int:
        """Padded lengths are multiples of this on the model's device."""
        return CPU_LENGTH_STEP if self.device.type == "cpu" else ACCELERATOR_LENGTH_STEP

    def logits(self, rows: Sequence[Row]) -> Tensor:
        """Return the model's logits for one padded batch of rows, float32 on the CPU.

        ``(rows, labels)``, or ``(rows, tokens, labels)`` for a token classifier, padding included.
        """
        inputs = collate(rows, self.special, self.max_tokens, self.length_step)
        placed = {name: tensor.to(self.device) for name, tensor in inputs.items()}
        with torch.inference_mode():
            output: Tensor = self.model(**placed).logits
        return output.float().cpu()


@dataclass(frozen=True, slots=True)
class Row:
    """One input of a model: its ids, special tokens included, and from where on they belong to the second text."""

    ids: tuple[int, ...]
    second_from: int | None = None


def single_row(text: Sequence[int], special: SpecialTokens) -> Row:
    """Return the row that one text's tokens make."""
    return Row((*special.before, *text, *special.after))


def pair_row(first: Sequence[int], second: Sequence[int], special: SpecialTokens) -> Row:
    """Return the row that two texts' tokens make."""
    head = (*special.before, *first, *special.between)
    return Row((*head, *second, *special.after), len(head))


def collate(rows: Sequence[Row], special: SpecialTokens, max_tokens: int, step: int) -> dict[str, Tensor]:
    """Return ``input_ids``, ``attention_mask`` and, for models that take them, ``token_type_ids``; padded on the right.

    The width is a multiple of ``step``, but never beyond what the model takes. Raises ValueError if a row is longer.
    """
    longest = max(len(row.ids) for row in rows)
    if longest > max_tokens:
        raise ValueError(f"a row of {longest} tokens, the model takes {max_tokens}")
    width = min(padded_length(longest, step), max_tokens)
    ids = torch.full((len(rows), width), special.padding, dtype=torch.int64)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    types = torch.zeros((len(rows), width), dtype=torch.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = torch.tensor(row.ids, dtype=torch.int64)
        mask[place, : len(row.ids)] = 1
        if row.second_from is not None:
            types[place, row.second_from : len(row.ids)] = special.second_type
    inputs = {"input_ids": ids, "attention_mask": mask}
    return {**inputs, "token_type_ids": types} if special.takes_types else inputs


def read_config(folder: Path) -> dict[str, Any]:
    """Return a model folder's ``config.json``; raises ModelFileError if it is unreadable."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read as JSON: {type(error).__name__}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelFileError(f"{path} names no model_type: not a transformers model folder")
    return config


def load_tokenizer(folder: Path) -> Any:
    """Return the folder's own fast tokenizer; raises ModelFileError if there is none that can be read."""
    import transformers  # noqa: PLC0415

    try:
        with hub_closed():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:
        raise ModelFileError(f"the tokenizer in {folder} cannot be loaded: {first_line(error)}") from error
    if not tokenizer.is_fast:
        raise ModelFileError(f"the tokenizer in {folder} cannot say where its tokens stand; add its tokenizer.json")
    return tokenizer


def load_classifier(bundle: Bundle, task: Task, *, device: str, precision: Precision) -> LoadedModel:
    """Load a classification model with its tokenizer from a verified bundle; no connection is opened.

    Weights may be safetensors or a PyTorch file, which is then read without running what it may contain. Raises
    ModelFileError if anything is missing, does not fit, or needs code of its own.
    """
    import transformers  # noqa: PLC0415

    read_config(bundle.path)
    auto_class = getattr(transformers, _AUTO_CLASSES[task])
    try:
        with hub_closed():
            model, report = auto_class.from_pretrained(
                bundle.path,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:
        raise ModelFileError(f"model bundle {bundle.name} cannot be loaded: {first_line(error)}") from error
    absent = [*report["missing_keys"], *report["mismatched_keys"]]
    if absent:
        raise ModelFileError(
            f"model bundle {bundle.name} has no fitting weights for {absent[0]}: it is no {task} classifier"
        )
    return place_model(model, load_tokenizer(bundle.path), device=device, precision=precision, digest=bundle.digest)


def place_model(model: Any, tokenizer: Any, *, device: str, precision: Precision, digest: str) -> LoadedModel:
    """Put a model on its device in its number format and find out how rows are made for it."""
    target = torch.device(device)
    model.eval().requires_grad_(requires_grad=False)
    model.to(device=target, dtype=getattr(torch, precision))
    return LoadedModel(
        model=model,
        tokenizer=plain_tokenizer(tokenizer),
        special=find_special_tokens(tokenizer),
        max_tokens=longest_row(model.config, tokenizer),
        device=target,
        precision=precision,
        digest=digest,
    )


def plain_tokenizer(tokenizer: Any) -> Tokenizer:
    """Return a copy of the tokenizer that cuts nothing, pads nothing, and reads the names of special tokens as text."""
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_truncation()
    plain.no_padding()
    plain.encode_special_tokens = True
    return plain


def find_special_tokens(tokenizer: Any) -> SpecialTokens:
    """Return what the tokenizer itself puts around and between texts, found by giving it a pair.

    Raises ModelFileError if it puts nothing between two texts or knows no padding.
    """
    encoded = tokenizer("a", "b", return_token_type_ids=True)
    ids, owners = encoded["input_ids"], encoded.sequence_ids(0)
    first = [place for place, owner in enumerate(owners) if owner == 0]
    second = [place for place, owner in enumerate(owners) if owner == 1]
    unknown = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.pad_token_id
    if not first or not second or second[0] == first[-1] + 1 or tokenizer.pad_token_id is None:
        raise ModelFileError("the tokenizer separates no texts or has no padding token: not one of an encoder")
    return SpecialTokens(
        before=tuple(ids[: first[0]]),
        between=tuple(ids[first[-1] + 1 : second[0]]),
        after=tuple(ids[second[-1] + 1 :]),
        second_type=encoded["token_type_ids"][second[0]],
        takes_types="token_type_ids" in tokenizer.model_input_names,
        padding=tokenizer.pad_token_id,
        unknown=unknown,
        reserved=frozenset(tokenizer.all_special_ids) - {unknown},
    )


def longest_row(config: Any, tokenizer: Any) -> int:
    """Return how many tokens a row may have, special ones included: the lesser of what model and tokenizer state."""
    stated = int(min(tokenizer.model_max_length, 1 << 20))
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None or config.model_type in _RELATIVE_POSITIONS:
        return stated
    if config.model_type in _OFFSET_POSITIONS:
        positions -= config.pad_token_id + 1
    return min(stated, int(positions))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, which is where the libraries say what is wrong."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
