"""What people judged answers to be, in the database. A better answer is captured text and packed like all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import orjson
from sqlalchemy import and_, insert, or_, select

from collector.content import Contents
from custodes.db import Database, ReadTx
from custodes.db.tables import exchange, review, span
from custodes.kernel.errors import NotFoundError
from policies.actors import Actor, record

Verdict = Literal["good", "bad"]
MAX_CORRECTED_CHARACTERS = 50_000


@dataclass(frozen=True, slots=True)
class Review:
    """One person's judgement of an exchange. ``corrected`` is ``None`` without one, or where it was erased."""

    id: str
    trace_id: bytes
    span_id: bytes
    reviewer: str
    verdict: Verdict
    at_ns: int
    corrected: str | None = None
    is_erased: bool = False


def add_review(db: Database, contents: Contents, project: str, made: Review, actor: Actor) -> int:
    """Store a review, and return its audit event's intake number. A person's latest review counts.

    The better answer is kept under the key of the exchange's user, so that erasing that person erases it too. Raises
    ``NotFoundError`` when the project has no such exchange.
    """
    place = and_(span.c.project_id == project, span.c.trace_id == made.trace_id, span.c.span_id == made.span_id)
    with db.read() as tx:
        known = tx.execute(select(span.c.user_id).join(exchange, exchange.c.span_id == span.c.id).where(place)).first()
    if known is None:
        raise NotFoundError(f"no exchange {made.trace_id.hex()}{made.span_id.hex()} in project {project}")
    bodies = [] if made.corrected is None else [(known.user_id, _aad(made.id), _to_body(made.corrected))]
    packed = contents.pack(project, bodies)
    with db.write() as tx:
        contents.keep_keys(tx, packed)
        codec, key_id, body = packed.rows[0] if packed.rows else (None, None, None)
        tx.execute(
            insert(review).values(
                id=made.id,
                project_id=project,
                trace_id=made.trace_id,
                span_id=made.span_id,
                reviewer=made.reviewer,
                verdict=made.verdict,
                at_ns=made.at_ns,
                codec=codec,
                key_id=key_id,
                body=body,
            )
        )
        data = {"verdict": made.verdict, "corrected": made.corrected is not None}
        thing = f"exchange/{made.trace_id.hex()}{made.span_id.hex()}"
        return record(tx, actor, "exchange.reviewed", thing, data, project, made.at_ns)


def list_reviews(
    tx: ReadTx,
    contents: Contents,
    project: str,
    *,
    place: tuple[bytes, bytes] | None = None,
    after: tuple[int, str] | None = None,
    limit: int = 1000,
    with_text: bool = False,
) -> list[Review]:
    """Return reviews, newest first; of one exchange where ``place`` names its trace and span."""
    columns = review.c
    statement = select(review).where(columns.project_id == project)
    if place is not None:
        statement = statement.where(columns.trace_id == place[0], columns.span_id == place[1])
    if after is not None:
        statement = statement.where(
            or_(columns.at_ns < after[0], and_(columns.at_ns == after[0], columns.id < after[1]))
        )
    rows = list(tx.execute(statement.order_by(columns.at_ns.desc(), columns.id.desc()).limit(limit)))
    texts: dict[str, str | None] = {}
    stored = [row for row in rows if row.body is not None]
    if with_text and stored:
        packed = [(row.codec, row.key_id, row.body, _aad(row.id)) for row in stored]
        unpacked = contents.unpack(tx, project, packed)
        texts = {row.id: (one or {}).get("corrected") for row, one in zip(stored, unpacked, strict=True)}
    return [
        Review(
            row.id,
            bytes(row.trace_id),
            bytes(row.span_id),
            row.reviewer,
            row.verdict,
            row.at_ns,
            texts.get(row.id),
            is_erased=with_text and row.body is not None and texts.get(row.id) is None,
        )
        for row in rows
    ]


def _aad(identifier: str) -> bytes:
    return b"review:" + identifier.encode()


def _to_body(corrected: str) -> bytes:
    return orjson.dumps({"corrected": corrected})
