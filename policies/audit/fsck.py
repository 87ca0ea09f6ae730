"""Check a stored log against the head it claims and the checkpoint it signed.

``check_everything`` believes only the leaf bytes and the signed checkpoint; ``check_edge`` looks at O(log size)
tiles. Both raise ``LogStateError`` that names the first contradiction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from custodes.db import ReadTx
from policies.audit import store
from policies.audit.errors import AuditError, LogStateError
from policies.audit.leaf_index import LeafIndex, index_leaf
from policies.audit.merkle import EMPTY_ROOT, Frontier, leaf_hash, verify_consistency
from policies.audit.store import StoredHead, StoredLeaf
from policies.audit.tile_tree import TileEdge, TileTree
from policies.audit.tiles import TILE_WIDTH

_ADVICE = "nothing is logged until somebody looked; compare with your last export"


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A tree: how many leaves, and the root over them."""

    size: int
    root: bytes


def check_edge(tx: ReadTx, head: StoredHead, signed: TreeHead) -> None:
    """Raise ``LogStateError`` unless the right-edge tiles give the head and the head extends ``signed``."""
    _check_sizes(head, signed)
    try:
        root = Frontier.from_bytes(head.size, head.frontier).root()
        tree = TileTree(head.size, lambda name: store.load_tile(tx, name))
        tile_root = tree.root()
        verify_consistency(signed.size, head.size, signed.root, root, tree.consistency_proof(signed.size))
    except AuditError as error:
        raise LogStateError(
            f"the stored tree of {head.size} leaves does not extend the signed one of {signed.size}: {error}; {_ADVICE}"
        ) from error
    if tile_root != root:
        raise LogStateError(f"the tiles of {head.size} leaves do not give the stored head; {_ADVICE}")


def check_everything(
    tx: ReadTx, head: StoredHead, signed: TreeHead, progress: Callable[[int, int], None] | None = None
) -> None:
    """Raise ``LogStateError`` unless leaves, their index columns, hashes, tiles, head and ``signed`` all agree.

    Reads every leaf once, in O(log size) memory. ``progress`` is called with leaves done and leaves in all.
    """
    _check_sizes(head, signed)
    frontier, edge = Frontier(), TileEdge()
    signed_root = EMPTY_ROOT
    for leaves in store.iterate_leaves(tx, TILE_WIDTH):
        for leaf in leaves:
            _check_leaf(leaf, frontier.size)
            frontier.append(leaf.hash)
            edge.append(leaf.hash)
            if frontier.size == signed.size:
                signed_root = frontier.root()
        _check_tiles(tx, edge)
        # Last, so that what is said of the row is said of bytes that agree with their tile.
        for leaf in leaves:
            _check_index(leaf)
        if progress is not None:
            progress(frontier.size, head.size)
    if frontier.size != head.size:
        raise LogStateError(f"{frontier.size} leaves are stored but the head says {head.size}; {_ADVICE}")
    if frontier.to_bytes() != head.frontier:
        raise LogStateError(f"the leaves do not give the stored head of {head.size} leaves; {_ADVICE}")
    if signed_root != signed.root:
        raise LogStateError(f"the first {signed.size} leaves do not give the root that was signed for them; {_ADVICE}")


def _check_sizes(head: StoredHead, signed: TreeHead) -> None:
    if head.size < signed.size:
        raise LogStateError(
            f"a checkpoint of {signed.size} leaves was signed but only {head.size} are stored; {_ADVICE}"
        )


def _check_leaf(leaf: StoredLeaf, seq: int) -> None:
    if leaf.seq != seq:
        raise LogStateError(f"leaf {seq} is missing, the next stored one is {leaf.seq}; {_ADVICE}")
    if leaf_hash(leaf.body) != leaf.hash:
        raise LogStateError(f"the bytes of leaf {seq} do not give its stored hash; {_ADVICE}")


def _check_index(leaf: StoredLeaf) -> None:
    stored = LeafIndex(leaf.at_ns, leaf.action, leaf.actor, leaf.object, leaf.project)
    told = index_leaf(leaf.body, leaf.at_ns)
    if stored != told:
        wrong = [name for name, seen, said in zip(LeafIndex._fields, stored, told, strict=True) if seen != said]
        raise LogStateError(
            f"leaf {leaf.seq} cannot be found by what its bytes say, wrong in its row: {', '.join(wrong)}; {_ADVICE}"
        )


def _check_tiles(tx: ReadTx, edge: TileEdge) -> None:
    """Compare the tiles finished so far; partial ones too, whose stored data may already be longer."""
    for name, data in edge.take_writes():
        try:
            stored = store.load_tile(tx, name)
        except AuditError as error:
            raise LogStateError(f"tile {name.to_path()} is missing or too short; {_ADVICE}") from error
        if stored != data:
            raise LogStateError(f"tile {name.to_path()} does not hold the hashes of its leaves; {_ADVICE}")
