"""Verify an export bundle offline: no server, no database, only the standard library and ``cryptography``.

What to trust comes from the auditor: the origin, the log's verifier key, keys of witnesses, an earlier checkpoint.
Nothing in the bundle says whom to believe. Every byte of every file is either verified or rejected, and a file that
does not belong is a finding. Exit codes: 0 intact, 2 tampered, 3 forked, 4 truncated or stale, 5 unverifiable.

Run it alone: ``python -m policies.audit.verify DIR --origin ORIGIN --key VKEY``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from policies.audit.bundle import (
    CHECKPOINT_FILE,
    MANIFEST_FILE,
    Manifest,
    entry_to_line,
    open_manifest,
)
from policies.audit.bundle_files import BundleFiles, Code, Finding, ReadableCopy, list_files
from policies.audit.checkpoint import Checkpoint, open_checkpoint
from policies.audit.errors import AuditError, NoteError, SignatureError, TileError, UnknownKeyError
from policies.audit.leaf import body_to_leaf
from policies.audit.merkle import EMPTY_ROOT, HASH_BYTES, Frontier, leaf_hash
from policies.audit.note import (
    MAX_NOTE_BYTES,
    VerifierKey,
    count_unknown,
    encode_base64,
    parse_note,
    parse_verifier_key,
    verify_note,
)
from policies.audit.tile_tree import TileEdge, tile_hashes
from policies.audit.tiles import (
    ENTRIES_LEVEL,
    MAX_BUNDLE_BYTES,
    TILE_WIDTH,
    TileName,
    decode_entries,
    name_tile,
)

__all__ = ["Code", "Verdict", "main", "verify_bundle"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer: ``message`` is one sentence for people, ``details`` the facts established so far, JSON-able."""

    code: Code
    message: str
    details: Mapping[str, Any]


def verify_bundle(
    directory: Path,
    origin: str,
    vkey: str,
    witness_vkeys: Sequence[str] = (),
    since_checkpoint: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Return whether the bundle is exactly what the log ``origin`` signed with ``vkey``. Never raises for bad input.

    Every witness in ``witness_vkeys`` must have cosigned. ``since_checkpoint`` is a checkpoint file the auditor kept
    (or was sent): the bundle must extend it, else it is forked, or stale if it is older. ``progress`` is called with
    leaves done and leaves in all.
    """
    facts: dict[str, Any] = {}
    try:
        _verify(directory, origin, vkey, witness_vkeys, since_checkpoint, progress, facts)
    except Finding as finding:
        return Verdict(finding.code, finding.message, facts)
    except OSError as error:
        return Verdict(Code.UNVERIFIABLE, f"{error.filename or directory} cannot be read: {error.strerror}", facts)
    included = facts["end"] - facts["first"]
    return Verdict(
        Code.INTACT,
        f"intact: {facts['size']} leaves under the signed root, {included} entries included and every byte checked",
        facts,
    )


def _verify(
    directory: Path,
    origin: str,
    vkey: str,
    witness_vkeys: Sequence[str],
    since_checkpoint: Path | None,
    progress: Callable[[int, int], None] | None,
    facts: dict[str, Any],
) -> None:
    key = _parse_key(vkey, "--key")
    witnesses = [_parse_key(text, "--witness") for text in witness_vkeys]
    bundle = list_files(directory)
    checkpoint = _open_head(bundle.take(CHECKPOINT_FILE, Code.UNVERIFIABLE, MAX_NOTE_BYTES), origin, key)
    facts.update(origin=origin, key=vkey, size=checkpoint.size, root=encode_base64(checkpoint.root))
    facts["witnesses"] = _check_witnesses(checkpoint, witnesses)
    facts["ignored_signatures"] = count_unknown(parse_note(checkpoint.note.encode()), [key, *witnesses])
    since = None if since_checkpoint is None else _open_since(since_checkpoint, checkpoint, key)
    manifest = _check_manifest(bundle.take(MANIFEST_FILE, Code.UNVERIFIABLE, MAX_NOTE_BYTES), checkpoint, key)
    facts.update(first=manifest.first, end=manifest.end, from_time=manifest.from_time, to_time=manifest.to_time)
    facts["exported_at"] = manifest.exported_at
    since_root = _check_tree(bundle, checkpoint, manifest, 0 if since is None else since.size, progress, facts)
    if since is not None and since_root != since.root:
        raise Finding(
            Code.FORKED, f"forked: this log's first {since.size} leaves are not those of the earlier checkpoint"
        )
    if bundle.unused:
        raise Finding(Code.TAMPERED, f"files that do not belong to the bundle: {sorted(bundle.unused)[:5]!a}")


def _parse_key(text: str, option: str) -> VerifierKey:
    try:
        return parse_verifier_key(text)
    except NoteError as error:
        raise Finding(Code.UNVERIFIABLE, f"{option}: {error}") from error


def _open_head(data: bytes, origin: str, key: VerifierKey) -> Checkpoint:
    try:
        return open_checkpoint(data, origin, key)
    except UnknownKeyError as error:
        raise Finding(Code.UNVERIFIABLE, str(error)) from error
    except NoteError as error:
        raise Finding(Code.TAMPERED, f"checkpoint: {error}") from error


def _check_witnesses(checkpoint: Checkpoint, witnesses: Sequence[VerifierKey]) -> dict[str, int | None]:
    note = parse_note(checkpoint.note.encode())
    times = {}
    for witness in witnesses:
        try:
            times[witness.name] = verify_note(note, witness)
        except UnknownKeyError as error:
            raise Finding(Code.UNVERIFIABLE, f"the witness {witness.name} did not cosign this checkpoint") from error
        except SignatureError as error:
            raise Finding(Code.TAMPERED, f"checkpoint: {error}") from error
    return times


def _open_since(path: Path, checkpoint: Checkpoint, key: VerifierKey) -> Checkpoint:
    with open(path, "rb") as file:
        data = file.read(MAX_NOTE_BYTES + 1)
    try:
        since = open_checkpoint(data, checkpoint.origin, key)
    except NoteError as error:
        raise Finding(Code.UNVERIFIABLE, f"the earlier checkpoint cannot be used: {error}") from error
    _compare_heads(checkpoint, since.size, since.root, "an earlier checkpoint")
    return since


def _check_manifest(data: bytes, checkpoint: Checkpoint, key: VerifierKey) -> Manifest:
    try:
        manifest = open_manifest(data, key)
    except AuditError as error:
        raise Finding(Code.TAMPERED, f"{MANIFEST_FILE}: {error}") from error
    _compare_heads(checkpoint, manifest.size, manifest.root, MANIFEST_FILE)
    if manifest.size < checkpoint.size:
        raise Finding(Code.TRUNCATED, f"{MANIFEST_FILE} is of an export at {manifest.size} leaves, not this one")
    if not 0 <= manifest.first <= manifest.end <= manifest.size:
        raise Finding(Code.TAMPERED, f"{MANIFEST_FILE} gives the impossible range {manifest.first} to {manifest.end}")
    if (manifest.origin, manifest.key) != (checkpoint.origin, key.to_text()):
        raise Finding(Code.TAMPERED, f"{MANIFEST_FILE} is signed but names another log")
    return manifest


def _compare_heads(checkpoint: Checkpoint, size: int, root: bytes | str, source: str) -> None:
    """Find a fork or a stale checkpoint by another statement that the same key signed."""
    same_root = root in (checkpoint.root, encode_base64(checkpoint.root))
    if size == checkpoint.size and not same_root:
        raise Finding(Code.FORKED, f"forked: {source}, signed by the same key, gives {size} leaves another root")
    if size > checkpoint.size:
        raise Finding(
            Code.TRUNCATED,
            f"truncated or stale: {source}, signed by the same key, says {size} leaves, this bundle {checkpoint.size}",
        )


def _check_tree(
    bundle: BundleFiles,
    checkpoint: Checkpoint,
    manifest: Manifest,
    since_size: int,
    progress: Callable[[int, int], None] | None,
    facts: dict[str, Any],
) -> bytes:
    """Check tiles, root and entries in one pass; return the root over the first ``since_size`` leaves."""
    size = checkpoint.size
    edge, frontier, since_root = TileEdge(), Frontier(), EMPTY_ROOT
    with ReadableCopy(bundle) as readable:
        for n in range(-(-size // TILE_WIDTH)):
            hashes = _read_hashes(bundle, name_tile(0, n, size))
            for value in hashes:
                frontier.append(value)
                edge.append(value)
                if frontier.size == since_size:
                    since_root = frontier.root()
            _check_upper_tiles(bundle, edge, size)
            if manifest.first <= n * TILE_WIDTH < manifest.end:
                _check_entries(bundle, name_tile(ENTRIES_LEVEL, n, size), hashes, readable, facts)
            if progress is not None:
                progress(frontier.size, size)
        readable.finish()
    if frontier.root() != checkpoint.root:
        raise Finding(Code.TAMPERED, f"the tiles of {size} leaves do not give the root that was signed")
    return since_root


def _read_hashes(bundle: BundleFiles, name: TileName) -> list[bytes]:
    expected = name.width * HASH_BYTES
    data = bundle.take_tile(name, expected)
    if len(data) < expected:
        code = Code.TRUNCATED if bundle.last[name.level] == name.n else Code.TAMPERED
        raise Finding(code, f"{name.to_path()} is cut short: {len(data)} of {expected} bytes")
    return tile_hashes(data)


def _check_upper_tiles(bundle: BundleFiles, edge: TileEdge, size: int) -> None:
    """Compare each tile above level 0 once it is as wide as the whole log makes it."""
    for name, data in edge.take_writes():
        is_final = name.level > 0 and name.width == name_tile(name.level, name.n, size).width
        if is_final and b"".join(_read_hashes(bundle, name)) != data:
            raise Finding(Code.TAMPERED, f"{name.to_path()} does not hold the hashes of the tiles below it")


def _check_entries(
    bundle: BundleFiles, name: TileName, hashes: Sequence[bytes], readable: ReadableCopy, facts: dict[str, Any]
) -> None:
    path = name.to_path()
    try:
        entries = decode_entries(bundle.take_tile(name, MAX_BUNDLE_BYTES))
    except TileError as error:
        raise Finding(Code.TAMPERED, f"{path}: {error}") from error
    for at, (entry, expected) in enumerate(zip(entries, hashes, strict=False)):
        if leaf_hash(entry) != expected:
            raise Finding(Code.TAMPERED, f"entry {name.start + at} in {path} was changed: it does not give its hash")
        readable.expect(entry_to_line(name.start + at, entry), name.start + at)
        _note_time(entry, facts)
    if len(entries) != len(hashes):
        was_cut = len(entries) < len(hashes) and bundle.last[ENTRIES_LEVEL] == name.n
        code = Code.TRUNCATED if was_cut else Code.TAMPERED
        raise Finding(code, f"{path} holds {len(entries)} entries, the tree has {len(hashes)} there")


def _note_time(entry: bytes, facts: dict[str, Any]) -> None:
    """Keep the first and last time the entries state; an entry that cannot be read is counted, not refused."""
    try:
        time = body_to_leaf(entry).time
    except AuditError:
        facts["unreadable_entries"] = facts.get("unreadable_entries", 0) + 1
        return
    facts["first_time"] = min(time, facts.get("first_time", time))
    facts["last_time"] = max(time, facts.get("last_time", time))


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify from the command line and return the exit code; wrong usage is "unverifiable", never "tampered"."""
    parser = _Parser(prog="python -m policies.audit.verify", description="Verify an exported audit bundle offline.")
    parser.add_argument("directory", type=Path, help="the exported folder")
    parser.add_argument("--origin", required=True, help="the log's origin, from your own records")
    parser.add_argument("--key", required=True, help="the log's verifier key, from your own records")
    parser.add_argument("--witness", action="append", default=[], help="a witness that must have cosigned; repeatable")
    parser.add_argument("--since", type=Path, help="a checkpoint file you kept; the bundle must extend it")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    chosen = parser.parse_args(arguments)
    verdict = verify_bundle(chosen.directory, chosen.origin, chosen.key, chosen.witness, chosen.since)
    if chosen.json:
        text = json.dumps({"code": int(verdict.code), "message": verdict.message, "details": dict(verdict.details)})
    else:
        text = verdict.message
    sys.stdout.write(text + "\n")
    return int(verdict.code)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(int(Code.UNVERIFIABLE), f"{self.prog}: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
