"""Key rows: written with the text they encrypt, found again to read it, emptied to erase it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select, text, update

from custodes.db.database import ReadTx, WriteTx
from custodes.db.tables import content_key, content_master, endpoint

_COLUMNS = ("id", "project_id", "subject_digest", "wrapped_key", "created_ns")
_KEYS_BY_ID = f"SELECT {', '.join(_COLUMNS)} FROM content_key WHERE id IN"
_LIVE_KEYS = f"""
SELECT {", ".join(_COLUMNS)} FROM content_key
WHERE project_id = ? AND created_ns >= ? AND destroyed_ns IS NULL AND subject_digest IN
"""


@dataclass(slots=True)  # Not frozen: half the time of making one, and there is one for every person.
class KeyRow:
    """One stored key. ``subject_digest`` is ``None`` without a person, ``wrapped`` once it is destroyed."""

    id: bytes
    project: str
    subject_digest: bytes | None
    wrapped: bytes | None = field(repr=False)
    created_ns: int


def read_newest_keys(
    tx: ReadTx, project: str, digests: Sequence[bytes] | None, since_ns: int
) -> dict[bytes | None, KeyRow]:
    """Return the newest key of each digest that isn't destroyed and was created at ``since_ns`` or later.

    Without ``digests``, that of text of nobody known.
    """
    if digests is None:
        statement = (
            select(*(content_key.c[name] for name in _COLUMNS))
            .where(content_key.c.project_id == project, content_key.c.created_ns >= since_ns)
            .where(content_key.c.destroyed_ns.is_(None), content_key.c.subject_digest.is_(None))
            .order_by(content_key.c.created_ns.desc(), content_key.c.id.desc())
            .limit(1)
        )
        rows = [tuple(row) for row in tx.execute(statement)]
    else:
        rows = tx.select_in(_LIVE_KEYS, digests, [project, since_ns])
    # The newest comes last and stays.
    keys = sorted((_to_key(row) for row in rows), key=lambda one: (one.created_ns, one.id))
    return {one.subject_digest: one for one in keys}


def read_keys(tx: ReadTx, ids: Collection[bytes]) -> dict[bytes, KeyRow]:
    """Return the stored keys with these ids; those destroyed have no ``wrapped``."""
    keys = [_to_key(row) for row in tx.select_in(_KEYS_BY_ID, sorted(ids))]
    return {one.id: one for one in keys}


def read_destroyed_ids(tx: ReadTx, ids: Collection[bytes]) -> set[bytes]:
    """Return which of these ids are those of keys that were destroyed."""
    rows = tx.select_in("SELECT id FROM content_key WHERE wrapped_key IS NULL AND id IN", sorted(ids))
    return {bytes(row[0]) for row in rows}


def insert_keys(tx: WriteTx, keys: Iterable[KeyRow]) -> None:
    """Store keys; those stored already stay as they are."""
    rows = [(one.id, one.project, one.subject_digest, one.wrapped, one.created_ns) for one in keys]
    # In the order of their ids, so that two writers that store the same keys wait rather than deadlock.
    tx.bulk_insert(content_key, _COLUMNS, sorted(rows), on_conflict="ON CONFLICT (id) DO NOTHING")


def destroy_keys(tx: WriteTx, project: str, subject_digest: bytes, now_ns: int) -> int:
    """Overwrite every key of a person and return how many there were; freed bytes of the file are zeroed on SQLite."""
    lock_keys(tx, [project], exclusive=True)
    if tx.dialect == "sqlite":
        tx.execute(text("PRAGMA secure_delete=ON"))
    try:
        return tx.execute(
            update(content_key)
            .where(
                content_key.c.project_id == project,
                content_key.c.subject_digest == subject_digest,
                content_key.c.destroyed_ns.is_(None),
            )
            .values(wrapped_key=None, destroyed_ns=now_ns)
        ).rowcount
    finally:
        if tx.dialect == "sqlite":
            tx.execute(text("PRAGMA secure_delete=OFF"))


def lock_keys(tx: WriteTx, projects: Iterable[str], *, exclusive: bool = False) -> None:
    """Keep keys of these projects from being destroyed until the transaction ends, or wait for those who do so.

    SQLite has one writer, which is lock enough.
    """
    if tx.dialect == "sqlite":
        return
    take = func.pg_advisory_xact_lock if exclusive else func.pg_advisory_xact_lock_shared
    for number in sorted(_to_lock_number(project) for project in projects):
        tx.execute(select(take(number)))


def has_live_keys(tx: ReadTx) -> bool:
    """Return whether any text may still be encrypted."""
    statement = select(content_key.c.id).where(content_key.c.destroyed_ns.is_(None)).limit(1)
    return tx.execute(statement).first() is not None


def has_sealed_secrets(tx: ReadTx) -> bool:
    """Return whether an endpoint keeps a secret, which lies encrypted whatever holds for captured text."""
    statement = select(endpoint.c.id).where(endpoint.c.sealed.is_not(None)).limit(1)
    return tx.execute(statement).first() is not None


def read_fingerprint(tx: ReadTx) -> bytes | None:
    """Return the fingerprint of the master key this installation uses; ``None`` before the first one."""
    found = tx.execute(select(content_master.c.fingerprint)).scalar_one_or_none()
    return None if found is None else bytes(found)


def record_fingerprint(tx: WriteTx, fingerprint: bytes, now_ns: int) -> None:
    """Record the master key in use unless one is recorded already."""
    values = {"id": 1, "fingerprint": fingerprint, "created_ns": now_ns}
    tx.execute(tx.insert(content_master).values(values).on_conflict_do_nothing())


def _to_key(row: Sequence[Any]) -> KeyRow:
    """Return the key in a row of ``_COLUMNS``."""
    return KeyRow(*row)


def _to_lock_number(project: str) -> int:
    """Return the 64-bit number of a project's advisory lock."""
    return int.from_bytes(hashlib.sha256(b"content keys " + project.encode()).digest()[:8], "big", signed=True)
