"""What the architecture tests look at: the files of the checkout, parsed once."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

IGNORED_FOLDERS = {".git", ".venv", "build", "dist", "node_modules", "__pycache__"}


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tracked_files(root: Path) -> list[Path]:
    """Every file that git tracks or would track; every file outside ignored folders where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        found = [path for path in root.rglob("*") if path.is_file()]
        return sorted(path for path in found if not IGNORED_FOLDERS & set(path.relative_to(root).parts))
    return sorted(root / name for name in listed if name and (root / name).is_file())


@pytest.fixture(scope="session")
def sources(root: Path, tracked_files: list[Path]) -> Mapping[str, ast.Module]:
    """The parsed Python files by their path below the root, e.g. ``custodes/kernel/clock.py``."""
    python = [path for path in tracked_files if path.suffix == ".py"]
    return {path.relative_to(root).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in python}


@pytest.fixture(scope="session")
def imports_of() -> Callable[[ast.Module], set[str]]:
    """A function that returns the dotted names a module imports, wherever in the file the import stands."""

    def find(tree: ast.Module) -> set[str]:
        found: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module or ".")
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        return found

    return find
