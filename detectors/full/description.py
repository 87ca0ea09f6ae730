"""What a model bundle has to say about itself before it can be used: its part, its input, what it reads.

Two models of one architecture may want their texts put together in different ways, and nothing in their files says
which. Known models are described in ``detectors.full.catalogue``; any other brings a ``custodes.json`` in its folder,
which is then part of what the bundle's digest pins. Nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_type_hints

from detectors.errors import ModelFileError
from detectors.text.script import has_foreign_letters

DESCRIPTION_FILE: Final = "custodes.json"
OTHER_SCRIPT_SHARE: Final = 0.5
_LAST_LATIN: Final = "\u024f"
_CYRILLIC: Final = ("\u0400", "\u052f")

Scripts = Literal["latin", "latin_cyrillic", "any"]
GroundingInput = Literal["passages", "request", "triple"]
ClaimInput = Literal["separator", "instruction", "pair"]


@dataclass(frozen=True, slots=True)
class ToxicityDescription:
    """A classifier whose labels are among detoxify's; ``scripts`` are those it was trained on."""

    scripts: Scripts = "latin"


@dataclass(frozen=True, slots=True)
class GroundingDescription:
    """A token classifier over contexts, question and answer.

    ``input`` is how these were put together in training: ``passages`` a prompt that asks to answer from numbered
    passages, then the answer (LettuceDetect 1); ``request`` the request and the contexts, then the answer
    (LettuceDetect 2); ``triple`` contexts, question and answer between separators. ``window_tokens`` is the longest
    input it was trained on; ``unsupported_label`` is the class of a token that nothing supports.
    """

    input: GroundingInput
    window_tokens: int = 4096
    unsupported_label: int = 1
    scripts: Scripts = "latin"


@dataclass(frozen=True, slots=True)
class ClaimDescription:
    """A sequence classifier over a chunk of context and one claim.

    ``input``: ``separator`` chunk and claim in one text with the separator between (MiniCheck); ``instruction`` one
    text that asks whether the claim follows (FactCG); ``pair`` an ordinary pair of texts (NLI). Contexts are cut into
    chunks of at most ``chunk_tokens``, and chunk and claim together into ``window_tokens``. ``supported_label`` is the
    class that means "the chunk supports the claim".
    """

    input: ClaimInput
    window_tokens: int = 512
    chunk_tokens: int = 400
    supported_label: int = 1
    scripts: Scripts = "latin"


@dataclass(frozen=True, slots=True)
class EncoderDescription:
    """A sentence-transformers folder; it says all that is needed in its own files."""


Description = ToxicityDescription | GroundingDescription | ClaimDescription | EncoderDescription
ROLES: Final[Mapping[str, type[Description]]] = {
    "toxicity": ToxicityDescription,
    "grounding": GroundingDescription,
    "claims": ClaimDescription,
    "encoder": EncoderDescription,
}


def read_description(folder: Path) -> Description | None:
    """Return what the folder's ``custodes.json`` says, or None if it has none.

    Raises ModelFileError naming the file, the field and what it may hold.
    """
    path = folder / DESCRIPTION_FILE
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read as JSON: {type(error).__name__}") from error
    if not isinstance(document, dict) or document.get("role") not in ROLES:
        raise ModelFileError(f'{path} needs a "role", one of {", ".join(ROLES)}')
    return _parse(path, {name: value for name, value in document.items() if name != "role"}, ROLES[document["role"]])


def _parse(path: Path, given: Mapping[str, Any], kind: type[Description]) -> Description:
    known = {one.name: one for one in fields(kind)}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ModelFileError(f"{path} has a field {unknown[0]!r}; known are role, {', '.join(known)}")
    missing = [name for name, one in known.items() if one.default is MISSING and name not in given]
    if missing:
        raise ModelFileError(f"{path} lacks the field {missing[0]!r}")
    types = get_type_hints(kind)
    for name, value in given.items():
        choices = get_args(types[name])
        if choices and value not in choices:
            raise ModelFileError(f"{path}, field {name!r}: must be one of {', '.join(choices)}, got {value!r}")
        if not choices and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise ModelFileError(f"{path}, field {name!r}: must be a whole number from 0, got {value!r}")
    return kind(**given)


def reads_script(text: str, scripts: Scripts) -> bool:
    """Return whether at least half of the text's letters are in ``scripts``; a text without letters is readable.

    A model answers in any case, and on a script it never saw it answers low whatever is said.
    """
    if scripts == "any" or text.isascii():
        return True
    if scripts == "latin":
        return not has_foreign_letters(text)
    letters = [character for character in text if character.isalpha()]
    low, high = _CYRILLIC
    foreign = sum(character > _LAST_LATIN and not low <= character <= high for character in letters)
    return foreign <= OTHER_SCRIPT_SHARE * len(letters)
