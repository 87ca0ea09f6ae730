"""Reads sentences with slots from a text file: sections with labels, and lists of values that fill the slots."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

_SLOT: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Section:
    """Sentences with the same labels; each is filled ``copies`` times."""

    family: str
    copies: int
    labels: frozenset[str]
    templates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text of a file of ours, and the labels that hold."""

    text: str
    labels: frozenset[str]


def read_sections(path: Path) -> tuple[dict[str, tuple[str, ...]], list[Section]]:
    """Return the slots and the sections of a file; the format is explained in ``texts/toxicity_frames.txt``.

    Raises ValueError for a sentence outside a section and for a header that can't be read.
    """
    slots: dict[str, tuple[str, ...]] = {}
    sections: list[tuple[str, int, frozenset[str], list[str]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("@"):
            name, values = line[1:].split(":", 1)
            slots[name.strip()] = tuple(value.strip() for value in values.split("|"))
        elif line.startswith("=="):
            header = re.fullmatch(r"== (\w+) (\d+): ([\w -]+)", line)
            if header is None:
                raise ValueError(f"{path.name}: not a section header: {line!r}")
            labels = frozenset(header[3].split()) - {"-"}
            sections.append((header[1], int(header[2]), labels, []))
        elif not sections:
            raise ValueError(f"{path.name}: a sentence before the first section: {line!r}")
        else:
            sections[-1][3].append(line)
    return slots, [Section(family, copies, labels, tuple(lines)) for family, copies, labels, lines in sections]


def read_labelled(path: Path) -> list[LabelledText]:
    """Return the texts of a file with a line each: labels, a tab, the text."""
    texts = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            labels, text = line.split("\t", 1)
            texts.append(LabelledText(text.replace("\\n", "\n"), frozenset(labels.split(",")) - {"-"}))
    return texts


def fill(template: str, slots: Mapping[str, tuple[str, ...]], rng: np.random.Generator) -> str:
    """Return the template with every slot filled at random, those inside values too.

    The first letter is raised, unless the template begins with a small letter of its own, as chat does.
    """
    text = template
    while found := _SLOT.search(text):
        text = text[: found.start()] + str(rng.choice(slots[found[1]])) + text[found.end() :]
    return text if template[0].islower() else text[0].upper() + text[1:]


def misspell(text: str, rng: np.random.Generator) -> str:
    """Return the text with one letter of one longer word left out, doubled or exchanged with its neighbour."""
    words = text.split(" ")
    longer = [place for place, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    if not longer:
        return text
    place = int(rng.choice(longer))
    word = words[place]
    at = int(rng.integers(1, len(word) - 1))
    kind = int(rng.integers(3))
    if kind == 0:
        word = word[:at] + word[at + 1 :]
    elif kind == 1:
        word = word[:at] + word[at] + word[at:]
    else:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    words[place] = word
    return " ".join(words)
