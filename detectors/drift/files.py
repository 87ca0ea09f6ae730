"""Reads embeddings or texts from a file: ``.npy``, or ``.jsonl`` whose lines have "text" or "embedding".

A file is read whole or not at all: a stream with holes would move every exchange number after them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.errors import DriftInputError, ExchangeLineError

FIELDS: Final = ("text", "embedding")
_GIVEN: Final = "embeddings as given"


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """``vectors`` is ``(n, dim)``; ``texts`` has the texts they were made from, or is empty; ``encoder`` names their
    maker.
    """

    vectors: npt.NDArray[np.floating[Any]]
    texts: tuple[str, ...]
    encoder: str


Embed = Callable[[list[str]], tuple[npt.NDArray[Any], str]]


def read_embedded_file(path: Path, embed: Embed) -> EmbeddedFile:
    """Read ``path``; ``embed`` is called once with all texts if the file holds texts.

    Raises DriftInputError or ExchangeLineError, naming the file's line where there is one, and OSError.
    """
    if path.suffix == ".npy":
        return EmbeddedFile(_read_array(path), (), _GIVEN)
    if path.suffix != ".jsonl":
        raise DriftInputError(f"{path}: give a .npy file of embeddings, or a .jsonl file with 'text' or 'embedding'")
    rows = [_parse_line(line, number) for number, line in enumerate(_lines(path), start=1) if line.strip()]
    if not rows:
        raise DriftInputError(f"{path}: the file is empty")
    kinds = {kind for kind, _ in rows}
    if len(kinds) > 1:
        raise DriftInputError(
            f"{path}: some lines have 'text' and some 'embedding'; give one kind, so that they compare"
        )
    values = [value for _, value in rows]
    if kinds == {"text"}:
        vectors, encoder = embed(values)
        return EmbeddedFile(vectors, tuple(values), encoder)
    lengths = {len(value) for value in values}
    if len(lengths) > 1:
        raise DriftInputError(f"{path}: embeddings have different lengths: {sorted(lengths)[:5]}")
    return EmbeddedFile(np.array(values, dtype=np.float64), (), _GIVEN)


def _read_array(path: Path) -> npt.NDArray[np.floating[Any]]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DriftInputError(f"{path}: not an array that can be read ({error}); save it with numpy.save") from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise DriftInputError(
            f"{path}: must hold numbers in two dimensions (exchanges, dim), got {array.dtype} of shape {array.shape}"
        )
    return np.asarray(array) if array.dtype.kind == "f" else np.asarray(array, dtype=np.float64)


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")


def _parse_line(line: bytes, number: int) -> tuple[str, Any]:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ExchangeLineError(number, "not UTF-8; save the file as UTF-8") from None
    except (ValueError, RecursionError):
        raise ExchangeLineError(number, "not JSON; each line is one object") from None
    if not isinstance(row, dict):
        raise ExchangeLineError(number, "must be an object with 'text' or 'embedding'")
    found = [field for field in FIELDS if row.get(field) is not None]
    if len(found) != 1:
        raise ExchangeLineError(number, f"must have exactly one of 'text' and 'embedding', has {len(found)}")
    value = row[found[0]]
    if found[0] == "text":
        if not isinstance(value, str):
            raise ExchangeLineError(number, "must be a string", field="text")
        return "text", value
    if not isinstance(value, list) or not value or not all(type(one) in {int, float} for one in value):
        raise ExchangeLineError(number, "must be an array of numbers", field="embedding")
    try:
        return "embedding", [float(one) for one in value]
    except OverflowError:
        raise ExchangeLineError(number, "holds a number too large", field="embedding") from None
