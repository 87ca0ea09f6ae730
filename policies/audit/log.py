"""The one writer of the audit log: sequence → integrate → sign → publish.

``append_intake`` stores an event in the business transaction, so it is logged exactly if the business change
happened. ``AuditLog.flush`` later gives waiting events contiguous numbers, stores leaves, tiles and head in one
transaction per chunk, signs a checkpoint of what is committed, commits the checkpoint, and only then returns it.
Callers of *strict* actions wait with ``flush_until``; everybody else returns after their own commit.

What is never signed: a tree that is not an extension of the last one this process trusted. The database is not
believed. Each flush starts from a tree head that was proven consistent with everything signed before; if the stored
head went backwards, changed or forked, ``LogStateError`` stops the log and nothing more is signed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from custodes.db import Database, ReadTx, WriteTx
from custodes.kernel.clock import Clock
from policies.audit import store
from policies.audit.checkpoint import Checkpoint, open_checkpoint
from policies.audit.errors import AuditError, LogStateError, NoteError, NotInLogError
from policies.audit.event import AuditEvent, event_to_body
from policies.audit.fsck import TreeHead, check_edge, check_everything
from policies.audit.keys import LogKey
from policies.audit.leaf_index import index_leaf
from policies.audit.merkle import EMPTY_ROOT, Frontier, leaf_hash, verify_consistency
from policies.audit.reading import prove
from policies.audit.receipt import Receipt
from policies.audit.signed_mark import SignedMark
from policies.audit.store import PendingEvent, StoredCheckpoint, StoredHead, StoredLeaf
from policies.audit.tile_tree import TileEdge, TileTree, edge_names


def append_intake(tx: WriteTx, event: AuditEvent) -> int:
    """Store an event in the caller's transaction and return its intake number, for ``AuditLog.flush_until``.

    Durable when the caller's transaction commits, gone when it rolls back. Raises ``LeafError`` or
    ``CanonicalError`` for an event that cannot become a leaf.
    """
    return store.add_intake(tx, event.at_ns, event_to_body(event))


class AuditLog:
    """Sequencer and signer. Any number may run, in threads or processes: the head row's lock makes them one.

    Invariant: ``_trusted`` is a tree head proven to extend every checkpoint in the database when ``verify_state``
    ran and everything this object signed since. Call no method inside an open transaction of the same thread.
    """

    def __init__(
        self, db: Database, key: LogKey, clock: Clock, *, mark: SignedMark | None = None, chunk: int = 256
    ) -> None:
        """Do nothing yet. ``mark`` remembers outside the database what was signed; ``chunk`` is leaves a commit."""
        self._db = db
        self._key = key
        self._clock = clock
        self._mark = mark
        self._chunk = chunk
        self._turn = threading.Lock()
        self._trusted: TreeHead | None = None

    @property
    def key(self) -> LogKey:
        """The identity this log signs with."""
        return self._key

    def verify_state(
        self, *, every_leaf: bool = True, progress: Callable[[int, int], None] | None = None
    ) -> Checkpoint:
        """Return the latest checkpoint after proving that the stored log is what it says; run it at start-up.

        ``every_leaf`` recomputes each leaf hash, index column, tile and root (about O(log size) without it: only the
        right edge and the consistency between checkpoint and head). A new log gets its checkpoint of size 0.
        ``progress`` is called with leaves done and leaves in all. Raises ``LogStateError`` naming the first
        contradiction.
        """
        with self._turn:
            return self._verify_state(every_leaf, progress)

    def flush(self) -> Checkpoint | None:
        """Integrate every event committed before the call and sign; return the new checkpoint.

        ``None`` when there was nothing to do. The checkpoint is committed before it is returned. Raises
        ``LogStateError`` if the stored log contradicts what was signed; events then stay in the intake.
        """
        with self._turn:
            return self._flush()

    def flush_until(self, intake_id: int) -> Receipt:
        """Return the receipt of a committed event, which is inside a signed, committed checkpoint by then.

        Raises ``NotInLogError`` if no such event was committed, and whatever ``flush`` raises: then the strict
        action must be refused.
        """
        with self._turn:
            self._flush()
        with self._db.read() as tx:
            seq = store.load_seq(tx, intake_id)
            if seq is None:
                raise NotInLogError(f"no event {intake_id} was committed; call this after its transaction has ended")
            return prove(tx, seq)

    def _verify_state(self, every_leaf: bool, progress: Callable[[int, int], None] | None) -> Checkpoint:
        # Before the snapshot: another process may sign meanwhile, and the snapshot must not be older than the mark.
        marked = None if self._mark is None else self._mark.load(self._key.verifier)
        with self._db.read() as tx:
            head, latest = store.load_head(tx), store.load_latest_checkpoint(tx)
            if marked is not None and head.size < marked.size:
                raise LogStateError(
                    f"the log key signed {marked.size} leaves but the database holds {head.size}: it was restored from"
                    " an older backup. Restore a newer one; if there is none, read docs/audit.md, 'After losing leaves'"
                )
            if latest is not None:
                checkpoint = self._open_own(latest)
                if every_leaf:
                    check_everything(tx, head, TreeHead(checkpoint.size, checkpoint.root), progress)
                for signed in (checkpoint, marked):
                    if signed is not None:
                        check_edge(tx, head, TreeHead(signed.size, signed.root))
                self._trusted = TreeHead(head.size, Frontier.from_bytes(head.size, head.frontier).root())
                return checkpoint
        if head.size:
            raise LogStateError(
                f"the audit log has {head.size} leaves but no signed checkpoint; "
                "restore audit_checkpoint from a backup, nothing is logged meanwhile"
            )
        self._trusted = TreeHead(0, EMPTY_ROOT)
        self._sign_head()
        with self._db.read() as tx:
            first = store.load_latest_checkpoint(tx)
        if first is None:
            raise LogStateError(
                "the first checkpoint was committed and is gone; is another program using this database?"
            )
        return self._open_own(first)

    def _flush(self) -> Checkpoint | None:
        if self._trusted is None:
            self._verify_state(every_leaf=False, progress=None)
        with self._db.read() as tx:
            up_to = store.last_intake_id(tx)
            head, latest = store.load_head(tx), store.load_latest_checkpoint(tx)
        if up_to is None and latest is not None and head.size == latest.size:
            return None
        while up_to is not None and self._integrate_chunk(up_to) == self._chunk:
            pass
        return self._sign_head()

    def _integrate_chunk(self, up_to: int) -> int:
        """Turn the oldest waiting events into leaves, in one transaction; return how many."""
        with self._db.write() as tx:
            head = store.lock_head(tx)
            self._advance_trust(tx, head)
            pending = store.load_intake(tx, up_to, self._chunk)
            if not pending:
                return 0
            frontier = Frontier.from_bytes(head.size, head.frontier)
            edge = _load_edge(tx, head)
            leaves = [_to_leaf(event, head.size + at) for at, event in enumerate(pending)]
            for leaf in leaves:
                frontier.append(leaf.hash)
                edge.append(leaf.hash)
            store.add_leaves(tx, leaves)
            store.save_tiles(tx, edge.take_writes())
            store.delete_intake(tx, [event.intake_id for event in pending])
            store.save_head(tx, StoredHead(frontier.size, frontier.to_bytes()))
        # After the commit: a rolled-back chunk must not be trusted.
        self._trusted = TreeHead(frontier.size, frontier.root())
        return len(pending)

    def _sign_head(self) -> Checkpoint | None:
        """Sign what is committed; ``None`` if it already was. Returns only after the checkpoint is committed."""
        with self._db.write() as tx:
            head = store.lock_head(tx)
            trusted = self._advance_trust(tx, head)
            latest = store.load_latest_checkpoint(tx)
            if latest is not None and latest.size >= trusted.size:
                if (latest.size, latest.root) != (trusted.size, trusted.root):
                    raise LogStateError(
                        f"the log stands at {trusted.size} leaves but a checkpoint for {latest.size} exists"
                        " with another root; nothing more is signed"
                    )
                return None
            checkpoint = self._key.sign_checkpoint(trusted.size, trusted.root)
            if self._mark is not None:
                self._mark.save(checkpoint)
            store.add_checkpoint(tx, StoredCheckpoint(checkpoint.size, checkpoint.root, checkpoint.note, self._clock()))
        return checkpoint

    def _advance_trust(self, tx: ReadTx, head: StoredHead) -> TreeHead:
        """Return the stored head as trusted, after proving that it extends the one trusted so far.

        Equal size is the usual case and costs one root. A larger head was written by another process; its tiles
        must give the consistency proof. The new trust is kept only by the caller's commit.
        """
        trusted = self._trusted
        if trusted is None:
            raise LogStateError("verify_state must prove the stored log before it is used")
        try:
            root = Frontier.from_bytes(head.size, head.frontier).root()
            if head.size < trusted.size:
                raise LogStateError(
                    f"the log went back from {trusted.size} leaves to {head.size}; was a backup restored?"
                )
            proof = TileTree(head.size, lambda name: store.load_tile(tx, name)).consistency_proof(trusted.size)
            verify_consistency(trusted.size, head.size, trusted.root, root, proof)
        except LogStateError:
            raise
        except AuditError as error:
            raise LogStateError(
                f"the stored tree of {head.size} leaves does not extend the one of {trusted.size} leaves this process"
                " trusted; nothing more is signed, run `custodes audit verify` on an export"
            ) from error
        return TreeHead(head.size, root)

    def _open_own(self, stored: StoredCheckpoint) -> Checkpoint:
        try:
            checkpoint = open_checkpoint(stored.note.encode(), self._key.origin, self._key.verifier)
        except NoteError as error:
            raise LogStateError(
                f"the latest checkpoint (size {stored.size}) was not signed by the log key in the data directory:"
                f" {error}; restore the key file that belongs to this database"
            ) from error
        if (checkpoint.size, checkpoint.root) != (stored.size, stored.root):
            raise LogStateError(f"the checkpoint row of size {stored.size} does not say what its signed note says")
        return checkpoint


def _load_edge(tx: ReadTx, head: StoredHead) -> TileEdge:
    edge = TileEdge(head.size, {name.level: store.load_tile(tx, name) for name in edge_names(head.size)})
    if edge.to_frontier().to_bytes() != head.frontier:
        raise LogStateError(
            f"the tiles at the edge of {head.size} leaves do not give the stored head; were they edited?"
        )
    return edge


def _to_leaf(event: PendingEvent, seq: int) -> StoredLeaf:
    # It was committed with a business change, so it is logged whatever it says; at worst its index is poor.
    index = index_leaf(event.body, event.at_ns)
    return StoredLeaf(seq, event.intake_id, event.body, leaf_hash(event.body), *index)
