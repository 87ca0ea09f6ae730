"""The open models that the ``full`` profile knows by name: what they are, whence they come, and how they are read.

The table is what ``docs/full-profile.md`` prints and what an error about a missing bundle quotes. Sizes are those that
the models' publishers state. A bundle of another name works as well if its folder describes itself
(``detectors.full.description``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detectors.bundles import Bundle, open_bundle
from detectors.errors import MissingBundleError, ModelFileError
from detectors.full.description import (
    DESCRIPTION_FILE,
    ROLES,
    ClaimDescription,
    Description,
    EncoderDescription,
    GroundingDescription,
    ToxicityDescription,
    read_description,
)
from detectors.full.options import find_missing

TOKENIZER_FILES: Final = (
    "config.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spm.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
MODEL_FILES: Final = (*TOKENIZER_FILES, "added_tokens.json", "*.safetensors", "*.safetensors.index.json")
ENCODER_FILES: Final = (
    *MODEL_FILES,
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "*/config.json",
)


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One published model.

    ``repository`` is where its files lie on the hub, and ``files`` which of them are needed. ``checkpoint`` is the name
    under which detoxify publishes its own weights, which then go with the repository's tokenizer and configuration.
    ``parameters_m`` counts millions.
    """

    name: str
    description: Description
    repository: str
    licence: str
    parameters_m: int
    files: tuple[str, ...]
    checkpoint: str | None = None


KNOWN_MODELS: Final = (
    KnownModel(
        "detoxify-original",
        ToxicityDescription(),
        "google-bert/bert-base-uncased",
        "Apache-2.0",
        109,
        TOKENIZER_FILES,
        checkpoint="original",
    ),
    KnownModel(
        "detoxify-unbiased",
        ToxicityDescription(),
        "FacebookAI/roberta-base",
        "Apache-2.0; tokenizer MIT",
        125,
        TOKENIZER_FILES,
        checkpoint="unbiased",
    ),
    KnownModel(
        "detoxify-multilingual",
        ToxicityDescription(scripts="latin_cyrillic"),
        "FacebookAI/xlm-roberta-base",
        "Apache-2.0; tokenizer MIT",
        278,
        TOKENIZER_FILES,
        checkpoint="multilingual",
    ),
    KnownModel(
        "lettucedect-base-modernbert-en-v1",
        GroundingDescription("passages"),
        "KRLabsOrg/lettucedect-base-modernbert-en-v1",
        "MIT",
        149,
        MODEL_FILES,
    ),
    KnownModel(
        "lettucedect-large-modernbert-en-v1",
        GroundingDescription("passages"),
        "KRLabsOrg/lettucedect-large-modernbert-en-v1",
        "MIT",
        395,
        MODEL_FILES,
    ),
    KnownModel(
        "lettucedect-v2-mmbert-base",
        GroundingDescription("request", scripts="any"),
        "KRLabsOrg/lettucedect-v2-mmbert-base",
        "Apache-2.0",
        307,
        MODEL_FILES,
    ),
    KnownModel(
        "minicheck-roberta-large",
        ClaimDescription("separator"),
        "lytang/MiniCheck-RoBERTa-Large",
        "MIT",
        355,
        (*MODEL_FILES, "pytorch_model.bin"),
    ),
    KnownModel(
        "minicheck-deberta-v3-large",
        ClaimDescription("separator", window_tokens=2048),
        "lytang/MiniCheck-DeBERTa-v3-Large",
        "MIT",
        435,
        (*MODEL_FILES, "pytorch_model.bin"),
    ),
    KnownModel(
        "factcg-deberta-v3-large",
        ClaimDescription("instruction", window_tokens=2048, chunk_tokens=700),
        "yaxili96/FactCG-DeBERTa-v3-Large",
        "MIT",
        435,
        (*MODEL_FILES, "pytorch_model.bin"),
    ),
    KnownModel(
        "all-mpnet-base-v2",
        EncoderDescription(),
        "sentence-transformers/all-mpnet-base-v2",
        "Apache-2.0",
        109,
        ENCODER_FILES,
    ),
)


def find_known(name: str) -> KnownModel | None:
    """Return the published model that goes by this bundle name, or None."""
    return next((model for model in KNOWN_MODELS if model.name == name), None)


@dataclass(frozen=True, slots=True)
class DescribedBundle:
    """A verified bundle together with how it is to be read."""

    bundle: Bundle
    description: Description


def open_bundles(models_dir: Path | None, wanted: Mapping[str, str]) -> dict[str, DescribedBundle]:
    """Verify the bundles that ``wanted`` names for each part, and return them with their descriptions by part.

    A bundle's own description goes before the catalogue's. Raises MissingBundleError naming every bundle that is
    missing and the commands that bring them, and ModelFileError if a file is not as pinned, nothing describes a bundle,
    or it is made for another part.
    """
    missing = find_missing(models_dir, wanted)
    if models_dir is None or missing:
        raise MissingBundleError(missing, models_dir)
    return {part: _describe(open_bundle(models_dir, name), part) for part, name in wanted.items()}


def _describe(bundle: Bundle, part: str) -> DescribedBundle:
    known = find_known(bundle.name)
    description = read_description(bundle.path)
    if description is None:
        if known is None:
            raise ModelFileError(
                f"model bundle {bundle.name} is none of the known ones and does not describe itself: put a "
                f'{DESCRIPTION_FILE} such as {{"role": "{part}"}} into its folder and import it again; '
                "docs/full-profile.md has the fields"
            )
        description = known.description
    if not isinstance(description, ROLES[part]):
        found = next(one for one, kind in ROLES.items() if isinstance(description, kind))
        raise ModelFileError(f"model bundle {bundle.name} is made for {found}, not for {part}; name another bundle")
    return DescribedBundle(bundle, description)
