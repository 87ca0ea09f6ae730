"""The files of an export bundle as the verifier sees them: every one is taken once, or is a finding.

Standard library only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, NoReturn

from policies.audit.bundle import ENTRIES_FILE
from policies.audit.errors import TileError
from policies.audit.tiles import TileName, parse_path


class Code(IntEnum):
    """The exit codes of ``custodes audit verify``."""

    INTACT = 0
    TAMPERED = 2
    FORKED = 3
    TRUNCATED = 4
    UNVERIFIABLE = 5


@dataclass(slots=True)
class Finding(Exception):
    """Ends the verification: the first thing that keeps the bundle from being intact."""

    code: Code
    message: str


@dataclass(slots=True)
class BundleFiles:
    """The files of a bundle by relative path, and the highest tile index seen at each level."""

    files: dict[str, Path]
    last: dict[int, int] = field(default_factory=dict)
    unused: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.unused = set(self.files)
        for path in self.files:
            try:
                name = parse_path(path)
            except TileError:
                continue
            self.last[name.level] = max(name.n, self.last.get(name.level, 0))

    def take(self, path: str, missing: Code, limit: int) -> bytes:
        """Return a file's bytes and count it as belonging; a file over ``limit`` bytes was tampered with."""
        if path not in self.files:
            raise Finding(missing, f"{path} is missing from the bundle")
        self.unused.discard(path)
        with open(self.files[path], "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise Finding(Code.TAMPERED, f"{path} is longer than the {limit} bytes it can have")
        return data

    def take_tile(self, name: TileName, limit: int) -> bytes:
        """Return a tile's or entry bundle's bytes; where everything after it is missing too, the log was cut."""
        is_tail = self.last.get(name.level, -1) <= name.n
        return self.take(name.to_path(), Code.TRUNCATED if is_tail else Code.TAMPERED, limit)


class ReadableCopy:
    """Compares ``entries.jsonl``, byte by byte, with what the verified entries make it."""

    def __init__(self, bundle: BundleFiles) -> None:
        if ENTRIES_FILE not in bundle.files:
            raise Finding(Code.TAMPERED, f"{ENTRIES_FILE} is missing from the bundle")
        bundle.unused.discard(ENTRIES_FILE)
        self._file: BinaryIO = open(bundle.files[ENTRIES_FILE], "rb")  # noqa: SIM115  # closed by __exit__

    def __enter__(self) -> ReadableCopy:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def expect(self, line: bytes, seq: int) -> None:
        """Raise unless the next bytes are ``line``."""
        if self._file.read(len(line)) != line:
            raise Finding(Code.TAMPERED, f"{ENTRIES_FILE} does not show entry {seq} as it is in the log")

    def finish(self) -> None:
        """Raise unless the file ends here."""
        if self._file.read(1):
            raise Finding(Code.TAMPERED, f"{ENTRIES_FILE} holds more than the exported entries")


def list_files(directory: Path) -> BundleFiles:
    """Return every file below ``directory``; a link, a pipe or anything else that is no plain file is a finding.

    Raises ``OSError`` where a folder cannot be read.
    """
    if not directory.is_dir():
        raise Finding(Code.UNVERIFIABLE, f"{directory} is not a folder; give the folder that was exported")
    files = {}
    for folder, folders, names in os.walk(directory, onerror=_raise):
        for name in [*names, *(name for name in folders if os.path.islink(os.path.join(folder, name)))]:
            path = Path(folder, name)
            relative = path.relative_to(directory).as_posix()
            if path.is_symlink() or not path.is_file():
                raise Finding(Code.TAMPERED, f"{relative!a} is a link or special file; a bundle holds plain files")
            files[relative] = path
    return BundleFiles(files)


def _raise(error: OSError) -> NoReturn:
    raise error
