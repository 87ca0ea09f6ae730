"""Prompt and response as vectors of any sentence-transformers encoder, for the drift monitors.

The encoder's own modules do the arithmetic, so pooling, projections and prompts are those it was trained with, and a
text that fits its window gets the vector that ``SentenceTransformer.encode`` gives. A longer text is read in
overlapping windows whose vectors are averaged by their number of tokens, where ``encode`` would cut it off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from detectors.batching.cache import text_key
from detectors.batching.limits import ReaderLimits
from detectors.batching.plan import WindowSize
from detectors.batching.reader import TextReader
from detectors.bundles import Bundle
from detectors.contract import Findings, SeenExchange, TextFailure
from detectors.errors import ModelFileError
from detectors.full.loading import (
    Alive,
    LoadedModel,
    collate,
    find_special_tokens,
    first_line,
    hub_closed,
    longest_row,
    no_sign,
    plain_tokenizer,
    single_row,
)
from detectors.model import UNSUPPORTED_TEXT, DetectorIdentity, EmbeddedField, Embedding, Exchange
from detectors.text.encoder import Precision, TokenisedText

OVERLAP_SHARE: Final = 8
# Roughly, for planning ahead; nothing depends on it.
CHARACTERS_A_TOKEN: Final = 4
_OWN_MODULES: Final = "sentence_transformers."

Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """A loaded encoder. ``identity`` names the bundle; its version holds dimension and number format.

    ``prompt`` is what the encoder wants before every text, often nothing. ``loaded`` is None for an encoder that takes
    texts of any length whole.
    """

    identity: DetectorIdentity
    network: Any
    loaded: LoadedModel | None
    prompt: str
    dim: int
    device: torch.device


def load_sentence_encoder(bundle: Bundle, *, device: str, precision: Precision) -> SentenceEncoder:
    """Load a sentence-transformers folder from a verified bundle; no connection is opened and no foreign code runs.

    Raises ModelFileError if the folder is none, asks for modules that are not the library's own, or gives no vector.
    """
    _check_modules(bundle)
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    except ImportError as error:
        raise ModelFileError("sentence-transformers is not installed: pip install 'custodes[full]'") from error
    try:
        with hub_closed():
            network: Any = SentenceTransformer(
                str(bundle.path), device=device, local_files_only=True, trust_remote_code=False
            )
        network.eval().requires_grad_(requires_grad=False)
        network.to(getattr(torch, precision))
        prompt = network.prompts.get(network.default_prompt_name) if network.default_prompt_name else None
        dim = int(network.encode(["Where is it?"], show_progress_bar=False, convert_to_tensor=True).shape[1])
    except Exception as error:
        raise ModelFileError(f"model bundle {bundle.name} is no sentence encoder: {first_line(error)}") from error
    digest = hashlib.sha256(f"{bundle.digest}\n{precision}\n{dim}\n{prompt or ''}".encode()).hexdigest()
    identity = DetectorIdentity(f"encoder/{bundle.name}"[:128], f"1.0.0+{dim}.{precision}", f"sha256:{digest}")
    target = torch.device(device)
    loaded = _window_model(network, bundle, target, precision)
    return SentenceEncoder(identity, network, loaded, prompt or "", dim, target)


def _check_modules(bundle: Bundle) -> None:
    path = bundle.file("modules.json")
    try:
        kinds = [str(module["type"]) for module in json.loads(path.read_bytes())]
    except Exception as error:
        raise ModelFileError(f"{path} does not list modules: {type(error).__name__}") from error
    foreign = [kind for kind in kinds if not kind.startswith(_OWN_MODULES)]
    if foreign:
        raise ModelFileError(f"{path} asks for {foreign[0]}, which is not a module of sentence-transformers: not run")


def _window_model(network: Any, bundle: Bundle, device: torch.device, precision: Precision) -> LoadedModel | None:
    """Return the encoder's transformer with its tokenizer, or None if its first module is no transformer.

    Raises ModelFileError if another kind of module has a limit on length, since nothing may be cut in silence.
    """
    from sentence_transformers.base.modules import Transformer  # noqa: PLC0415

    first = network[0]
    if isinstance(first, Transformer):
        if not first.tokenizer.is_fast:
            raise ModelFileError(f"the tokenizer of model bundle {bundle.name} cannot say where its tokens stand")
        longest = longest_row(first.config, first.tokenizer)
        special = find_special_tokens(first.tokenizer)
        return LoadedModel(
            first.model, plain_tokenizer(first.tokenizer), special, longest, device, precision, bundle.digest
        )
    limit = network.max_seq_length
    if limit is not None and np.isfinite(limit) and limit < 1 << 20:
        raise ModelFileError(f"model bundle {bundle.name} reads only {limit} tokens and says not how; use another")
    return None


@dataclass(frozen=True, slots=True)
class _PreparedText:
    """A text's tokens behind ``prompt`` tokens that stand in every window."""

    prompt: tuple[int, ...]
    tokens: TokenisedText


class TransformerVectors:
    """An encoder with a transformer inside, in the form that ``TextReader`` runs."""

    def __init__(self, encoder: SentenceEncoder, loaded: LoadedModel) -> None:
        self._encoder = encoder
        self._loaded = loaded
        taken = len(loaded.special.before) + len(loaded.special.after)
        if encoder.prompt:
            taken += len(loaded.tokenise([encoder.prompt])[0].ids)
        room = loaded.max_tokens - taken
        if room < 1:
            raise ModelFileError(f"{encoder.identity.name} has a prompt as long as its window")
        self.window = WindowSize(room, room // OVERLAP_SHARE)
        self.length_step = loaded.length_step

    def key(self, wanted: str) -> bytes:
        return text_key(wanted)

    def size(self, wanted: str) -> int:
        return len(wanted) // CHARACTERS_A_TOKEN + 1

    def tokenise(self, wanted: Sequence[str]) -> list[_PreparedText]:
        """Tokenise prompt and text in one piece, then part them: a space between them belongs to the text."""
        length = len(self._encoder.prompt)
        prepared = []
        for tokens in self._loaded.tokenise([self._encoder.prompt + text for text in wanted]):
            opening = sum(end <= length and start < length for start, end in tokens.offsets)
            rest = TokenisedText(tokens.ids[opening:], tokens.offsets[opening:])
            prepared.append(_PreparedText(tokens.ids[:opening], rest))
        return prepared

    def refuse(self, tokens: _PreparedText) -> str | None:
        return None if tokens.tokens.ids else UNSUPPORTED_TEXT

    def length(self, tokens: _PreparedText) -> int:
        return len(tokens.tokens.ids)

    def read_windows(self, windows: Sequence[tuple[_PreparedText, int, int]]) -> list[tuple[Vector, int]]:
        special = self._loaded.special
        rows = [single_row((*text.prompt, *text.tokens.ids[start:end]), special) for text, start, end in windows]
        features: dict[str, Any] = {
            name: tensor.to(self._encoder.device)
            for name, tensor in collate(rows, special, self._loaded.max_tokens, self.length_step).items()
        }
        if self._encoder.prompt:
            features["prompt_length"] = len(special.before) + len(windows[0][0].prompt)
        with torch.inference_mode():
            vectors = self._encoder.network(features)["sentence_embedding"]
        values = vectors.float().cpu().numpy().astype(np.float64)
        return [(values[place], end - start) for place, (_, start, end) in enumerate(windows)]

    def combine(self, tokens: _PreparedText, parts: Sequence[tuple[Vector, int]]) -> bytes:
        return unit_bytes(np.sum([vector * count for vector, count in parts], axis=0))

    def weigh(self, reading: bytes) -> int:
        return len(reading)


class WholeTextVectors:
    """An encoder that takes any length, such as one of static word vectors, in the form that ``TextReader`` runs.

    Lengths are counted in characters, and every text is one window.
    """

    window = WindowSize(1 << 40, 0)
    length_step = 1

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder = encoder

    def key(self, wanted: str) -> bytes:
        return text_key(wanted)

    def size(self, wanted: str) -> int:
        return len(wanted)

    def tokenise(self, wanted: Sequence[str]) -> list[str]:
        return [text.encode("utf-8", "replace").decode("utf-8") for text in wanted]

    def refuse(self, tokens: str) -> str | None:
        return None if tokens.strip() else UNSUPPORTED_TEXT

    def length(self, tokens: str) -> int:
        return len(tokens)

    def read_windows(self, windows: Sequence[tuple[str, int, int]]) -> list[Vector]:
        texts = [text for text, _, _ in windows]
        vectors = self._encoder.network.encode(
            texts, batch_size=len(texts), show_progress_bar=False, convert_to_tensor=True
        )
        return list(vectors.float().cpu().numpy().astype(np.float64))

    def combine(self, tokens: str, parts: Sequence[Vector]) -> bytes:
        return unit_bytes(parts[0])

    def weigh(self, reading: bytes) -> int:
        return len(reading)


def unit_bytes(vector: Vector) -> bytes:
    """Return the vector at unit length as little-endian float16; raises ArithmeticError if it has no direction."""
    norm = float(np.linalg.norm(vector))
    if not (np.isfinite(norm) and norm > 0.0):
        raise ArithmeticError("the encoder returned a number that is not finite, or nothing but zeros")
    return (vector / norm).astype("<f2").tobytes()


class SentenceVectors:
    """Embeds prompts and responses. Scores nothing."""

    metrics = ()
    traits = ()
    head = None

    def __init__(self, encoder: SentenceEncoder, limits: ReaderLimits, *, alive: Alive = no_sign) -> None:
        self._encoder = encoder
        self.identities = (encoder.identity,)
        model: Any = WholeTextVectors(encoder)
        if encoder.loaded is not None:
            model = TransformerVectors(encoder, encoder.loaded)
        self._reader: TextReader[str, Any, Any, bytes] = TextReader(model, limits, alive=alive)

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """Nothing: it does not read with the shared encoder."""
        return ()

    def judge(self, seen: Sequence[SeenExchange]) -> list[Findings]:
        """Return the vectors of all texts that could be read."""
        texts = {text for one in seen for text in (one.exchange.prompt, one.exchange.response) if text}
        ordered = sorted(text for text in texts if text.strip())
        vectors = dict(zip(ordered, self._reader.read(ordered), strict=True))
        return [Findings(embeddings=tuple(self._embed(one.exchange, vectors))) for one in seen]

    def _embed(self, exchange: Exchange, vectors: dict[str, bytes | TextFailure]) -> list[Embedding]:
        fields: tuple[tuple[EmbeddedField, str | None], ...] = (
            ("prompt", exchange.prompt),
            ("response", exchange.response),
        )
        found = [(field, vectors.get(text)) for field, text in fields if text is not None]
        return [
            Embedding(field, self._encoder.identity, vector, self._encoder.dim)
            for field, vector in found
            if isinstance(vector, bytes)
        ]
