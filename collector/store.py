"""Writes what arrived: one call stores any number of requests inside the caller's one transaction.

Rows are written in one order, table by table and key by key: spans, content, traces, batches, exchanges,
ledger. Writers in different processes therefore queue up behind each other rather than deadlock, and a
trace's row is locked before its exchanges are looked at, so context that arrives in one transaction and
its exchange in another, at the same moment, still find each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert

from collector.arrivals import Arrival, IncomingRequest, fit_text
from collector.content import Contents
from collector.otlp.spans import Rejection
from collector.store_exchanges import SegmentIds, find_late_context, write_exchanges
from collector.store_families import load_stored_exchanges, settle_repeats, uncount_repeats
from collector.store_ledger import LedgerCounts, write_ledger
from collector.store_spans import write_spans
from collector.store_traces import write_traces
from custodes.db.database import WriteTx
from custodes.db.tables import ingest_batch
from custodes.kernel.clock import ns_to_minute
from custodes.kernel.ids import RowIds


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What became of one request; ``stored + duplicates + rejected`` is what it sent.

    ``exchanges`` counts those seen for the first time. ``batch_id`` is the batch that scores what this
    request brought; ``None`` when it brought nothing new.
    """

    batch_id: int | None
    stored: int
    duplicates: int
    rejected: Counter[Rejection] = field(default_factory=Counter)
    exchanges: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of each request, in order, and the segments that were looked up on the way."""

    outcomes: list[StoreOutcome]
    segments: SegmentIds


def store_requests(
    tx: WriteTx,
    requests: Sequence[IncomingRequest],
    row_ids: RowIds,
    contents: Contents,
    segments: SegmentIds | None = None,
) -> Stored:
    """Store every request and return what became of each, in the same order.

    A span is stored once: copies in the same call, or already in the database, count as duplicates. A copy
    that knows more (``NormalSpan.completeness``) replaces what is stored and has its exchange scored again;
    it counts as a duplicate all the same. Documents that arrive after exchanges which may have used them
    have these scored again. A call that two spans tell, one below the other, is one exchange
    (:mod:`collector.repeats`). Each request that brings anything new gets a batch of its own.

    ``segments`` holds row numbers known to be committed; those looked up here may be added to it after the commit.

    Raises ``ConflictError`` when another process drew the same row numbers, or when the project doesn't
    exist; nothing of the call is kept then, and the transaction can be tried again as a whole.
    """
    counts = [_count_rejected(request) for request in requests]
    arrivals = _take_best_copies(requests, counts)
    uncount_repeats(arrivals)
    contents.keep_all_keys(tx, [request.packed for request in requests])
    written = write_spans(tx, arrivals, row_ids)
    write_traces(tx, written.fresh, written.replaced, row_ids)
    changed = [*written.fresh, *written.replaced]
    earlier = load_stored_exchanges(tx, changed)
    moved = settle_repeats(tx, changed, earlier)
    exchanges = [one for one in written.fresh if one.is_exchange]
    exchanges += [one for one in written.replaced if one.is_exchange or one.was_exchange]
    moved.update(find_late_context(changed, earlier))
    for arrival in written.replaced:
        moved.pop(arrival.row_id, None)
    for arrival in written.fresh:
        counts[arrival.request].stored[arrival.segment.service] += 1
    for arrival in written.known:
        counts[arrival.request].duplicates[arrival.segment.service] += 1
    for arrival in exchanges:
        if not arrival.was_exchange:
            counts[arrival.request].exchanges[arrival.segment.service] += 1
    queued = Counter([*(arrival.request for arrival in exchanges), *moved.values()])
    batch_ids = [
        _open_batch(tx, request, counts[index].stored.total(), queued[index]) for index, request in enumerate(requests)
    ]
    received_ns = [request.received_ns for request in requests]
    found = write_exchanges(tx, exchanges, moved, batch_ids, received_ns, segments or {})
    minutes = [ns_to_minute(one) for one in received_ns]
    write_ledger(tx, zip([request.project for request in requests], minutes, counts, strict=True))
    outcomes = [
        StoreOutcome(
            batch_id=batch_id,
            stored=count.stored.total(),
            duplicates=count.duplicates.total(),
            rejected=request.rejected,
            exchanges=count.exchanges.total(),
        )
        for request, batch_id, count in zip(requests, batch_ids, counts, strict=True)
    ]
    return Stored(outcomes, found)


def _count_rejected(request: IncomingRequest) -> LedgerCounts:
    counts = LedgerCounts()
    for rejection, n in request.rejected.items():
        counts.rejected[fit_text(rejection.service, 256), rejection.reason] += n
    return counts


def _take_best_copies(requests: Sequence[IncomingRequest], counts: Sequence[LedgerCounts]) -> list[Arrival]:
    """Return each span once, in key order, with what the most complete copy knows.

    The first request that sent it counts as the one that brought it; further copies are duplicates.
    """
    best: dict[tuple[str, bytes, bytes], Arrival] = {}
    for index, request in enumerate(requests):
        for arrival in request.arrivals:
            arrival.request = index
            earlier = best.setdefault(arrival.key, arrival)
            if earlier is arrival:
                continue
            counts[index].duplicates[arrival.segment.service] += 1
            if arrival.completeness > earlier.completeness:
                arrival.request = earlier.request
                best[arrival.key] = arrival
    return [best[key] for key in sorted(best)]


def _open_batch(tx: WriteTx, request: IncomingRequest, stored: int, exchanges: int) -> int | None:
    """Create the batch of one request, ready when there is something to score; ``None`` for nothing new."""
    if not stored and not exchanges:
        return None
    values: dict[str, Any] = {
        "project_id": request.project,
        "received_ns": request.received_ns,
        "spans": stored,
        "exchanges": exchanges,
        "state": "ready" if exchanges else "done",
        "done_ns": None if exchanges else request.received_ns,
    }
    key = tx.execute(insert(ingest_batch).values(values)).inserted_primary_key
    return int(key[0]) if key is not None else None
