"""What is wrong with a policy file, said so that the author can repair it at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem: where it is, what it is, and the nearest valid name when a name was wrong.

    ``line`` counts from 1. ``field`` is the dotted path inside the document, empty for the whole
    file. An ``error`` makes the file unusable; a ``warning`` does not.
    """

    file: str
    line: int
    field: str
    message: str
    nearest: str | None = None
    level: Level = "error"

    def render(self) -> str:
        """Return ``file:line: level: field: message``, the form editors and CI logs can jump to."""
        place = f"{self.field}: " if self.field else ""
        hint = f" (did you mean {self.nearest!r}?)" if self.nearest else ""
        return f"{self.file}:{self.line}: {self.level}: {place}{self.message}{hint}"


def nearest_name(word: str, names: Iterable[str]) -> str | None:
    """Return the valid name that looks most like ``word``, or ``None`` when nothing comes close."""
    ordered = sorted(set(names))
    matches = difflib.get_close_matches(word, ordered, n=1, cutoff=0.5)
    if matches:
        return matches[0]
    folded = {name.lower().replace("-", "_"): name for name in ordered}
    return folded.get(word.lower().replace("-", "_"))
