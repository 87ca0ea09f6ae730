"""Where policy files come from: folders, and the Git repository that holds them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from custodes.kernel.errors import InvalidInputError

_TIMEOUT_S = 20


def policy_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files as they are, and for a folder every .yaml and .yml file below it, by name."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(one for one in path.rglob("*") if one.suffix in (".yaml", ".yml") and one.is_file())
        if not found:
            raise InvalidInputError(f"{path} holds no .yaml file")
        yield from found


def find_origin(path: Path, *, must_be_clean: bool = False) -> dict[str, str] | None:
    """Return repository, commit and path of a file that Git tracks as it is; ``None`` for any other.

    With ``must_be_clean`` a file with local changes, or outside any repository, raises ``InvalidInputError``: what was
    reviewed there would not be what is stored here.
    """
    commit = _git(path, "rev-parse", "HEAD")
    name = _git(path, "ls-files", "--full-name", "--error-unmatch", "--", path.name)
    changed = commit is not None and _git(path, "status", "--porcelain", "--", path.name) != ""
    if commit is None or name is None or changed:
        if must_be_clean:
            problem = "has changes that are not committed" if changed and name else "is in no Git repository"
            raise InvalidInputError(f"{path} {problem}; policies are read-only here and come from commits")
        return None
    remote = _git(path, "config", "--get", "remote.origin.url") or _git(path, "rev-parse", "--show-toplevel") or ""
    return {"repository": _without_credentials(remote), "commit": commit, "path": name}


def _git(path: Path, *arguments: str) -> str | None:
    """Return what Git prints about the folder of ``path``; ``None`` when it fails or there is no Git."""
    program = shutil.which("git")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "-C", str(path.resolve().parent), *arguments],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _without_credentials(address: str) -> str:
    """Return a remote's address without user name and password, which some carry."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    host, slash, tail = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{tail}"
