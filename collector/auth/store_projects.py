"""Projects in the database: what every other row belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import select

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import project
from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from policies.audit.intake import append_event

PROJECT_ID_PATTERN = r"[a-z0-9](?:[a-z0-9_.-]{0,62}[a-z0-9])?"
"""What a project may be called: 1 to 64 lower-case letters, digits, ``-``, ``_`` and ``.``, not at either end."""

_PROJECT_ID = re.compile(PROJECT_ID_PATTERN, re.ASCII)


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A stored project."""

    id: str
    created_ns: int


def check_project_id(written: str) -> str:
    """Return ``written`` if a project may be called so; raise ``InvalidInputError`` saying what may."""
    if _PROJECT_ID.fullmatch(written) is None:
        raise InvalidInputError(
            f"a project cannot be called {written[:80]!r}; use 1 to 64 of a-z, 0-9, '-', '_' and '.', "
            "beginning and ending with a letter or digit, e.g. support-bot"
        )
    return written


def create_project(tx: WriteTx, project_id: str, *, actor: str, actor_role: str, now_ns: int) -> int:
    """Store a new project and return the id of its audit event.

    Raises ``InvalidInputError`` for a name no project may have and ``ConflictError`` for one that exists.
    """
    intake_id = ensure_project(tx, project_id, actor=actor, actor_role=actor_role, now_ns=now_ns)
    if intake_id is None:
        raise ConflictError(f"project {project_id!r} exists already; custodes project list shows all")
    return intake_id


def ensure_project(tx: WriteTx, project_id: str, *, actor: str, actor_role: str, now_ns: int) -> int | None:
    """Store a project unless it exists; return the id of its audit event, ``None`` when it was there.

    Raises ``InvalidInputError`` for a new name no project may have. A project of an older name is left alone.
    """
    if tx.execute(select(project.c.id).where(project.c.id == project_id)).first() is not None:
        return None
    values = {"id": check_project_id(project_id), "created_ns": now_ns}
    # What the statement returns, not its row count, tells on both databases whether another process was first.
    statement = tx.insert(project).values(values).on_conflict_do_nothing().returning(project.c.id)
    if tx.execute(statement).first() is None:
        return None
    return append_event(
        tx,
        action="project.created",
        actor=actor,
        role=actor_role,
        object=f"project/{project_id}",
        data={},
        at_ns=now_ns,
        project=project_id,
    )


def require_project(tx: ReadTx, project_id: str) -> None:
    """Raise ``NotFoundError`` unless there is a project of this name."""
    if tx.execute(select(project.c.id).where(project.c.id == project_id)).first() is None:
        raise NotFoundError(f"no project {project_id[:80]!r}; custodes project list shows all")


def list_projects(tx: ReadTx) -> list[ProjectRecord]:
    """Return every project by name."""
    rows = tx.execute(select(project).order_by(project.c.id))
    return [ProjectRecord(row.id, row.created_ns) for row in rows]
