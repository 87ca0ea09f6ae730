"""The audit log as the API shows it: entries, proofs, state, and a full check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from custodes.db import ReadTx
from custodes.kernel.clock import ns_to_rfc3339
from policies.audit.checkpoint import open_checkpoint
from policies.audit.errors import AuditError, LogStateError, NoteError
from policies.audit.fsck import TreeHead, check_everything
from policies.audit.keys import LogKey
from policies.audit.leaf import body_to_leaf
from policies.audit.merkle import leaf_hash
from policies.audit.reading import list_entries, list_entries_before, prove, read_checkpoint
from policies.audit.store import (
    LeafFilter,
    StoredLeaf,
    count_intake,
    load_bodies,
    load_head,
    load_latest_checkpoint,
)

_PAST_THE_END = 2**63 - 1


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Which entries: upwards from ``from_seq``, or downwards from before it when ``newest_first``."""

    wanted: LeafFilter
    from_seq: int | None
    newest_first: bool
    limit: int


def load_entries(tx: ReadTx, page: EntryPage) -> tuple[list[dict[str, Any]], int | None]:
    """Return one page of signed entries and where the next one starts; ``None`` at the end."""
    if page.newest_first:
        before = _PAST_THE_END if page.from_seq is None else page.from_seq
        leaves = list_entries_before(tx, page.wanted, before_seq=before, limit=page.limit + 1)
        following = leaves[page.limit - 1].seq if len(leaves) > page.limit else None
    else:
        leaves = list_entries(tx, page.wanted, from_seq=page.from_seq or 0, limit=page.limit + 1)
        following = leaves[page.limit].seq if len(leaves) > page.limit else None
    return [_leaf_to_json(leaf) for leaf in leaves[: page.limit]], following


def load_proof(tx: ReadTx, seq: int) -> dict[str, Any]:
    """Return the inclusion proof of one entry in the latest checkpoint; raise ``NotInLogError`` if it is not in it."""
    receipt = prove(tx, seq)
    checkpoint = read_checkpoint(tx)
    return {
        "seq": seq,
        "leaf_hash": leaf_hash(load_bodies(tx, seq, seq + 1)[0]).hex(),
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "proof": [node.hex() for node in receipt.proof],
        "note": receipt.checkpoint,
        "receipt": receipt.to_text(),
    }


def load_status(tx: ReadTx, key: LogKey) -> dict[str, Any]:
    """Return the log's identity and how far it is signed. ``pending`` counts events without a signed leaf."""
    latest = load_latest_checkpoint(tx)
    size = 0 if latest is None else latest.size
    waiting, _ = count_intake(tx)
    return {
        "origin": key.origin,
        "key": key.verifier.to_text(),
        "size": size,
        "root": None if latest is None else latest.root.hex(),
        "checkpoint_at": None if latest is None else ns_to_rfc3339(latest.at_ns),
        "pending": waiting + max(0, load_head(tx).size - size),
    }


def check_log(tx: ReadTx, key: LogKey) -> dict[str, Any]:
    """Recompute the whole tree from the stored leaves and compare it with the signed checkpoint.

    Bad data is a verdict, never an error: ``intact``, ``tampered``, ``truncated`` or ``unverifiable``.
    """
    checked = 0

    def count(done: int, _: int) -> None:
        nonlocal checked
        checked = done

    verdict, message = "intact", "Every leaf, hash and tile agrees with the signed checkpoint."
    latest = load_latest_checkpoint(tx)
    if latest is None:
        verdict, message = "unverifiable", "The log has no signed checkpoint yet; start the server once."
    else:
        try:
            signed = open_checkpoint(latest.note.encode(), key.origin, key.verifier)
            check_everything(tx, load_head(tx), TreeHead(signed.size, signed.root), count)
            if (signed.size, signed.root) != (latest.size, latest.root):
                raise LogStateError("the checkpoint's columns do not say what its signed note says")
        except NoteError as error:
            verdict, message = "tampered", f"The stored checkpoint was not signed by this log's key: {error}."
        except (TypeError, ValueError):
            # SQLite keeps a value of another type than the column's when somebody writes one past us.
            verdict, message = "tampered", "The log does not verify: a stored value is not of its column's type."
        except AuditError as error:
            shorter = load_head(tx).size < latest.size
            verdict, message = "truncated" if shorter else "tampered", f"The log does not verify: {error}."
    return {
        "verdict": verdict,
        "message": message,
        "checked_leaves": checked,
        "size": 0 if latest is None else latest.size,
        "root": None if latest is None else latest.root.hex(),
        "checkpoint_at": None if latest is None else ns_to_rfc3339(latest.at_ns),
        "how_to_verify_offline": [
            "custodes audit export --out audit-bundle",
            f"custodes audit verify audit-bundle --origin {key.origin} --key '{key.verifier.to_text()}'",
        ],
    }


def _leaf_to_json(stored: StoredLeaf) -> dict[str, Any]:
    """Return an entry from its bytes; one that cannot be read shows its index columns only."""
    row: dict[str, Any] = {
        "seq": stored.seq,
        "time": ns_to_rfc3339(stored.at_ns),
        "project": stored.project,
        "actor": stored.actor,
        "role": None,
        "action": stored.action,
        "object": stored.object,
        "data": {},
        "hash": stored.hash.hex(),
    }
    try:
        leaf = body_to_leaf(stored.body)
    except AuditError:
        return row
    told = {"time": leaf.time, "actor": leaf.actor, "role": leaf.role, "action": leaf.action, "object": leaf.object}
    return {**row, **told, "project": leaf.project, "data": dict(leaf.data)}
