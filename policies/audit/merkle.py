"""The Merkle tree of RFC 6962 section 2.1 (RFC 9162 section 2.1), SHA-256, bytes in, bytes out.

Geometry. A tree over the leaves ``[lo, hi)`` splits at the largest power of two below ``hi - lo``. So every hash in
a proof is the root of some range of leaves, and that range is either *perfect* (``2**h`` leaves, starting at a
multiple of ``2**h``) or the ragged right edge that ends at the tree's size::

    size 7            [0,7)
                  ┌─────┴──────┐
                [0,4)        [4,7)          inclusion of leaf 4:  [5,6) [6,7) [0,4)
               ┌──┴──┐      ┌──┴──┐         consistency 3 → 7:    [2,3) [3,4) [0,2) [4,7)
             [0,2) [2,4)  [4,6) [6,7)       frontier (peaks):     [0,4) [4,6) [6,7)

``inclusion_ranges`` and ``consistency_ranges`` give those ranges; whoever holds the hashes (a list, tiles) resolves
them. The verifiers walk the bits instead, as RFC 9162 sections 2.1.3.2 and 2.1.4.2 describe, so proving and
verifying share no code that could be wrong twice.

Leaves are hashed as ``H(0x00 || entry)`` and nodes as ``H(0x01 || left || right)``; the prefixes keep a node from
being passed off as a leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from policies.audit.errors import ProofError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

RangeRoot = Callable[[int, int], bytes]
"""A function that returns the root over the leaves ``[lo, hi)``."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one log entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node from its two children."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A growing tree in O(log size) memory: the roots of its perfect subtrees, left to right.

    Invariant: there is one peak per set bit of ``size``, the largest first. Appending is O(1) amortised and
    ``root`` is O(log size); a frontier with the same peaks is the same tree.
    """

    __slots__ = ("_peaks", "_size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self._size = size
        self._peaks = list(peaks)
        if size < 0 or len(self._peaks) != size.bit_count() or any(len(peak) != HASH_BYTES for peak in self._peaks):
            raise ProofError(f"{len(self._peaks)} peaks do not describe a tree of {size} leaves")

    @property
    def size(self) -> int:
        """Number of leaves appended."""
        return self._size

    def append(self, hashed_leaf: bytes) -> None:
        """Add one leaf hash at the right."""
        peaks = self._peaks
        carry = self._size
        while carry & 1:
            hashed_leaf = sha256(b"\x01" + peaks.pop() + hashed_leaf).digest()
            carry >>= 1
        peaks.append(hashed_leaf)
        self._size += 1

    def root(self) -> bytes:
        """Return the tree's root; ``EMPTY_ROOT`` for no leaves."""
        if not self._peaks:
            return EMPTY_ROOT
        result = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            result = node_hash(peak, result)
        return result

    def to_bytes(self) -> bytes:
        """Return the peaks, left to right, 32 bytes each."""
        return b"".join(self._peaks)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Return the frontier that ``to_bytes`` wrote for ``size`` leaves; raise ``ProofError`` if it cannot be."""
        return cls(size, (data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)))


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes in order."""
    frontier = Frontier()
    for hashed_leaf in leaf_hashes:
        frontier.append(hashed_leaf)
    return frontier.root()


def split_point(count: int) -> int:
    """Return the largest power of two strictly below ``count`` (at least 2)."""
    return 1 << (count - 1).bit_length() - 1


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges whose roots prove leaf ``index`` in a tree of ``size``, from the leaf's sibling upwards."""
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is not in a tree of {size} leaves")
    ranges = []
    lo, hi = 0, size
    while hi - lo > 1:
        middle = lo + split_point(hi - lo)
        if index < middle:
            ranges.append((middle, hi))
            hi = middle
        else:
            ranges.append((lo, middle))
            lo = middle
    return ranges[::-1]


def consistency_ranges(old_size: int, new_size: int) -> list[tuple[int, int]]:
    """Return the ranges whose roots prove that the tree of ``old_size`` is a prefix of the one of ``new_size``.

    Empty when the sizes are equal or the old tree is empty: then there is nothing to prove.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a tree of {old_size} leaves cannot be a prefix of one of {new_size}")
    if old_size in (0, new_size):
        return []
    ranges = []
    lo, hi, is_old_root = 0, new_size, True
    while old_size != hi:
        middle = lo + split_point(hi - lo)
        if old_size <= middle:
            ranges.append((middle, hi))
            hi = middle
        else:
            ranges.append((lo, middle))
            lo, is_old_root = middle, False
    if not is_old_root:
        ranges.append((lo, hi))
    return ranges[::-1]


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of leaf ``index`` in the tree over ``leaf_hashes``."""
    return [root_of(leaf_hashes[lo:hi]) for lo, hi in inclusion_ranges(index, len(leaf_hashes))]


def consistency_proof(leaf_hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """Return the proof that the tree over the first ``old_size`` leaves is a prefix of the tree over all."""
    return [root_of(leaf_hashes[lo:hi]) for lo, hi in consistency_ranges(old_size, len(leaf_hashes))]


def verify_inclusion(index: int, size: int, hashed_leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise ``ProofError`` unless ``proof`` shows ``hashed_leaf`` at ``index`` of the tree with ``size`` and ``root``.

    Exactly one proof is accepted: its length follows from ``index`` and ``size``. RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is not in a tree of {size} leaves")
    _check_hashes(hashed_leaf, root, *proof)
    position, last, result = index, size - 1, hashed_leaf
    for sibling in proof:
        if last == 0:
            raise ProofError(f"inclusion proof of leaf {index} in {size} is too long: {len(proof)} hashes")
        if position & 1 or position == last:
            result = node_hash(sibling, result)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofError(f"inclusion proof of leaf {index} in {size} is too short: {len(proof)} hashes")
    if result != root:
        raise ProofError(f"inclusion proof of leaf {index} in {size} leads to another root")


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ``ProofError`` unless ``proof`` shows the old tree to be a prefix of the new one.

    RFC 9162 section 2.1.4.2. The empty tree is a prefix of every tree, with an empty proof.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a tree of {old_size} leaves cannot be a prefix of one of {new_size}")
    _check_hashes(old_root, new_root, *proof)
    if old_size in (0, new_size):
        expected = EMPTY_ROOT if old_size == 0 else new_root
        if proof or old_root != expected or (new_size == 0 and new_root != EMPTY_ROOT):
            raise ProofError(f"trees of {old_size} and {new_size} leaves do not agree")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)  # A perfect old tree is itself the first node of the path, so it is not sent.
    if not path:
        raise ProofError(f"consistency proof from {old_size} to {new_size} is empty")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_result = new_result = path[0]
    for node in path[1:]:
        if last == 0:
            raise ProofError(f"consistency proof from {old_size} to {new_size} is too long: {len(proof)} hashes")
        if position & 1 or position == last:
            old_result, new_result = node_hash(node, old_result), node_hash(node, new_result)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_result = node_hash(new_result, node)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofError(f"consistency proof from {old_size} to {new_size} is too short: {len(proof)} hashes")
    if old_result != old_root or new_result != new_root:
        raise ProofError(f"consistency proof from {old_size} to {new_size} leads to other roots")


def _check_hashes(*hashes: bytes) -> None:
    for value in hashes:
        if len(value) != HASH_BYTES:
            raise ProofError(f"a hash has {HASH_BYTES} bytes, found {len(value)}")
