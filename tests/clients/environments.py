"""Environments for clients that ours does not hold, built by name from the package indexes and kept below ``.venv``.

    python tests/clients/environments.py python | node

prints the interpreter that runs the Python clients, or the ``node_modules`` of the JavaScript ones; the first call
installs them. Exits 1 and says why where they cannot be had. A folder carries a digest of what was asked for in its
name, so a changed list builds anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CLIENTS = Path(__file__).resolve().parent
KEPT = CLIENTS.parent.parent / ".venv" / "clients"
BUILD_S = 400


class CannotBuildError(Exception):
    """The packages could not be had; the text says what the installer said."""


def find_python() -> Path:
    """Return an interpreter with the packages of ``tests/clients/requirements*.txt``; the first call installs them."""
    lists = [CLIENTS / "requirements.txt", CLIENTS / "requirements-alone.txt"]
    folder = _folder("python", *lists)
    python = folder / "bin" / "python"
    if not _is_built(folder):
        _run([sys.executable, "-m", "venv", str(folder)], folder.parent)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*install, "-r", str(lists[0])], folder)
        _run([*install, "--no-deps", "-r", str(lists[1])], folder)
        _mark_built(folder)
    return python


def find_node_modules() -> Path:
    """Return a ``node_modules`` with the packages of ``tests/clients/package.json``; the first call installs them."""
    asked = CLIENTS / "package.json"
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise CannotBuildError("node and npm are not installed")
    folder = _folder("node", asked)
    if not _is_built(folder):
        folder.mkdir(parents=True)
        shutil.copy(asked, folder)
        _run([npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"], folder)
        _mark_built(folder)
    return folder / "node_modules"


def _folder(name: str, *lists: Path) -> Path:
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in lists) + sys.version.encode())
    return KEPT / f"{name}-{digest.hexdigest()[:12]}"


def _is_built(folder: Path) -> bool:
    """Return whether the folder is complete; what an interrupted installation left is removed."""
    if (folder / "complete").exists():
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return False


def _mark_built(folder: Path) -> None:
    (folder / "complete").touch()


def _run(command: list[str], folder: Path) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "OTEL_", "CUSTODES_"))}
    try:
        done = subprocess.run(
            command, cwd=folder, env=kept, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CannotBuildError(f"{' '.join(command)} took longer than {BUILD_S} s") from error
    if done.returncode:
        raise CannotBuildError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")


def main() -> int:
    """Print where the environment named on the command line is."""
    build = {"python": find_python, "node": find_node_modules}[sys.argv[1]]
    try:
        found = build()
    except CannotBuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
