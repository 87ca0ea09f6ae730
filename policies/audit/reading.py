"""What readers of the log may ask: the checkpoint, tiles, entry bundles, a list of leaves, a proof.

Everything is answered as of the latest signed checkpoint; leaves that are integrated but not yet signed do not exist
for readers. The byte answers are the C2SP tlog-tiles resources, immutable once published.
"""

from __future__ import annotations

from custodes.db import ReadTx
from policies.audit import store
from policies.audit.checkpoint import Checkpoint, text_to_head
from policies.audit.errors import NotInLogError, TileError
from policies.audit.note import VerifierKey, encode_base64, parse_note
from policies.audit.receipt import Receipt
from policies.audit.store import LeafFilter, StoredLeaf
from policies.audit.tile_tree import TileTree
from policies.audit.tiles import ENTRIES_LEVEL, TILE_WIDTH, TileName, encode_entries, name_tile


def read_checkpoint(tx: ReadTx) -> Checkpoint:
    """Return the latest signed checkpoint; raise ``NotInLogError`` before the log was started."""
    stored = store.load_latest_checkpoint(tx)
    if stored is None:
        raise NotInLogError("the audit log has no checkpoint yet; start the server once")
    origin, size, root = text_to_head(parse_note(stored.note.encode()).text)
    return Checkpoint(origin, size, root, stored.note)


def checkpoint_to_object(checkpoint: Checkpoint, key: VerifierKey) -> dict[str, str | int]:
    """Return what ``custodes audit checkpoint --json`` prints; ``key`` in verifier form, ``root`` in base64."""
    return {
        "origin": checkpoint.origin,
        "key": key.to_text(),
        "size": checkpoint.size,
        "root": encode_base64(checkpoint.root),
        "note": checkpoint.note,
    }


def read_tile(tx: ReadTx, level: int, n: int, width: int) -> bytes:
    """Return ``width`` hashes of a tile; raise ``NotInLogError`` if the signed log has no such tile (yet)."""
    return store.load_tile(tx, _published(tx, level, n, width))


def read_entries_bundle(tx: ReadTx, n: int, width: int) -> bytes:
    """Return the bundle with the ``width`` first entries of level-0 tile ``n``; ``NotInLogError`` if not there."""
    name = _published(tx, ENTRIES_LEVEL, n, width)
    return encode_entries(store.load_bodies(tx, name.start, name.start + name.width))


def list_entries(tx: ReadTx, wanted: LeafFilter, *, from_seq: int = 0, limit: int = 100) -> list[StoredLeaf]:
    """Return at most ``limit`` signed leaves that match, oldest first, from ``from_seq`` on.

    The next page starts at the last number + 1.
    """
    return store.list_leaves(tx, wanted, from_seq, read_checkpoint(tx).size, limit, newest_first=False)


def list_entries_before(tx: ReadTx, wanted: LeafFilter, *, before_seq: int, limit: int = 100) -> list[StoredLeaf]:
    """Return at most ``limit`` signed leaves that match and come before ``before_seq``, newest first.

    The next page ends before the last number; the first one before any number past the end.
    """
    return store.list_leaves(tx, wanted, 0, min(before_seq, read_checkpoint(tx).size), limit, newest_first=True)


def prove(tx: ReadTx, seq: int) -> Receipt:
    """Return the receipt of leaf ``seq`` in the latest checkpoint; raise ``NotInLogError`` if it is not in it."""
    checkpoint = read_checkpoint(tx)
    if not 0 <= seq < checkpoint.size:
        raise NotInLogError(f"leaf {seq} is not in the signed log of {checkpoint.size} leaves")
    tree = TileTree(checkpoint.size, lambda name: store.load_tile(tx, name))
    return Receipt(seq, tuple(tree.inclusion_proof(seq)), checkpoint.note)


def _published(tx: ReadTx, level: int, n: int, width: int) -> TileName:
    """Return the tile's name if the signed log has at least ``width`` hashes or entries in it."""
    try:
        name = TileName(level, n, width)
        widest = name_tile(level, n, read_checkpoint(tx).size).width
    except TileError as error:
        raise NotInLogError(f"the signed log has no tile {n} at level {level}") from error
    if name.width > widest:
        raise NotInLogError(f"the signed log has no {name.to_path()} yet, only {widest} of {TILE_WIDTH}")
    return name
