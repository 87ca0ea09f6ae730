"""API keys in the database. Only the hash of a key is stored; every change is an audit event of its own transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from sqlalchemy import func, or_, select, update

from collector.auth.keys import generate_key, parse_key
from collector.auth.roles import Role
from collector.auth.store_projects import ensure_project
from custodes.db import ReadTx, WriteTx
from custodes.db.tables import api_key
from custodes.kernel.clock import DAY_NS, MINUTE_NS, ns_to_rfc3339
from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from policies.audit.intake import append_event

USE_INTERVAL_NS = MINUTE_NS
"""``last_used_ns`` is written at most this often, so that authentication stays a read."""

MAX_OVERLAP_NS = 30 * DAY_NS
"""How long a key may go on working beside the one that replaces it."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one key may do at the door, beside the server's own limits; ``None`` leaves those alone.

    Raises ``InvalidInputError`` for limits that would let nothing through.
    """

    max_spans_per_s: float | None = None
    max_concurrent: int | None = None

    def __post_init__(self) -> None:
        rate, concurrent = self.max_spans_per_s, self.max_concurrent
        if rate is not None and not 0 < rate <= 1e9:
            raise InvalidInputError(f"max_spans_per_s must be above 0 and at most 1e9; seen {rate!r}")
        if concurrent is not None and not 1 <= concurrent <= 1_000_000:
            raise InvalidInputError(f"max_concurrent must be 1 to 1000000; seen {concurrent!r}")


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
    limits: KeyLimits = KeyLimits()
    replaced_by: str | None = None


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key. ``text`` exists here only; ``intake_id`` is its audit event; ``new_project`` if its project is new."""

    text: str
    record: KeyRecord
    intake_id: int
    new_project: bool = False


@dataclass(frozen=True, slots=True)
class RotatedKey:
    """A key and its successor. ``text`` is the successor's and exists here only; ``old`` shows when the first ends."""

    text: str
    record: KeyRecord
    old: KeyRecord
    intake_id: int


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
    limits: KeyLimits | None = None,
) -> CreatedKey:
    """Store a fresh key of ``role`` in ``project_id`` and return it with its text; a new project is created.

    Raises ``InvalidInputError`` for a new project's name that no project may have.
    """
    made = ensure_project(tx, project_id, actor=actor, actor_role=actor_role, now_ns=now_ns)
    text = generate_key(role)
    parsed = parse_key(text)
    record = KeyRecord(
        parsed.id, project_id, role, parsed.hash, note, now_ns, expires_ns, None, None, limits or KeyLimits()
    )
    _insert_key(tx, record)
    until = None if expires_ns is None else ns_to_rfc3339(expires_ns)
    intake_id = append_event(
        tx,
        action="key.created",
        actor=actor,
        role=actor_role,
        object=f"key/{record.id}",
        data={"key_role": role, "expires": until, **_limits_to_event(record.limits)},
        at_ns=now_ns,
        project=project_id,
    )
    return CreatedKey(text, record, intake_id, new_project=made is not None)


def rotate_key(
    tx: WriteTx, key_id: str, *, project_id: str | None, overlap_ns: int, actor: str, actor_role: str, now_ns: int
) -> RotatedKey:
    """Store a successor with the same role, project, note and limits; end the old key after ``overlap_ns``.

    The old key ends then, or earlier if it would have. The successor lives as long as the old one was made to live,
    counted from now. ``project_id`` of ``None`` looks in every project. Raises ``NotFoundError`` for an unknown key,
    ``ConflictError`` for one that is revoked, expired or rotated already and ``InvalidInputError`` for an overlap out
    of bounds.
    """
    if not 0 <= overlap_ns <= MAX_OVERLAP_NS:
        raise InvalidInputError(f"the overlap must be 0 to 30 days; seen {overlap_ns / DAY_NS:.4g} days")
    old = _find_live_key(tx, key_id, project_id, now_ns)
    ends_ns, expires_ns = now_ns + overlap_ns, None
    if old.expires_ns is not None:
        ends_ns, expires_ns = min(ends_ns, old.expires_ns), now_ns + old.expires_ns - old.created_ns
    text = generate_key(old.role)
    parsed = parse_key(text)
    record = KeyRecord(
        parsed.id, old.project, old.role, parsed.hash, old.note, now_ns, expires_ns, None, None, old.limits
    )
    _insert_key(tx, record)
    tx.execute(update(api_key).where(api_key.c.id == old.id).values(expires_ns=ends_ns, replaced_by=record.id))
    until = None if expires_ns is None else ns_to_rfc3339(expires_ns)
    intake_id = append_event(
        tx,
        action="key.rotated",
        actor=actor,
        role=actor_role,
        object=f"key/{old.id}",
        data={
            "key_role": old.role,
            "old_expires": ns_to_rfc3339(ends_ns),
            "successor": record.id,
            "expires": until,
            **_limits_to_event(record.limits),
        },
        at_ns=now_ns,
        project=old.project,
    )
    return RotatedKey(text, record, replace(old, expires_ns=ends_ns, replaced_by=record.id), intake_id)


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
    found = _find_own_key(tx, key_id, project_id)
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


def _find_own_key(tx: ReadTx, key_id: str, project_id: str | None) -> KeyRecord:
    found = find_key(tx, key_id)
    if found is None or project_id not in (None, found.project):
        raise NotFoundError(f"no key {key_id[:64]!r} here; custodes key list shows the ids")
    return found


def _find_live_key(tx: ReadTx, key_id: str, project_id: str | None, now_ns: int) -> KeyRecord:
    found = _find_own_key(tx, key_id, project_id)
    advice = "it cannot be rotated; create a new one"
    if found.revoked_ns is not None:
        raise ConflictError(f"key {key_id!r} was revoked at {ns_to_rfc3339(found.revoked_ns)}; {advice}")
    if found.expires_ns is not None and found.expires_ns <= now_ns:
        raise ConflictError(f"key {key_id!r} expired at {ns_to_rfc3339(found.expires_ns)}; {advice}")
    if found.replaced_by is not None:
        raise ConflictError(f"key {key_id!r} was rotated already; rotate its successor {found.replaced_by!r}")
    return found


def _insert_key(tx: WriteTx, record: KeyRecord) -> None:
    tx.execute(
        api_key.insert().values(
            id=record.id,
            project_id=record.project,
            role=record.role,
            hash=record.hash,
            note=record.note,
            created_ns=record.created_ns,
            expires_ns=record.expires_ns,
            max_spans_per_s=record.limits.max_spans_per_s,
            max_concurrent=record.limits.max_concurrent,
        )
    )


def _limits_to_event(limits: KeyLimits) -> dict[str, float | int]:
    """Return the limits that are set, for the audit event."""
    found = {"max_spans_per_s": limits.max_spans_per_s, "max_concurrent": limits.max_concurrent}
    return {name: limit for name, limit in found.items() if limit is not None}


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
        limits=KeyLimits(row.max_spans_per_s, row.max_concurrent),
        replaced_by=row.replaced_by,
    )
