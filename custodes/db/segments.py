"""Segments: the (service, environment, deployment, model) a roll-up row is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import and_, or_, select

from custodes.db.database import WriteTx
from custodes.db.tables import segment

_CHUNK = 100


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """What traffic is grouped by; an unknown part is the empty string."""

    service: str
    environment: str
    deployment: str
    model: str


def resolve_segments(tx: WriteTx, project: str, wanted: Iterable[Segment]) -> dict[Segment, int]:
    """Return the row number of every segment in ``wanted``, creating those that are new."""
    todo = sorted(set(wanted))
    found = _look_up(tx, project, todo)
    missing = [one for one in todo if one not in found]
    if missing:
        tx.execute_many(
            tx.insert(segment).on_conflict_do_nothing(),
            [
                {
                    "project_id": project,
                    "service": one.service,
                    "environment": one.environment,
                    "deployment": one.deployment,
                    "model": one.model,
                }
                for one in missing
            ],
        )
        found.update(_look_up(tx, project, missing))
    return found


def _look_up(tx: WriteTx, project: str, wanted: list[Segment]) -> dict[Segment, int]:
    found: dict[Segment, int] = {}
    columns = segment.c
    for start in range(0, len(wanted), _CHUNK):
        clause = or_(
            *(
                and_(
                    columns.service == one.service,
                    columns.environment == one.environment,
                    columns.deployment == one.deployment,
                    columns.model == one.model,
                )
                for one in wanted[start : start + _CHUNK]
            )
        )
        for row in tx.execute(select(segment).where(columns.project_id == project, clause)):
            found[Segment(row.service, row.environment, row.deployment, row.model)] = row.id
    return found
