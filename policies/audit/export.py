"""Write an export bundle: the signed log, or the part of a time range, as a folder that verifies offline."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from custodes.db import ReadTx
from custodes.kernel.clock import ns_to_rfc3339
from policies.audit import store
from policies.audit.bundle import (
    CHECKPOINT_FILE,
    ENTRIES_FILE,
    MANIFEST_FILE,
    Manifest,
    entry_to_line,
    manifest_to_bytes,
)
from policies.audit.checkpoint import Checkpoint, open_checkpoint
from policies.audit.errors import ExportError
from policies.audit.keys import LogKey
from policies.audit.note import encode_base64
from policies.audit.reading import read_checkpoint
from policies.audit.tiles import TILE_WIDTH, encode_entries, list_bundles, list_tiles


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the checkpoint of the whole log, and the entries ``[first, end)`` that are included."""

    folder: Path
    checkpoint: Checkpoint
    first: int
    end: int
    files: int


def export_bundle(
    tx: ReadTx,
    out_dir: Path,
    key: LogKey,
    *,
    now_ns: int,
    from_ns: int | None = None,
    to_ns: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write the log as of its latest checkpoint to ``out_dir``, which must not exist or be empty.

    Every hash tile is written, so the whole tree verifies; entries are written for the time range only (unix
    nanoseconds, from inclusive, to exclusive), widened to whole bundles of 256. The folder appears complete or not at
    all. ``progress`` is called with files done and files in all. Raises ``ExportError`` if the folder cannot be
    written, ``NoteError`` if ``key`` did not sign the stored checkpoint, ``NotInLogError`` if something is missing.
    """
    _check_empty(out_dir)
    checkpoint = open_checkpoint(read_checkpoint(tx).note.encode(), key.origin, key.verifier)
    first, end = _widen(*store.load_seq_bounds(tx, from_ns, to_ns, checkpoint.size), checkpoint.size)
    manifest = Manifest(
        origin=checkpoint.origin,
        key=key.verifier.to_text(),
        size=checkpoint.size,
        root=encode_base64(checkpoint.root),
        first=first,
        end=end,
        from_time=None if from_ns is None else ns_to_rfc3339(from_ns),
        to_time=None if to_ns is None else ns_to_rfc3339(to_ns),
        exported_at=ns_to_rfc3339(now_ns),
    )
    partial = out_dir.with_name(f".{out_dir.name}.{secrets.token_hex(6)}")
    total = 3 + sum(1 for _ in list_tiles(checkpoint.size)) + sum(1 for _ in list_bundles(first, end, checkpoint.size))
    try:
        partial.mkdir(parents=True)
        _write(partial / MANIFEST_FILE, manifest_to_bytes(manifest, key.sign_text))
        _write(partial / CHECKPOINT_FILE, checkpoint.note.encode())
        done = 3
        for _ in _write_tiles(tx, partial, checkpoint.size, first, end):
            done += 1
            if progress is not None:
                progress(done, total)
        os.rename(partial, out_dir)
    except OSError as error:
        raise ExportError(
            f"the bundle cannot be written to {out_dir}: {error.strerror}; choose another folder"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Exported(out_dir, checkpoint, first, end, total)


def _write_tiles(tx: ReadTx, folder: Path, size: int, first: int, end: int) -> Iterator[None]:
    """Write every hash tile, then the entry bundles and their readable copy; yield after each file."""
    for name in list_tiles(size):
        _write(folder / name.to_path(), store.load_tile(tx, name))
        yield
    with open(folder / ENTRIES_FILE, "wb") as readable:
        for name in list_bundles(first, end, size):
            bodies = store.load_bodies(tx, name.start, name.start + name.width)
            _write(folder / name.to_path(), encode_entries(bodies))
            readable.writelines(entry_to_line(name.start + at, body) for at, body in enumerate(bodies))
            yield


def _widen(first: int, end: int, size: int) -> tuple[int, int]:
    """Return the range grown to whole bundles, which is what the tiles layout can carry."""
    if first == end:
        return 0, 0
    return first // TILE_WIDTH * TILE_WIDTH, min(size, -(-end // TILE_WIDTH) * TILE_WIDTH)


def _check_empty(out_dir: Path) -> None:
    if os.path.lexists(out_dir) and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise ExportError(f"{out_dir} exists and is not an empty folder; choose another one, nothing was written")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
