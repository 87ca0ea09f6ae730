"""All SQL of the audit log. Rows become frozen values here and nowhere else; nothing here decides anything.

``audit_leaf`` and ``audit_checkpoint`` are append-only (triggers refuse UPDATE and DELETE); ``audit_tile`` keeps one
row per tile, whose data only grows; ``audit_head`` is one row, and its lock is what makes the sequencer single.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, delete, func, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import audit_checkpoint, audit_head, audit_intake, audit_leaf, audit_tile
from policies.audit.errors import NotInLogError
from policies.audit.merkle import HASH_BYTES
from policies.audit.tiles import TileName

_HEAD_ID = 1
_LEAF_COLUMNS = ("seq", "intake_id", "body", "hash", "at_ns", "action", "actor", "object", "project_id")


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that was committed and has no number yet."""

    intake_id: int
    at_ns: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """A leaf and the columns it can be found by. ``body`` is the truth; the columns are copies from it."""

    seq: int
    intake_id: int
    body: bytes
    hash: bytes
    at_ns: int
    action: str
    actor: str
    object: str
    project: str


@dataclass(frozen=True, slots=True)
class StoredHead:
    """How far the log has been integrated, signed or not: size and frontier peaks."""

    size: int
    frontier: bytes


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A signed tree head as stored; ``note`` is the signed text."""

    size: int
    root: bytes
    note: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class LeafFilter:
    """Which leaves to list; ``None`` means any. Times are unix nanoseconds, from inclusive, to exclusive."""

    action: str | None = None
    actor: str | None = None
    object: str | None = None
    project: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None


def add_intake(tx: WriteTx, at_ns: int, body: bytes) -> int:
    """Store one event in the caller's transaction; return its intake number."""
    result = tx.execute(audit_intake.insert().values(at_ns=at_ns, body=body).returning(audit_intake.c.id))
    return int(result.scalar_one())


def load_intake(tx: ReadTx, up_to: int, limit: int) -> list[PendingEvent]:
    """Return the oldest waiting events with a number of at most ``up_to``, in order of their number."""
    query = select(audit_intake).where(audit_intake.c.id <= up_to).order_by(audit_intake.c.id).limit(limit)
    return [PendingEvent(row.id, row.at_ns, _to_bytes(row.body)) for row in tx.execute(query)]


def last_intake_id(tx: ReadTx) -> int | None:
    """Return the highest number among waiting events; ``None`` when none waits."""
    last = tx.execute(select(func.max(audit_intake.c.id))).scalar_one()
    return None if last is None else int(last)


def count_intake(tx: ReadTx) -> tuple[int, int | None]:
    """Return how many events wait and the time of the oldest."""
    query = select(func.count().label("waiting"), func.min(audit_intake.c.at_ns).label("oldest_ns"))
    row = tx.execute(query.select_from(audit_intake)).one()
    return int(row.waiting), None if row.oldest_ns is None else int(row.oldest_ns)


def delete_intake(tx: WriteTx, intake_ids: Sequence[int]) -> None:
    """Remove exactly these events.

    Never "all up to the last": on PostgreSQL an event with a lower number may commit after we looked.
    """
    tx.execute(delete(audit_intake).where(audit_intake.c.id.in_(intake_ids)))


def lock_head(tx: WriteTx) -> StoredHead:
    """Return the head and hold it until the transaction ends; an empty head is created at first use."""
    tx.execute(tx.insert(audit_head).values(id=_HEAD_ID, size=0, frontier=b"").on_conflict_do_nothing())
    row = tx.execute(select(audit_head).where(audit_head.c.id == _HEAD_ID).with_for_update()).one()
    return StoredHead(int(row.size), _to_bytes(row.frontier))


def load_head(tx: ReadTx) -> StoredHead:
    """Return the head; an empty one if the log was never started."""
    row = tx.execute(select(audit_head).where(audit_head.c.id == _HEAD_ID)).first()
    return StoredHead(0, b"") if row is None else StoredHead(int(row.size), _to_bytes(row.frontier))


def save_head(tx: WriteTx, head: StoredHead) -> None:
    """Move the head; the caller holds its lock."""
    tx.execute(update(audit_head).where(audit_head.c.id == _HEAD_ID).values(size=head.size, frontier=head.frontier))


def add_leaves(tx: WriteTx, leaves: Sequence[StoredLeaf]) -> None:
    """Store leaves; a number or intake number used twice raises ``ConflictError``."""
    tx.execute_driver(
        tx.bulk_insert_sql(audit_leaf, _LEAF_COLUMNS),
        [(x.seq, x.intake_id, x.body, x.hash, x.at_ns, x.action, x.actor, x.object, x.project) for x in leaves],
    )


def save_tiles(tx: WriteTx, tiles: Iterable[tuple[TileName, bytes]]) -> None:
    """Store each tile at its new width."""
    for name, data in tiles:
        insert = tx.insert(audit_tile).values(level=name.level, n=name.n, width=name.width, data=data)
        tx.execute(
            insert.on_conflict_do_update(index_elements=["level", "n"], set_={"width": name.width, "data": data})
        )


def load_tile(tx: ReadTx, name: TileName) -> bytes:
    """Return the first ``name.width`` hashes of a tile; raise ``NotInLogError`` if it has fewer."""
    query = select(audit_tile.c.data).where(audit_tile.c.level == name.level, audit_tile.c.n == name.n)
    data = tx.execute(query).scalar_one_or_none()
    if data is None or len(data) < name.width * HASH_BYTES:
        raise NotInLogError(f"the log has no {name.to_path()}")
    return bytes(data[: name.width * HASH_BYTES])


def add_checkpoint(tx: WriteTx, checkpoint: StoredCheckpoint) -> None:
    """Store a signed checkpoint; a second one for the same size raises ``ConflictError``."""
    tx.execute(
        audit_checkpoint.insert().values(
            size=checkpoint.size, root=checkpoint.root, note=checkpoint.note, at_ns=checkpoint.at_ns
        )
    )


def load_latest_checkpoint(tx: ReadTx) -> StoredCheckpoint | None:
    """Return the checkpoint of the largest size; ``None`` before the first."""
    return _to_checkpoint(
        tx.execute(select(audit_checkpoint).order_by(audit_checkpoint.c.size.desc()).limit(1)).first()
    )


def load_checkpoint(tx: ReadTx, size: int) -> StoredCheckpoint | None:
    """Return the checkpoint of exactly this size, if one was signed."""
    return _to_checkpoint(tx.execute(select(audit_checkpoint).where(audit_checkpoint.c.size == size)).first())


def load_seq(tx: ReadTx, intake_id: int) -> int | None:
    """Return the number of the leaf that an intake event became; ``None`` if it has not become one."""
    seq = tx.execute(select(audit_leaf.c.seq).where(audit_leaf.c.intake_id == intake_id)).scalar_one_or_none()
    return None if seq is None else int(seq)


def load_bodies(tx: ReadTx, first: int, end: int) -> list[bytes]:
    """Return the bytes of leaves ``[first, end)``; raise ``NotInLogError`` if one is missing."""
    query = (
        select(audit_leaf.c.body).where(audit_leaf.c.seq >= first, audit_leaf.c.seq < end).order_by(audit_leaf.c.seq)
    )
    bodies = [bytes(body) for body in tx.execute(query).scalars()]
    if len(bodies) != end - first:
        raise NotInLogError(f"the log has {len(bodies)} of the leaves {first} to {end - 1}")
    return bodies


def list_leaves(
    tx: ReadTx, wanted: LeafFilter, first: int, end: int, limit: int, newest_first: bool
) -> list[StoredLeaf]:
    """Return at most ``limit`` leaves of ``[first, end)`` that match, in order of their number."""
    order = audit_leaf.c.seq.desc() if newest_first else audit_leaf.c.seq
    query = select(audit_leaf).where(audit_leaf.c.seq >= first, audit_leaf.c.seq < end).order_by(order).limit(limit)
    return [_to_leaf(row) for row in tx.execute(_apply_filter(query, wanted))]


def iterate_leaves(tx: ReadTx, chunk: int) -> Iterator[list[StoredLeaf]]:
    """Yield every leaf row there is, in order of its number, ``chunk`` at a time."""
    after = None
    while True:
        query = select(audit_leaf).order_by(audit_leaf.c.seq).limit(chunk)
        rows = tx.execute(query if after is None else query.where(audit_leaf.c.seq > after)).all()
        if not rows:
            return
        after = rows[-1].seq
        yield [_to_leaf(row) for row in rows]


def load_seq_bounds(tx: ReadTx, from_ns: int | None, to_ns: int | None, end: int) -> tuple[int, int]:
    """Return the smallest ``[first, end)`` that holds every leaf below ``end`` of a time range; (0, 0) if none."""
    bounds = (func.min(audit_leaf.c.seq).label("first_seq"), func.max(audit_leaf.c.seq).label("last_seq"))
    query = _apply_filter(select(*bounds).where(audit_leaf.c.seq < end), LeafFilter(from_ns=from_ns, to_ns=to_ns))
    row = tx.execute(query).one()
    return (0, 0) if row.first_seq is None else (int(row.first_seq), int(row.last_seq) + 1)


def _apply_filter(query: Select[*tuple[Any, ...]], wanted: LeafFilter) -> Select[*tuple[Any, ...]]:
    columns = audit_leaf.c
    for column, value in (
        (columns.action, wanted.action),
        (columns.actor, wanted.actor),
        (columns.object, wanted.object),
        (columns.project_id, wanted.project),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.from_ns is not None:
        query = query.where(columns.at_ns >= wanted.from_ns)
    if wanted.to_ns is not None:
        query = query.where(columns.at_ns < wanted.to_ns)
    return query


def _to_leaf(row: Row[*tuple[Any, ...]]) -> StoredLeaf:
    return StoredLeaf(
        int(row.seq),
        int(row.intake_id),
        _to_bytes(row.body),
        _to_bytes(row.hash),
        int(row.at_ns),
        row.action,
        row.actor,
        row.object,
        row.project_id,
    )


def _to_checkpoint(row: Row[*tuple[Any, ...]] | None) -> StoredCheckpoint | None:
    if row is None:
        return None
    return StoredCheckpoint(int(row.size), _to_bytes(row.root), row.note, int(row.at_ns))


def _to_bytes(value: Any) -> bytes:
    """Return a stored value as bytes.

    SQLite keeps whatever type an outsider wrote; a leaf that became text must fail as a wrong hash does.
    """
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode("utf-8", "surrogatepass")
