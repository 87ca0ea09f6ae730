"""Receipts: one leaf's place in a signed log, checkable offline. C2SP tlog-proof text format.

A receipt carries the leaf's number, its inclusion proof and the signed checkpoint. It does not carry the leaf: the
verifier brings the bytes it wants to see proven. Standard library and ``cryptography`` only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from policies.audit.checkpoint import Checkpoint, open_checkpoint
from policies.audit.errors import NoteError
from policies.audit.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from policies.audit.note import MAX_NOTE_BYTES, VerifierKey, decode_base64, encode_base64

_HEADER = "c2sp.org/tlog-proof@v1"
_MAX_PROOF_HASHES = 63


@dataclass(frozen=True, slots=True)
class Receipt:
    """Leaf ``seq`` is in the log that ``checkpoint`` (a whole signed note) describes, and ``proof`` shows it."""

    seq: int
    proof: tuple[bytes, ...]
    checkpoint: str

    def to_text(self) -> str:
        """Return the receipt as a C2SP tlog-proof; store it as ``*.tlog-proof``."""
        hashes = "".join(encode_base64(value) + "\n" for value in self.proof)
        return f"{_HEADER}\nindex {self.seq}\n{hashes}\n{self.checkpoint}"


def parse_receipt(text: str) -> Receipt:
    """Return what a tlog-proof says, unverified; raise ``NoteError`` if it is not one. Extra data is not accepted."""
    if len(text) > MAX_NOTE_BYTES:
        raise NoteError(f"receipt has {len(text)} characters; at most {MAX_NOTE_BYTES} are read")
    head, separator, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or len(lines) < 2 or lines[0] != _HEADER:
        raise NoteError(f"not a receipt; its first line must be {_HEADER}")
    index = re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines[1])
    if index is None or len(lines) - 2 > _MAX_PROOF_HASHES:
        raise NoteError("not a receipt; its second line must be the leaf's number and at most 63 hashes may follow")
    proof = tuple(decode_base64(line) for line in lines[2:])
    if any(len(value) != HASH_BYTES for value in proof):
        raise NoteError(f"every hash of a receipt has {HASH_BYTES} bytes")
    return Receipt(int(index[1]), proof, checkpoint)


def verify_receipt(receipt: Receipt, body: bytes, origin: str, key: VerifierKey) -> Checkpoint:
    """Return the signed checkpoint that contains ``body`` as leaf ``receipt.seq``.

    Raises ``NoteError`` (or a subclass) if the checkpoint is not the log's, ``ProofError`` if the leaf is not in it.
    """
    checkpoint = open_checkpoint(receipt.checkpoint.encode("utf-8", "surrogatepass"), origin, key)
    verify_inclusion(receipt.seq, checkpoint.size, leaf_hash(body), receipt.proof, checkpoint.root)
    return checkpoint
