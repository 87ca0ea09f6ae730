"""What scoring made of each exchange, as the loss ledger counts it, and how that is taken back.

Every exchange is counted once: assessed, or not assessed with its reason. Scored again, it moves; told by another
span as well, it goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, select

from collector.exchanges import StoredExchange
from collector.store_ledger import LedgerKey, add_to_ledger
from custodes.db import WriteTx
from custodes.db.rollups import rebuild_rollups
from custodes.db.tables import embedding, exchange, exchange_match, score
from custodes.kernel.clock import ns_to_minute
from custodes.runtime.batches import ClaimedBatch
from detectors.model import RULE_METRICS, ExchangeScores

Pair = tuple[StoredExchange, ExchangeScores]
Outcome = tuple[str, str | None]
"""State and reason of one metric."""


def read_outcomes(tx: WriteTx, row_ids: Sequence[int]) -> dict[int, list[Outcome]]:
    """Return what earlier scores said of exchanges, metric by metric; nothing of those never scored."""
    found: dict[int, list[Outcome]] = {}
    if row_ids:
        columns = (score.c.span_id, score.c.state, score.c.reason)
        judged = (score.c.span_id.in_(row_ids), score.c.metric.not_in(RULE_METRICS))
        statement = select(*columns).where(*judged).order_by(score.c.span_id, score.c.metric)
        for row in tx.execute(statement):
            found.setdefault(row.span_id, []).append((row.state, row.reason))
    return found


def count_outcomes(tx: WriteTx, pairs: Sequence[Pair], before: Mapping[int, list[Outcome]]) -> None:
    """Count what was scored now, taking back what ``before`` had counted of the same exchanges."""
    counts: Counter[LedgerKey] = Counter()
    for stored, result in pairs:
        place = (stored.project, ns_to_minute(stored.received_ns), stored.service)
        if stored.rolled_minute is not None:
            counts[(*place, *_outcome_to_ledger(before.get(stored.span_row_id, [])))] -= 1
        counts[(*place, *_outcome_to_ledger(_judged(result)))] += 1
    add_to_ledger(tx, {key: n for key, n in counts.items() if n})


def take_back_repeats(tx: WriteTx, batches: Iterable[ClaimedBatch]) -> int:
    """Remove the exchanges of ``batches`` whose call another span tells better; return how many there were.

    Their scores, their part of the roll-ups and their lines in the ledger go with them; their spans stay.
    """
    numbers = [batch.id for batch in batches]
    chosen = select(exchange).where(exchange.c.batch_id.in_(numbers), exchange.c.repeated.is_(True))
    rows = list(tx.execute(chosen.order_by(exchange.c.span_id).with_for_update()))
    if not rows:
        return 0
    row_ids = [row.span_id for row in rows]
    before = read_outcomes(tx, row_ids)
    counts: Counter[LedgerKey] = Counter()
    stale: set[tuple[str, int, int]] = set()
    for row in rows:
        place = (row.project_id, ns_to_minute(row.received_ns), row.service)
        counts[(*place, "exchanges", "")] -= 1
        if row.rolled_minute is not None:
            counts[(*place, *_outcome_to_ledger(before.get(row.span_id, [])))] -= 1
            stale.add((row.project_id, row.rolled_minute, row.rolled_segment_id))
    for table in (score, embedding, exchange_match, exchange):
        tx.execute(delete(table).where(table.c.span_id.in_(row_ids)))
    add_to_ledger(tx, counts)
    rebuild_rollups(tx, stale)
    return len(rows)


def _judged(result: ExchangeScores) -> list[Outcome]:
    """Return the outcomes that count: rules look for patterns and answer for almost any text, understood or not."""
    return [(one.state, one.reason) for one in result.scores if one.metric not in RULE_METRICS]


def _outcome_to_ledger(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """Return the ledger's kind and reason: assessed when any metric is, else the first metric's reason."""
    if any(state == "assessed" for state, _ in outcomes):
        return "assessed", ""
    return "not_assessed", next((reason or "" for _, reason in outcomes), "no_detector")
