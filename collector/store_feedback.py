"""What people say about answers, in the database. The comment is captured text and packed like all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import and_, or_, select

from collector.content import Contents
from custodes.db import Database, ReadTx
from custodes.db.tables import feedback
from custodes.kernel.clock import ns_to_rfc3339

MAX_OF_A_TRACE = 200
"""Most opinions shown with one trace, the latest."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """One piece of feedback. ``user_id`` is who gave it; ``at_ns`` when, unix nanoseconds."""

    id: str
    trace_id: bytes
    span_id: bytes | None
    label: str | None
    value: float | None
    comment: str | None
    user_id: str | None
    source: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class OpinionFilter:
    """Which opinions to list; ``None`` does not restrict. ``after`` is the ``(at_ns, id)`` of the last row seen."""

    from_ns: int | None = None
    to_ns: int | None = None
    label: str | None = None
    after: tuple[int, str] | None = None


def store_opinion(database: Database, contents: Contents, project: str, opinion: Opinion, now_ns: int) -> bool:
    """Store an opinion in a transaction of its own; false when one with its id is there already, which stays."""
    bodies = [] if opinion.comment is None else [(opinion.user_id, _aad(opinion.id), _to_body(opinion.comment))]
    packed = contents.pack(project, bodies)
    with database.write() as tx:
        contents.keep_keys(tx, packed)
        codec, key_id, body = packed.rows[0] if packed.rows else (None, None, None)
        statement = tx.insert(feedback).values(
            project_id=project,
            id=opinion.id,
            trace_id=opinion.trace_id,
            span_id=opinion.span_id,
            label=opinion.label,
            value=opinion.value,
            user_id=opinion.user_id,
            source=opinion.source,
            at_ns=opinion.at_ns,
            received_ns=now_ns,
            codec=codec,
            key_id=key_id,
            body=body,
        )
        return tx.execute(statement.on_conflict_do_nothing().returning(feedback.c.id)).first() is not None


def list_opinions(
    tx: ReadTx, contents: Contents, project: str, wanted: OpinionFilter, limit: int, *, text_visible: bool
) -> tuple[list[dict[str, Any]], tuple[int, str] | None]:
    """Return one page, newest first, and the sort key after which the next page starts (``None`` at the end)."""
    columns = feedback.c
    conditions = [columns.project_id == project]
    if wanted.from_ns is not None:
        conditions.append(columns.at_ns >= wanted.from_ns)
    if wanted.to_ns is not None:
        conditions.append(columns.at_ns < wanted.to_ns)
    if wanted.label is not None:
        conditions.append(columns.label == wanted.label)
    if wanted.after is not None:
        at_ns, identifier = wanted.after
        conditions.append(or_(columns.at_ns < at_ns, and_(columns.at_ns == at_ns, columns.id < identifier)))
    order = (columns.at_ns.desc(), columns.id.desc())
    found = list(tx.execute(select(feedback).where(*conditions).order_by(*order).limit(limit + 1)))
    rows = found[:limit]
    after = (rows[-1].at_ns, rows[-1].id) if len(found) > limit else None
    return _describe(tx, contents, project, rows, text_visible), after


def opinions_of_trace(
    tx: ReadTx, contents: Contents, project: str, trace_id: bytes, *, text_visible: bool
) -> list[dict[str, Any]]:
    """Return what was said about a trace, newest first."""
    statement = select(feedback).where(feedback.c.project_id == project, feedback.c.trace_id == trace_id)
    order = (feedback.c.at_ns.desc(), feedback.c.id.desc())
    rows = list(tx.execute(statement.order_by(*order).limit(MAX_OF_A_TRACE)))
    return _describe(tx, contents, project, rows, text_visible)


def _describe(
    tx: ReadTx, contents: Contents, project: str, rows: Sequence[Any], text_visible: bool
) -> list[dict[str, Any]]:
    comments: dict[str, Any] = {}
    if text_visible:
        with_text = [row for row in rows if row.body is not None]
        stored = [(row.codec, row.key_id, row.body, _aad(row.id)) for row in with_text]
        unpacked = contents.unpack(tx, project, stored)
        comments = {row.id: (one or {}).get("comment") for row, one in zip(with_text, unpacked, strict=True)}
    return [
        {
            "id": row.id,
            "trace_id": row.trace_id.hex(),
            "span_id": None if row.span_id is None else row.span_id.hex(),
            "label": row.label,
            "value": row.value,
            "comment": comments.get(row.id),
            "has_comment": row.body is not None,
            "user_id": row.user_id,
            "source": row.source,
            "at": ns_to_rfc3339(row.at_ns),
        }
        for row in rows
    ]


def _aad(identifier: str) -> bytes:
    return b"feedback:" + identifier.encode()


def _to_body(comment: str) -> bytes:
    return orjson.dumps({"comment": comment})
