"""``toxicity`` and ``identity_attack`` of the response, ``prompt_toxicity`` of the prompt, by detoxify's models.

The numbers are those of ``Detoxify.predict`` (Hanu and Unitary 2020): one logit per label, each through a sigmoid. What
differs is how they are come by: texts are de-duplicated, bucketed by length and read in batches instead of as one
padded list, and a text longer than the model's window is read in overlapping windows, of which the worst counts,
instead of being cut off. The weights come from a checkpoint as detoxify publishes it or from a folder as transformers
saves it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from detectors.batching.cache import text_key
from detectors.batching.limits import ReaderLimits
from detectors.batching.plan import WindowSize
from detectors.batching.reader import TextReader
from detectors.contract import Findings, SeenExchange, TextFailure
from detectors.errors import ModelFileError
from detectors.full.catalogue import DescribedBundle
from detectors.full.checkpoint import RENAMED_LABELS, build_model, find_checkpoint, read_checkpoint
from detectors.full.description import Scripts, ToxicityDescription, reads_script
from detectors.full.loading import Alive, LoadedModel, load_classifier, load_tokenizer, no_sign, place_model, single_row
from detectors.full.options import CheckpointLoader
from detectors.model import (
    IDENTITY_ATTACK,
    NO_PROMPT_TEXT,
    NO_RESPONSE_TEXT,
    PROMPT_TOXICITY,
    TOXICITY,
    UNSUPPORTED_TEXT,
    DetectorIdentity,
    Exchange,
    Score,
    assessed,
    not_assessed,
)
from detectors.text.encoder import Precision, TokenisedText

NAME: Final = "toxicity/full"
VERSION: Final = "1.0.0"
DECIMALS: Final = 6
# Neighbouring windows share this share of their tokens, so no phrase is seen only in halves.
OVERLAP_SHARE: Final = 8
# Roughly, for planning ahead; nothing depends on it.
CHARACTERS_A_TOKEN: Final = 4
# Seven numbers and what Python adds.
READING_BYTES: Final = 400
# What the models trained against bias say about whom a text mentions; no kind of toxicity.
IDENTITY_LABELS: Final = frozenset(
    {
        "male",
        "female",
        "homosexual_gay_or_lesbian",
        "christian",
        "jewish",
        "muslim",
        "black",
        "white",
        "psychiatric_or_mental_illness",
    }
)


@dataclass(frozen=True, slots=True)
class ToxicityModel:
    """A loaded classifier and what its first outputs are called; outputs beyond the labels are left aside."""

    loaded: LoadedModel
    labels: tuple[str, ...]
    scripts: Scripts


@dataclass(frozen=True, slots=True)
class ReadableText:
    """A tokenised text, and whether the model was trained on its script."""

    tokens: TokenisedText
    readable: bool


class ToxicityWindows:
    """The classifier in the form that ``TextReader`` runs; a reading is a probability per label."""

    def __init__(self, model: ToxicityModel) -> None:
        self._model = model
        special = model.loaded.special
        room = model.loaded.max_tokens - len(special.before) - len(special.after)
        self.window = WindowSize(room, room // OVERLAP_SHARE)
        self.length_step = model.loaded.length_step

    def key(self, wanted: str) -> bytes:
        return text_key(wanted)

    def size(self, wanted: str) -> int:
        return len(wanted) // CHARACTERS_A_TOKEN + 1

    def tokenise(self, wanted: Sequence[str]) -> list[ReadableText]:
        return [
            ReadableText(tokens, reads_script(text, self._model.scripts))
            for text, tokens in zip(wanted, self._model.loaded.tokenise(wanted), strict=True)
        ]

    def refuse(self, tokens: ReadableText) -> str | None:
        return None if tokens.readable and tokens.tokens.ids else UNSUPPORTED_TEXT

    def length(self, tokens: ReadableText) -> int:
        return len(tokens.tokens.ids)

    def read_windows(self, windows: Sequence[tuple[ReadableText, int, int]]) -> list[tuple[float, ...]]:
        rows = [single_row(text.tokens.ids[start:end], self._model.loaded.special) for text, start, end in windows]
        probabilities = torch.sigmoid(self._model.loaded.logits(rows))[:, : len(self._model.labels)]
        return [tuple(row) for row in probabilities.tolist()]

    def combine(self, tokens: ReadableText, parts: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
        """Return each label's worst window. Raises ArithmeticError if a number is not finite."""
        if not all(0.0 <= value <= 1.0 for part in parts for value in part):
            raise ArithmeticError("the classifier returned a number that is no probability")
        return tuple(round(max(column), DECIMALS) for column in zip(*parts, strict=True))

    def weigh(self, reading: tuple[float, ...]) -> int:
        return READING_BYTES


class ToxicityDetector:
    """``toxicity``, ``prompt_toxicity`` and ``identity_attack`` by one classifier, each text judged by itself."""

    metrics = (TOXICITY, PROMPT_TOXICITY, IDENTITY_ATTACK)
    traits = ()
    head = None

    def __init__(self, model: ToxicityModel, limits: ReaderLimits, *, alive: Alive = no_sign) -> None:
        self._labels = model.labels
        self._identity = identify(model)
        self.identities = (self._identity,)
        self._reader: TextReader[str, ReadableText, tuple[float, ...], tuple[float, ...]] = TextReader(
            ToxicityWindows(model), limits, alive=alive
        )

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """Nothing: it does not read with the shared encoder."""
        return ()

    def judge(self, seen: Sequence[SeenExchange]) -> list[Findings]:
        """Score prompts and responses of all exchanges together."""
        texts = {text for one in seen for text in (one.exchange.prompt, one.exchange.response) if text}
        ordered = sorted(text for text in texts if text.strip())
        readings = dict(zip(ordered, self._reader.read(ordered), strict=True))
        return [self._judge_one(one.exchange, readings) for one in seen]

    def _judge_one(self, exchange: Exchange, readings: dict[str, tuple[float, ...] | TextFailure]) -> Findings:
        prompt = None if exchange.prompt is None else readings.get(exchange.prompt)
        response = None if exchange.response is None else readings.get(exchange.response)
        return Findings(
            (
                self._score(TOXICITY, response, NO_RESPONSE_TEXT, TOXICITY),
                self._score(PROMPT_TOXICITY, prompt, NO_PROMPT_TEXT, TOXICITY),
                self._score(IDENTITY_ATTACK, response, NO_RESPONSE_TEXT, IDENTITY_ATTACK),
            )
        )

    def _score(self, metric: str, reading: tuple[float, ...] | TextFailure | None, absent: str, label: str) -> Score:
        if reading is None:
            return not_assessed(metric, absent, self._identity)
        if isinstance(reading, TextFailure):
            return not_assessed(metric, reading.reason, self._identity)
        named = dict(zip(self._labels, reading, strict=True))
        parts = {name: value for name, value in named.items() if name != TOXICITY} if label == TOXICITY else {}
        return assessed(metric, named[label], self._identity, labels=parts)


def load_toxicity(
    described: DescribedBundle, *, device: str, precision: Precision, loader: CheckpointLoader = "safe"
) -> ToxicityModel:
    """Load a bundle that holds detoxify's checkpoint, or a transformers folder with the same labels.

    ``loader`` says who builds the network from a checkpoint: ``safe`` is ours, ``package`` is detoxify's own builder.
    Either way the checkpoint is read without running what it may contain. Raises ModelFileError.
    """
    bundle, description = described.bundle, described.description
    if not isinstance(description, ToxicityDescription):
        raise TypeError(f"a toxicity classifier needs its own kind of description, got {type(description).__name__}")
    path = find_checkpoint(bundle)
    if path is None:
        loaded = load_classifier(bundle, "sequence", device=device, precision=precision)
        labels = _labels_of(loaded.model.config)
    else:
        checkpoint = read_checkpoint(path)
        labels = checkpoint.labels
        if loader == "package":
            from detectors.full.detoxify_package import build_by_package  # noqa: PLC0415

            built = build_by_package(checkpoint, bundle.path)
            model, tokenizer = built.model, built.tokenizer
        else:
            model, tokenizer = build_model(checkpoint, bundle.path), load_tokenizer(bundle.path)
        loaded = place_model(model, tokenizer, device=device, precision=precision, digest=bundle.digest)
    missing = [label for label in (TOXICITY, IDENTITY_ATTACK) if label not in labels]
    if missing:
        raise ModelFileError(f"model bundle {bundle.name} has no label {missing[0]!r}; it has {', '.join(labels)}")
    return ToxicityModel(loaded, labels, description.scripts)


def _labels_of(config: Any) -> tuple[str, ...]:
    """Return the labels of a transformers folder by detoxify's names, without those of identities, which come last."""
    named = [RENAMED_LABELS.get(name, name) for _, name in sorted(config.id2label.items())]
    kept = [name for name in named if name not in IDENTITY_LABELS]
    if kept != named[: len(kept)]:
        raise ModelFileError(f"the classifier's labels are mixed with identities: {', '.join(named)}")
    return tuple(kept)


def identify(model: ToxicityModel) -> DetectorIdentity:
    """Return who scores: the digest covers the bundle, the number format, the labels and the scripts."""
    loaded = model.loaded
    parts = f"{loaded.digest}\n{loaded.precision}\n{','.join(model.labels)}\n{model.scripts}"
    return DetectorIdentity(NAME, VERSION, f"sha256:{hashlib.sha256(parts.encode()).hexdigest()}")
