"""Reads ``support_cases.txt``: answers about documents, by category, and what is wrong in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.support_examples import Example, Ranges

CASES_FILE: Final = Path(__file__).with_name("support_cases.txt")
ABSTENTION: Final = "abstention"
FIELDS: Final = 3

_MARKED: Final = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Case:
    """An exchange and what kind of answer it holds."""

    category: str
    example: Example


def load_cases(path: Path = CASES_FILE) -> list[Case]:
    """Return the cases in order; raises ValueError on a line that is neither document nor case."""
    cases = []
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for block in re.split(r"^@ ", text, flags=re.MULTILINE)[1:]:
        name, *lines = block.strip().split("\n")
        first = next(index for index, line in enumerate(lines) if re.match(r"[a-z_]+ \| ", line))
        contexts = tuple(part.strip() for part in "\n".join(lines[:first]).split("\n---\n"))
        for line in lines[first:]:
            parts = line.split(" | ", FIELDS - 1)
            if len(parts) != FIELDS:
                raise ValueError(f"a case needs a category, a question and an answer, parted by ' | ': {line!r}")
            category, question, answer = parts
            told, ranges = _unmark(answer.replace("\\n", "\n"))
            example = Example(told, contexts, bool(ranges), ranges, f"case-{name}", f"case_{category}", question)
            cases.append(Case(category, example))
    return cases


def _unmark(marked: str) -> tuple[str, Ranges]:
    text, ranges, at = "", [], 0
    for match in _MARKED.finditer(marked):
        text += marked[at : match.start()]
        ranges.append((len(text), len(text) + len(match[1])))
        text += match[1]
        at = match.end()
    return text + marked[at:], tuple(ranges)
