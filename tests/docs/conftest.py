"""The documentation as the tests see it: Markdown files, their code blocks and their links."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def pages(root: Path) -> list[Path]:
    """Every page of the documentation."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md"), root / "sdk" / "README.md"])


@pytest.fixture(scope="session")
def blocks() -> Callable[[Path, str], Iterator[str]]:
    """A function that yields a page's code blocks of one language."""

    def find(page: Path, language: str) -> Iterator[str]:
        for match in FENCE.finditer(page.read_text(encoding="utf-8")):
            if match.group(1) == language:
                yield match.group(2)

    return find
