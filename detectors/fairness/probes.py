"""Counterfactual probes: the same request twice, about somebody of one group and about somebody of another.

Everything but the words for a person is the same, so a difference between the answers has no other cause than these
words and chance. Pairs feed the same test as live traffic; the stratum is the template and the axis, so that only
answers to the same request meet. Templates and words are our own, in ``probes.txt``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("probes.txt")
WHO: Final = "{who}"


@dataclass(frozen=True, slots=True)
class Probe:
    """One request: its text, the group it is about as ``axis:name``, and the stratum it is compared in."""

    prompt: str
    group: str
    stratum: str


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """All requests there are: words by axis and group, and templates in the order of the file."""

    words: dict[str, dict[str, str]]
    templates: tuple[str, ...]

    def draw_pair(self, rng: random.Random) -> tuple[Probe, Probe]:
        """Return two requests from one template about two groups of one axis, in random order."""
        axis = rng.choice(sorted(self.words))
        number = rng.randrange(len(self.templates))
        first, second = rng.sample(sorted(self.words[axis]), 2)
        return self.probe(axis, first, number), self.probe(axis, second, number)

    def probe(self, axis: str, name: str, number: int) -> Probe:
        """Return the request of one template about one group; raise ``KeyError`` or ``IndexError`` for others."""
        prompt = self.templates[number].replace(WHO, self.words[axis][name])
        return Probe(prompt, f"{axis}:{name}", f"{axis}/{number + 1}")

    def __iter__(self) -> Iterator[Probe]:
        for axis, names in self.words.items():
            for name in names:
                for number in range(len(self.templates)):
                    yield self.probe(axis, name, number)


@lru_cache(maxsize=1)
def load_probes() -> ProbeSet:
    """Return the requests this package ships, read once a process."""
    return parse_probes(FILE.read_text(encoding="utf-8"))


def parse_probes(text: str) -> ProbeSet:
    """Return the requests of a text; raise ``ValueError`` naming the line that is none of the forms."""
    words: dict[str, dict[str, str]] = {}
    templates: list[str] = []
    axis = ""
    for line_no, line in enumerate((one.strip() for one in text.splitlines()), start=1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            axis = line[1:-1]
            words[axis] = {}
        elif line.startswith(">") and WHO in line:
            templates.append(line[1:].strip())
        elif axis and " = " in line:
            name, _, spoken = line.partition(" = ")
            words[axis][name] = spoken
        else:
            raise ValueError(f"line {line_no}: neither [axis], name = words, nor > template with {WHO}: {line[:60]!r}")
    if not templates or any(len(names) < 2 for names in words.values()) or not words:
        raise ValueError("probes need a template and at least two groups on each axis")
    return ProbeSet(words, tuple(templates))
