"""How assistants refuse, as compiled patterns, one a language; what they are is in ``refusal_patterns.txt``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

FILE: Final = Path(__file__).with_suffix(".txt")
_NAME: Final = re.compile(r"@([A-Z_]+)@")
_OTHERS: Final = ("unable", "apology", "around")


@dataclass(frozen=True, slots=True)
class RefusalPatterns:
    """Patterns over a sentence in lower case. ``refusals`` are by ISO 639-1 code."""

    refusals: Mapping[str, re.Pattern[str]]
    unable: re.Pattern[str]
    apology: re.Pattern[str]
    around: re.Pattern[str]


@lru_cache(maxsize=1)
def load_refusal_patterns() -> RefusalPatterns:
    """Return the patterns that this package ships, compiled once a process."""
    names: dict[str, str] = {}
    sections: dict[str, list[str]] = {}
    section = ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]") and line[1:-1].isalpha():
            section = line[1:-1]
            sections[section] = []
        elif not section:
            name, _, pattern = line.partition(" = ")
            names[name] = pattern
        else:
            sections[section].append(_NAME.sub(lambda match: names[match[1]], line))
    compiled = {name: re.compile("|".join(alternatives)) for name, alternatives in sections.items()}
    return RefusalPatterns(
        MappingProxyType({code: pattern for code, pattern in compiled.items() if code not in _OTHERS}),
        *(compiled[name] for name in _OTHERS),
    )
