"""Writing what the detectors said: scores, embeddings, traits, and their part of the minute roll-ups.

Many rows go to a statement (``custodes.db.bulk``): a transaction of a thousand exchanges is some eight thousand rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import bindparam, delete, select, update

from collector.exchanges import StoredExchange
from custodes.db import WriteTx
from custodes.db.rollups import RollupKey, add_all_to_rollups, rebuild_rollups, span_quantities
from custodes.db.tables import detector, embedding, exchange, score
from custodes.kernel.clock import ns_to_minute
from custodes.runtime.batches import ClaimedBatch
from custodes.runtime.store_outcomes import Pair
from detectors.model import DetectorIdentity, ExchangeScores, Score

_SCORE_COLUMNS = ("span_id", "metric", "value", "state", "reason", "detector_id", "evidence", "scored_ns")
_EMBEDDING_COLUMNS = ("span_id", "field", "detector_id", "dim", "vector")
# Bound parameters of one statement; SQLite takes 32,766, and statements of few sizes are prepared once.
_IN_CHUNK = 500


def lock_queued(tx: WriteTx, held: Sequence[ClaimedBatch]) -> dict[int, int]:
    """Return the exchanges that still belong to these batches, locked, each with its batch.

    A later batch may have taken one over since it was read.
    """
    rows = tx.execute(
        select(exchange.c.span_id, exchange.c.batch_id)
        .where(exchange.c.batch_id.in_([batch.id for batch in held]), exchange.c.repeated.is_(False))
        .order_by(exchange.c.span_id)
        .with_for_update()
    )
    return {row.span_id: row.batch_id for row in rows}


def write_scores(tx: WriteTx, pairs: Sequence[Pair], now_ns: int) -> None:
    """Store every score and embedding of ``pairs``, in place of what earlier scoring of them stored."""
    again = [stored.span_row_id for stored, _ in pairs if stored.rolled_minute is not None]
    for start in range(0, len(again), _IN_CHUNK):
        for table in (score, embedding):
            tx.execute(delete(table).where(table.c.span_id.in_(again[start : start + _IN_CHUNK])))
    numbers = _detector_numbers(tx, pairs, now_ns)
    tx.bulk_insert(
        score,
        _SCORE_COLUMNS,
        [
            (
                stored.span_row_id,
                one.metric,
                one.value,
                one.state,
                one.reason,
                numbers[one.detector],
                _evidence(one),
                now_ns,
            )
            for stored, result in pairs
            for one in result.scores
        ],
    )
    tx.bulk_insert(
        embedding,
        _EMBEDDING_COLUMNS,
        [
            (stored.span_row_id, one.field, numbers[one.encoder], one.dim, one.vector)
            for stored, result in pairs
            for one in result.embeddings
        ],
    )


def write_rollups(tx: WriteTx, pairs: Sequence[Pair], now_ns: int) -> None:
    """Add first scores; where an exchange was scored before, compute its old and new rows afresh.

    Marks every exchange of ``pairs`` as scored, with its traits and where in the roll-ups it now sits.
    """
    stale: set[tuple[str, int, int]] = set()
    for stored, _ in pairs:
        if stored.rolled_minute is not None and stored.rolled_segment_id is not None:
            stale.add((stored.project, stored.rolled_minute, stored.rolled_segment_id))
            stale.add(_place(stored))
    additions: dict[tuple[str, int, int], dict[str, list[float | None]]] = {}
    for stored, result in pairs:
        place = _place(stored)
        if place in stale:
            continue
        here = additions.setdefault(place, {})
        for one in result.scores:
            here.setdefault(one.metric, []).append(one.value)
        for metric, value in span_quantities(_quantities(stored)).items():
            here.setdefault(metric, []).append(value)
    _mark_scored(tx, pairs, now_ns)
    add_all_to_rollups(
        tx,
        {
            RollupKey(project, minute, segment_id, metric): values
            for (project, minute, segment_id), metrics in additions.items()
            for metric, values in metrics.items()
        },
    )
    rebuild_rollups(tx, stale)


def _mark_scored(tx: WriteTx, pairs: Sequence[Pair], now_ns: int) -> None:
    """Write what the exchanges' own rows tell: one statement for all that are told alike, if that makes them few."""
    alike: dict[tuple[int, int, bytes | None], list[int]] = {}
    for stored, result in pairs:
        told = (stored.segment_id, ns_to_minute(stored.at_ns), _traits(result))
        alike.setdefault(told, []).append(stored.span_row_id)
    if len(alike) * 4 > len(pairs):
        tx.execute_many(
            update(exchange)
            .where(exchange.c.span_id == bindparam("row"))
            .values(
                scored_ns=now_ns,
                rolled_segment_id=bindparam("segment"),
                rolled_minute=bindparam("minute"),
                traits=bindparam("told"),
            ),
            [
                {"row": row, "segment": segment, "minute": minute, "told": traits}
                for (segment, minute, traits), rows in alike.items()
                for row in rows
            ],
        )
        return
    for (segment, minute, traits), rows in alike.items():
        for start in range(0, len(rows), _IN_CHUNK):
            tx.execute(
                update(exchange)
                .where(exchange.c.span_id.in_(rows[start : start + _IN_CHUNK]))
                .values(scored_ns=now_ns, rolled_segment_id=segment, rolled_minute=minute, traits=traits)
            )


def _traits(result: ExchangeScores) -> bytes | None:
    """Return the traits as ``exchange.traits`` keeps them; None when there are none to keep."""
    if not result.traits:
        return None
    return orjson.dumps(
        {
            one.name: {"labels": dict(one.labels)} if one.reason is None else {"labels": {}, "reason": one.reason}
            for one in result.traits
        }
    )


def _place(stored: StoredExchange) -> tuple[str, int, int]:
    return (stored.project, ns_to_minute(stored.at_ns), stored.segment_id)


def _quantities(stored: StoredExchange) -> dict[str, Any]:
    return {
        "start_ns": stored.start_ns,
        "end_ns": stored.end_ns,
        "complete": stored.complete,
        "ttft_ms": stored.ttft_ms,
        "cost_usd": stored.cost_usd,
        "input_tokens": stored.input_tokens,
        "output_tokens": stored.output_tokens,
    }


def _evidence(one: Score) -> bytes | None:
    if not one.labels and not one.spans:
        return None
    spans = [{"start": span.start, "end": span.end, "value": span.value} for span in one.spans]
    return orjson.dumps({"labels": one.labels, "spans": spans})


def _detector_numbers(tx: WriteTx, pairs: Sequence[Pair], now_ns: int) -> dict[DetectorIdentity, int]:
    """Return the row number of every detector in ``pairs``, entering those that are new."""
    wanted = {one.detector for _, result in pairs for one in result.scores}
    wanted |= {one.encoder for _, result in pairs for one in result.embeddings}
    known = _known_detectors(tx, wanted)
    missing = sorted(wanted - set(known), key=lambda one: (one.name, one.version, one.digest))
    if missing:
        tx.execute_many(
            tx.insert(detector).on_conflict_do_nothing(),
            [
                {"name": one.name, "version": one.version, "digest": one.digest, "first_seen_ns": now_ns}
                for one in missing
            ],
        )
        known = _known_detectors(tx, wanted)
    return known


def _known_detectors(tx: WriteTx, wanted: set[DetectorIdentity]) -> dict[DetectorIdentity, int]:
    rows = tx.execute(select(detector).where(detector.c.name.in_(sorted({one.name for one in wanted}))))
    return {DetectorIdentity(row.name, row.version, row.digest): row.id for row in rows}
