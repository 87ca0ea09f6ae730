"""The life of a score: claimed batches → texts → detectors → one transaction.

The transaction writes scores, embeddings, roll-ups, the ledger and one audit event per batch, and
marks the batches done; it happens whole or not at all, so a killed worker leaves only a lease behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from sqlalchemy import bindparam, delete, select, update

from collector.content import Contents
from collector.exchanges import StoredExchange, read_batch_exchanges
from custodes.db import Database, WriteTx
from custodes.db.rollups import RollupKey, add_to_rollups, rebuild_rollups, span_quantities
from custodes.db.tables import detector, embedding, exchange, score
from custodes.kernel.clock import Clock, ns_to_minute
from custodes.runtime.batches import ClaimedBatch, mark_batches, still_held
from custodes.runtime.store_outcomes import Pair, count_outcomes, read_outcomes, take_back_repeats
from detectors.model import DetectorIdentity, Exchange, ExchangeScores, Score
from policies.audit.intake import append_event
from policies.audit.merkle import leaf_hash, root_of

SCORING_FAILED = "scoring_failed"
"""The reason exchanges carry whose batch could not be scored after every allowed attempt."""


@dataclass(frozen=True, slots=True)
class ScoredReport:
    """What one scoring transaction did."""

    exchanges: int = 0
    batches: int = 0
    states: Mapping[tuple[str, str], int] = field(default_factory=dict)


class ScoringProfile(Protocol):
    """What scoring needs of a detector profile."""

    @property
    def name(self) -> str:
        """The profile's name."""
        ...

    def identities(self) -> tuple[DetectorIdentity, ...]:
        """Return who scores here."""
        ...

    def warm_up(self) -> None:
        """Do whatever makes the first real call as quick as later ones."""
        ...

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]:
        """Return one answer per exchange, in order; a text that cannot be scored fails alone."""
        ...


class Scorer:
    """Scores claimed batches with one profile. Use from one thread."""

    def __init__(
        self, database: Database, contents: Contents, profile: ScoringProfile, clock: Clock, owner: str
    ) -> None:
        self._database = database
        self._contents = contents
        self._profile = profile
        self._clock = clock
        self._owner = owner

    def score(self, claimed: Sequence[ClaimedBatch]) -> ScoredReport:
        """Score every exchange of ``claimed`` and commit the results.

        Batches whose lease went to another worker meanwhile are left alone.
        """
        found = self._read(claimed)
        results = self._profile.score([_to_detector_exchange(one) for one in found])
        return self._commit(claimed, found, results, state="done", error=None)

    def give_up(self, claimed: Sequence[ClaimedBatch], error: str) -> ScoredReport:
        """Set batches aside that failed too often: their exchanges become "not assessed", counted and shown."""
        found = self._read(claimed)
        empty = [Exchange(_exchange_id(one), None, None, (), SCORING_FAILED) for one in found]
        return self._commit(claimed, found, self._profile.score(empty), state="failed", error=error)

    def _read(self, claimed: Sequence[ClaimedBatch]) -> list[StoredExchange]:
        with self._database.read() as tx:
            return [one for batch in claimed for one in read_batch_exchanges(tx, self._contents, batch.id)]

    def _commit(
        self,
        claimed: Sequence[ClaimedBatch],
        found: Sequence[StoredExchange],
        results: Sequence[ExchangeScores],
        *,
        state: str,
        error: str | None,
    ) -> ScoredReport:
        now_ns = self._clock()
        with self._database.write() as tx:
            held = still_held(tx, self._owner, claimed)
            ours = _still_queued(tx, held)
            pairs = [(one, result) for one, result in zip(found, results, strict=True) if one.span_row_id in ours]
            before = read_outcomes(tx, [one.span_row_id for one, _ in pairs if one.rolled_minute is not None])
            _write_scores(tx, pairs, now_ns)
            _write_rollups(tx, pairs, now_ns)
            count_outcomes(tx, pairs, before)
            take_back_repeats(tx, held)
            for batch in held:
                _append_batch_event(tx, batch, [pair for pair in pairs if pair[0].batch_id == batch.id], now_ns)
            mark_batches(tx, held, state, now_ns=now_ns, error=error)
        counts: dict[tuple[str, str], int] = {}
        for _, result in pairs:
            for one in result.scores:
                counts[one.metric, one.state] = counts.get((one.metric, one.state), 0) + 1
        return ScoredReport(len(pairs), len(held), counts)


def _to_detector_exchange(stored: StoredExchange) -> Exchange:
    return Exchange(_exchange_id(stored), stored.prompt, stored.response, stored.contexts, stored.incomplete)


def _exchange_id(stored: StoredExchange) -> str:
    return stored.trace_id + stored.span_id


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


def _still_queued(tx: WriteTx, held: Sequence[ClaimedBatch]) -> set[int]:
    """Return the exchanges that still belong to these batches; a later batch may have taken one over."""
    rows = tx.execute(
        select(exchange.c.span_id)
        .where(exchange.c.batch_id.in_([batch.id for batch in held]), exchange.c.repeated.is_(False))
        .order_by(exchange.c.span_id)
        .with_for_update()
    )
    return {row.span_id for row in rows}


def _write_scores(tx: WriteTx, pairs: Sequence[Pair], now_ns: int) -> None:
    again = [one.span_row_id for one, _ in pairs if one.rolled_minute is not None]
    if again:
        tx.execute(delete(score).where(score.c.span_id.in_(again)))
        tx.execute(delete(embedding).where(embedding.c.span_id.in_(again)))
    identities = {one.detector for _, result in pairs for one in result.scores}
    identities |= {one.encoder for _, result in pairs for one in result.embeddings}
    numbers = _detector_numbers(tx, identities, now_ns)
    tx.execute_driver(
        tx.bulk_insert_sql(score, _SCORE_COLUMNS),
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
    tx.execute_driver(
        tx.bulk_insert_sql(embedding, _EMBEDDING_COLUMNS),
        [
            (stored.span_row_id, one.field, numbers[one.encoder], one.dim, one.vector)
            for stored, result in pairs
            for one in result.embeddings
        ],
    )


_SCORE_COLUMNS = ("span_id", "metric", "value", "state", "reason", "detector_id", "evidence", "scored_ns")
_EMBEDDING_COLUMNS = ("span_id", "field", "detector_id", "dim", "vector")


def _evidence(one: Score) -> bytes | None:
    if not one.labels and not one.spans:
        return None
    spans = [{"start": span.start, "end": span.end, "value": span.value} for span in one.spans]
    return orjson.dumps({"labels": dict(one.labels), "spans": spans})


def _write_rollups(tx: WriteTx, pairs: Sequence[Pair], now_ns: int) -> None:
    """Add first scores; where an exchange was scored before, compute its old and new rows afresh."""
    stale: set[tuple[str, int, int]] = set()
    for stored, _ in pairs:
        if stored.rolled_minute is not None and stored.rolled_segment_id is not None:
            stale.add((stored.project, stored.rolled_minute, stored.rolled_segment_id))
            stale.add((stored.project, ns_to_minute(stored.at_ns), stored.segment_id))
    additions: list[tuple[RollupKey, float | None]] = []
    for stored, result in pairs:
        minute = ns_to_minute(stored.at_ns)
        if (stored.project, minute, stored.segment_id) in stale:
            continue
        values: dict[str, float | None] = {one.metric: one.value for one in result.scores}
        values.update(span_quantities(_quantities(stored)))
        additions.extend(
            (RollupKey(stored.project, minute, stored.segment_id, metric), value) for metric, value in values.items()
        )
    tx.execute_many(
        update(exchange)
        .where(exchange.c.span_id == bindparam("row"))
        .values(scored_ns=now_ns, rolled_segment_id=bindparam("segment"), rolled_minute=bindparam("minute")),
        [
            {"row": stored.span_row_id, "segment": stored.segment_id, "minute": ns_to_minute(stored.at_ns)}
            for stored, _ in pairs
        ],
    )
    add_to_rollups(tx, additions)
    rebuild_rollups(tx, stale)


def _append_batch_event(tx: WriteTx, batch: ClaimedBatch, pairs: Sequence[Pair], now_ns: int) -> None:
    """Commit to every score of the batch in one leaf: the Merkle root of the scores' canonical lines."""
    lines = [
        orjson.dumps(
            [_exchange_id(stored), one.metric, one.state, one.value, one.detector.digest], option=orjson.OPT_SORT_KEYS
        )
        for stored, result in pairs
        for one in result.scores
    ]
    detectors = sorted({f"{one.detector.name}@{one.detector.version}" for _, r in pairs for one in r.scores})
    append_event(
        tx,
        action="exchanges.scored",
        actor="worker",
        role="system",
        object=f"batch/{batch.id}",
        data={
            "exchanges": len(pairs),
            "scores": len(lines),
            "scores_root": root_of(leaf_hash(line) for line in lines).hex(),
            "detectors": detectors,
        },
        at_ns=now_ns,
        project=batch.project,
    )


def _detector_numbers(tx: WriteTx, wanted: set[DetectorIdentity], now_ns: int) -> dict[DetectorIdentity, int]:
    """Return the row number of every detector, entering those that are new."""
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
    rows = tx.execute(select(detector).where(detector.c.name.in_({one.name for one in wanted})))
    return {DetectorIdentity(row.name, row.version, row.digest): row.id for row in rows}
