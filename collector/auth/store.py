"""API keys in the database. Only the hash of a key is stored; every change is an audit event of its own transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import func, or_, select, update

from collector.auth.keys import generate_key, parse_key
from collector.auth.roles import Role
from custodes.db import ReadTx, WriteTx
from custodes.db.tables import api_key, project
from custodes.kernel.clock import MINUTE_NS, ns_to_rfc3339
from custodes.kernel.errors import ConflictError, NotFoundError
from policies.audit.intake import append_event

USE_INTERVAL_NS = MINUTE_NS
"""``last_used_ns`` is written at most this often, so that authentication stays a read."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A stored key, without its text."""

    id: str
    project: str
    role: Role
    hash: bytes
    note: str
    created_ns: int
    expires_ns: int | None
    revoked_ns: int | None
    last_used_ns: int | None


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key. ``text`` exists here only; ``intake_id`` is its audit event; ``new_project`` if its project is new."""

    text: str
    record: KeyRecord
    intake_id: int
    new_project: bool = False


def create_key(
    tx: WriteTx,
    *,
    project_id: str,
    role: Role,
    actor: str,
    actor_role: str,
    now_ns: int,
    expires_ns: int | None = None,
    note: str = "",
) -> CreatedKey:
    """Store a fresh key of ``role`` in ``project_id`` and return it with its text; a new project is created."""
    made = tx.execute(tx.insert(project).values(id=project_id, created_ns=now_ns).on_conflict_do_nothing())
    text = generate_key(role)
    parsed = parse_key(text)
    record = KeyRecord(parsed.id, project_id, role, parsed.hash, note, now_ns, expires_ns, None, None)
    tx.execute(
        api_key.insert().values(
            id=record.id,
            project_id=project_id,
            role=role,
            hash=record.hash,
            note=note,
            created_ns=now_ns,
            expires_ns=expires_ns,
        )
    )
    until = None if expires_ns is None else ns_to_rfc3339(expires_ns)
    intake_id = append_event(
        tx,
        action="key.created",
        actor=actor,
        role=actor_role,
        object=f"key/{record.id}",
        data={"key_role": role, "expires": until},
        at_ns=now_ns,
        project=project_id,
    )
    return CreatedKey(text, record, intake_id, new_project=made.rowcount == 1)


def list_keys(tx: ReadTx, project_id: str | None = None) -> list[KeyRecord]:
    """Return the keys of one project, or of all when ``project_id`` is ``None``, newest first."""
    statement = select(api_key).order_by(api_key.c.created_ns.desc(), api_key.c.id)
    if project_id is not None:
        statement = statement.where(api_key.c.project_id == project_id)
    return [_row_to_record(row) for row in tx.execute(statement)]


def find_key(tx: ReadTx, key_id: str) -> KeyRecord | None:
    """Return the key with this id, whatever its state; ``None`` when there is none."""
    row = tx.execute(select(api_key).where(api_key.c.id == key_id)).first()
    return None if row is None else _row_to_record(row)


def revoke_key(tx: WriteTx, key_id: str, *, project_id: str | None, actor: str, actor_role: str, now_ns: int) -> int:
    """Make a key useless from now on and return the id of the audit event.

    ``project_id`` of ``None`` looks in every project. Raises ``NotFoundError`` for an unknown key and
    ``ConflictError`` for one that is revoked already.
    """
    found = find_key(tx, key_id)
    if found is None or project_id not in (None, found.project):
        raise NotFoundError(f"no key {key_id!r} here; custodes key list shows the ids")
    if found.revoked_ns is not None:
        raise ConflictError(f"key {key_id!r} was revoked already, at {ns_to_rfc3339(found.revoked_ns)}")
    tx.execute(update(api_key).where(api_key.c.id == key_id).values(revoked_ns=now_ns))
    return append_event(
        tx,
        action="key.revoked",
        actor=actor,
        role=actor_role,
        object=f"key/{key_id}",
        data={"key_role": found.role},
        at_ns=now_ns,
        project=found.project,
    )


def touch_key(tx: WriteTx, key_id: str, now_ns: int) -> None:
    """Note that a key was used, unless that was noted within the last minute."""
    stale = or_(api_key.c.last_used_ns.is_(None), api_key.c.last_used_ns <= now_ns - USE_INTERVAL_NS)
    tx.execute(update(api_key).where(api_key.c.id == key_id, stale).values(last_used_ns=now_ns))


def ensure_first_admin_key(tx: WriteTx, *, now_ns: int, project_id: str = "default") -> str | None:
    """Create an admin key if no key was ever created, and return its text this once; ``None`` otherwise."""
    if tx.execute(select(func.count()).select_from(api_key)).scalar_one():
        return None
    created = create_key(
        tx,
        project_id=project_id,
        role="admin",
        actor="custodes",
        actor_role="",
        now_ns=now_ns,
        note="first admin key",
    )
    return created.text


def _row_to_record(row: Any) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        project=row.project_id,
        role=cast(Role, row.role),
        hash=row.hash,
        note=row.note,
        created_ns=row.created_ns,
        expires_ns=row.expires_ns,
        revoked_ns=row.revoked_ns,
        last_used_ns=row.last_used_ns,
    )
