"""Local model bundles: folders of files under one models directory, pinned by SHA-256 in a manifest.

A bundle is whatever a model needs on disk: weights, tokenizer, configuration. ``import_bundle`` copies a folder in and
writes down every file's digest; from then on a changed, missing or additional file is found and named. Nothing here
opens a connection, and nothing parses a weights file.

The manifest, ``manifest.json``, is ``{"version": 1, "bundles": {name: {path in the bundle: {"sha256", "bytes"}}}}``. A
bundle's own digest is the SHA-256 of what ``sha256sum`` prints for its files in order of their paths, so it can be
checked without Custodes, in the bundle's folder:
``find . -type f | sed 's|^./||' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from detectors.errors import ModelFileError

MANIFEST_FILE: Final = "manifest.json"
MANIFEST_VERSION: Final = 1
_CHUNK_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

Fault = Literal["changed", "missing", "extra"]


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One pinned file: its path inside the bundle with ``/`` between parts, 64 hex digits, and its size."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """A pinned bundle: its folder, a ``sha256:…`` over all its files, and the files in order of their paths."""

    name: str
    path: Path
    digest: str
    files: tuple[BundleFile, ...]

    def file(self, name: str) -> Path:
        """Return where a pinned file lies; raises ModelFileError if the bundle holds no such file."""
        if all(one.path != name for one in self.files):
            held = ", ".join(one.path for one in self.files)
            raise ModelFileError(f"bundle {self.name} holds no {name}; it holds {held}")
        return self.path / name


@dataclass(frozen=True, slots=True)
class BundleFault:
    """One file that is not as pinned: its path inside the bundle, and what is wrong with it."""

    path: str
    fault: Fault


def list_bundles(models_dir: Path) -> list[Bundle]:
    """Return every bundle the manifest pins, by name; none if there is no manifest. Reads no model file.

    Raises ModelFileError if the manifest cannot be read or is malformed.
    """
    return [_to_bundle(models_dir, name, files) for name, files in sorted(_read_manifest(models_dir).items())]


def has_bundle(models_dir: Path, name: str) -> bool:
    """Return whether the manifest pins a bundle of that name."""
    return name in _read_manifest(models_dir)


def read_bundle(models_dir: Path, name: str) -> Bundle:
    """Return the bundle as pinned, without looking at its files; raises ModelFileError if none has that name."""
    manifest = _read_manifest(models_dir)
    if name not in manifest:
        there = f"there are {', '.join(sorted(manifest))}" if manifest else "there is none"
        raise ModelFileError(
            f"no model bundle {name!r} in {models_dir}: {there}; import one with: custodes models import FOLDER"
        )
    return _to_bundle(models_dir, name, manifest[name])


def verify_bundle(bundle: Bundle) -> list[BundleFault]:
    """Return every file that is changed, missing or not in the manifest, in path order; none if all is as pinned.

    Reads every byte. A link counts as changed: what it points to could be exchanged from outside.
    """
    pinned = {one.path: one for one in bundle.files}
    present = _find_files(bundle.path, hidden=True) if bundle.path.is_dir() else {}
    faults = [BundleFault(path, "missing") for path in pinned.keys() - present.keys()]
    faults += [BundleFault(path, "extra") for path in present.keys() - pinned.keys()]
    for path in pinned.keys() & present.keys():
        file = present[path]
        if file.is_symlink() or not _is_as_pinned(file, pinned[path]):
            faults.append(BundleFault(path, "changed"))
    return sorted(faults, key=lambda one: one.path)


def open_bundle(models_dir: Path, name: str) -> Bundle:
    """Return a bundle whose every file was just verified; this is what loading a model starts with.

    Raises ModelFileError naming each file that is not as pinned.
    """
    bundle = read_bundle(models_dir, name)
    faults = verify_bundle(bundle)
    if faults:
        named = ", ".join(f"{one.path} is {'not pinned' if one.fault == 'extra' else one.fault}" for one in faults)
        raise ModelFileError(
            f"model bundle {name} at {bundle.path} is not what was imported: {named}; "
            "restore the files, or import the bundle again"
        )
    return bundle


def import_bundle(source: Path, models_dir: Path, name: str | None = None) -> Bundle:
    """Copy the folder ``source`` into ``models_dir`` and pin it as ``name``, by default the folder's own name.

    Hidden files and folders are left out; links to files are followed, so a hub cache's snapshot folder can be
    imported. The copy is complete and hashed before it takes its place, and the manifest is written last, so an import
    that is interrupted leaves no half bundle behind. A bundle of the same name is replaced. Raises ModelFileError for a
    folder without files, an unusable name, or anything that cannot be read or written.
    """
    chosen = source.resolve().name if name is None else name
    if _NAME.fullmatch(chosen) is None:
        raise ModelFileError(
            f"a bundle cannot be named {chosen!r}: use letters, digits, dots, dashes and underscores, "
            "and begin with a letter or digit"
        )
    if not source.is_dir():
        raise ModelFileError(
            f"{source} is not a folder; a bundle is a folder with weights, tokenizer and configuration"
        )
    found = _find_files(source, hidden=False)
    if not found:
        raise ModelFileError(f"{source} holds no file to import")
    target = models_dir / chosen
    if _overlaps(source.resolve(), target.resolve()):
        raise ModelFileError(f"{source} and its place {target} lie inside each other; copy the folder elsewhere first")
    manifest = _read_manifest(models_dir)
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=models_dir, prefix=".import-") as scratch:
            staged = Path(scratch) / chosen
            files = tuple(_copy_file(found[path], staged / path, path) for path in sorted(found))
            if target.exists():
                target.rename(Path(scratch) / "replaced")
            staged.rename(target)
        _write_manifest(models_dir, {**manifest, chosen: files})
    except OSError as error:
        raise ModelFileError(f"cannot import {source} into {models_dir}: {error.filename}: {error.strerror}") from error
    return _to_bundle(models_dir, chosen, files)


def _to_bundle(models_dir: Path, name: str, files: tuple[BundleFile, ...]) -> Bundle:
    lines = "".join(f"{one.sha256}  {one.path}\n" for one in files)
    digest = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
    return Bundle(name, models_dir / name, f"sha256:{digest}", files)


def _read_manifest(models_dir: Path) -> dict[str, tuple[BundleFile, ...]]:
    path = models_dir / MANIFEST_FILE
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelFileError(f"{path} is not JSON: {error}") from error
    try:
        if document["version"] != MANIFEST_VERSION:
            raise ModelFileError(f"{path} has version {document['version']!r}, this release reads {MANIFEST_VERSION}")
        return {_checked_name(name): _parse_files(files) for name, files in document["bundles"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{path} is not a manifest of model bundles: {type(error).__name__} at {error}") from error


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"bundle name {name!r}")
    return name


def _parse_files(files: Mapping[str, Any]) -> tuple[BundleFile, ...]:
    parsed = []
    for path, pinned in sorted(files.items()):
        # A manifest that names "../../x" would have files outside the bundle read and called part of it.
        if PurePosixPath(path).is_absolute() or not path or {"", ".", ".."} & set(path.split("/")):
            raise ValueError(f"file path {path!r}")
        if _SHA256.fullmatch(pinned["sha256"]) is None:
            raise ValueError(f"the digest of {path!r}")
        parsed.append(BundleFile(path, pinned["sha256"], int(pinned["bytes"])))
    return tuple(parsed)


def _write_manifest(models_dir: Path, bundles: Mapping[str, tuple[BundleFile, ...]]) -> None:
    document = {
        "version": MANIFEST_VERSION,
        "bundles": {
            name: {one.path: {"sha256": one.sha256, "bytes": one.size_bytes} for one in files}
            for name, files in sorted(bundles.items())
        },
    }
    handle, scratch = tempfile.mkstemp(dir=models_dir, prefix=".manifest-")
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    Path(scratch).chmod(0o644)
    Path(scratch).replace(models_dir / MANIFEST_FILE)


def _find_files(folder: Path, *, hidden: bool) -> dict[str, Path]:
    """Return everything in ``folder`` that is no folder, by its path inside; linked folders are not entered."""
    found = {}
    for root, folders, names in os.walk(folder):
        if not hidden:
            folders[:] = [one for one in folders if not one.startswith(".")]
        linked = [one for one in folders if (Path(root) / one).is_symlink()]
        for name in (*names, *linked):
            if hidden or not name.startswith("."):
                path = Path(root) / name
                found[path.relative_to(folder).as_posix()] = path
    return found


def _copy_file(source: Path, target: Path, path: str) -> BundleFile:
    if not path.isprintable():
        raise ModelFileError(f"the file name {path!r} has characters that cannot be printed; rename it")
    if not source.is_file():
        raise ModelFileError(f"{source} is neither a file nor a link to one; a bundle holds plain files only")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    # The copy is what will be loaded, so the copy is what is hashed.
    return BundleFile(path, _hash_file(target), target.stat().st_size)


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _is_as_pinned(file: Path, pinned: BundleFile) -> bool:
    try:
        return file.is_file() and file.stat().st_size == pinned.size_bytes and _hash_file(file) == pinned.sha256
    except OSError:
        return False


def _overlaps(left: Path, right: Path) -> bool:
    return left == right or left in right.parents or right in left.parents
