"""The life of a score: claimed batches → texts → detectors → one transaction.

The transaction writes scores, embeddings, roll-ups, the ledger and one audit event per batch, and
marks the batches done; it happens whole or not at all, so a killed worker leaves only a lease behind.
Reading, judging and committing are separate steps, so that a worker can do all three at a time for different claims.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from collector.content import Contents
from collector.exchanges import StoredExchange, read_batch_exchanges
from collector.store_samples import read_samples
from custodes.db import Database, WriteTx
from custodes.db.rollup_versions import enter_scoring
from custodes.kernel.clock import Clock
from custodes.runtime.batches import ClaimedBatch, mark_batches, still_held
from custodes.runtime.store_outcomes import Pair, count_outcomes, read_outcomes, take_back_repeats
from custodes.runtime.store_scores import lock_queued, write_rollups, write_scores
from detectors.model import INCONSISTENCY, DetectorIdentity, Exchange, ExchangeScores
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


@dataclass(frozen=True, slots=True)
class ReadClaim:
    """Claimed batches with the exchanges they held when they were read.

    ``samples`` are other answers to the same prompt, by the number of the exchange's span; empty where none is wanted.
    """

    batches: tuple[ClaimedBatch, ...]
    exchanges: tuple[StoredExchange, ...]
    samples: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


class ScoringProfile(Protocol):
    """What scoring needs of a detector profile."""

    @property
    def name(self) -> str:
        """The profile's name."""
        ...

    @property
    def device(self) -> str:
        """What computes, in words."""
        ...

    def identities(self) -> tuple[DetectorIdentity, ...]:
        """Return who scores here."""
        ...

    def metrics(self) -> tuple[str, ...]:
        """Return the metrics that every exchange is answered for."""
        ...

    def warm_up(self) -> None:
        """Do whatever makes the first real call as quick as later ones."""
        ...

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]:
        """Return one answer per exchange, in order; a text that cannot be scored fails alone.

        Raises ``UnavailableError`` if scoring is not possible now, whatever the exchanges hold.
        """
        ...

    def close(self) -> None:
        """Give up what the profile holds; a call of ``score`` that is under way in another thread then raises."""
        ...


AfterScoring = Callable[[WriteTx, Sequence[Pair], int], None]
"""What else happens in the transaction that writes scores, as of a time."""


def in_turn(*hooks: AfterScoring) -> AfterScoring:
    """Return one hook that calls these one after the other."""

    def call_all(tx: WriteTx, pairs: Sequence[Pair], now_ns: int) -> None:
        for hook in hooks:
            hook(tx, pairs, now_ns)

    return call_all


class Scorer:
    """Scores claimed batches with one profile. The steps may run in threads of their own, one claim after the other."""

    def __init__(
        self,
        database: Database,
        contents: Contents,
        profile: ScoringProfile,
        clock: Clock,
        owner: str,
        after_scoring: AfterScoring | None = None,
    ) -> None:
        self._database = database
        self._contents = contents
        self._profile = profile
        self._clock = clock
        self._owner = owner
        self._after_scoring = after_scoring

    def score(self, claimed: Sequence[ClaimedBatch]) -> ScoredReport:
        """Score every exchange of ``claimed`` and commit the results: the three steps in a row.

        Batches whose lease went to another worker meanwhile are left alone.
        """
        claim = self.read(claimed)
        return self.commit(claim, self.judge(claim))

    def read(self, claimed: Sequence[ClaimedBatch]) -> ReadClaim:
        """Read every exchange of ``claimed`` with its texts, and the other answers to its prompt."""
        with self._database.read() as tx:
            found = [one for batch in claimed for one in read_batch_exchanges(tx, self._contents, batch.id)]
        return ReadClaim(tuple(claimed), tuple(found), self._read_samples(found))

    def judge(self, claim: ReadClaim) -> list[ExchangeScores]:
        """Ask the detectors; touches no database."""
        return self._profile.score([_to_detector_exchange(one, claim.samples) for one in claim.exchanges])

    def commit(self, claim: ReadClaim, results: Sequence[ExchangeScores]) -> ScoredReport:
        """Write everything about the claim in one transaction, for the batches that are still this worker's."""
        return self._commit(claim, results, state="done", error=None)

    def give_up(self, claimed: Sequence[ClaimedBatch], error: str) -> ScoredReport:
        """Set batches aside that failed too often: their exchanges become "not assessed", counted and shown."""
        claim = self.read(claimed)
        empty = [Exchange(exchange_id(one), None, None, (), SCORING_FAILED) for one in claim.exchanges]
        return self._commit(claim, self._profile.score(empty), state="failed", error=error)

    def _read_samples(self, found: Sequence[StoredExchange]) -> dict[int, tuple[str, ...]]:
        """Return the other answers to the prompts of ``found``; none are looked for if nothing compares answers."""
        if INCONSISTENCY not in self._profile.metrics():
            return {}
        with self._database.read() as tx:
            return read_samples(tx, self._contents, found)

    def _commit(
        self, claim: ReadClaim, results: Sequence[ExchangeScores], *, state: str, error: str | None
    ) -> ScoredReport:
        now_ns = self._clock()
        with self._database.write() as tx:
            now_ns = enter_scoring(tx, now_ns)
            held = still_held(tx, self._owner, claim.batches)
            ours = lock_queued(tx, held)
            every = zip(claim.exchanges, results, strict=True)
            pairs = [(one, result) for one, result in every if one.span_row_id in ours]
            before = read_outcomes(tx, [one.span_row_id for one, _ in pairs if one.rolled_minute is not None])
            write_scores(tx, pairs, now_ns)
            write_rollups(tx, pairs, now_ns)
            if self._after_scoring is not None:
                self._after_scoring(tx, pairs, now_ns)
            count_outcomes(tx, pairs, before)
            take_back_repeats(tx, held)
            for batch in held:
                _append_batch_event(
                    tx, batch, [pair for pair in pairs if ours[pair[0].span_row_id] == batch.id], now_ns
                )
            mark_batches(tx, held, state, now_ns=now_ns, error=error)
        counts: Counter[tuple[str, str]] = Counter()
        counts.update((one.metric, one.state) for _, result in pairs for one in result.scores)
        return ScoredReport(len(pairs), len(held), counts)


def exchange_id(stored: StoredExchange) -> str:
    """Return the id by which the detectors and the audit log know an exchange."""
    return stored.trace_id + stored.span_id


def _to_detector_exchange(stored: StoredExchange, samples: Mapping[int, tuple[str, ...]]) -> Exchange:
    return Exchange(
        exchange_id(stored),
        stored.prompt,
        stored.response,
        stored.contexts,
        stored.incomplete,
        samples.get(stored.span_row_id, ()),
    )


def _append_batch_event(tx: WriteTx, batch: ClaimedBatch, pairs: Sequence[Pair], now_ns: int) -> None:
    """Commit to every score of the batch in one leaf: the Merkle root of the scores' canonical lines."""
    lines = [
        orjson.dumps([exchange_id(stored), one.metric, one.state, one.value, one.detector.digest])
        for stored, result in pairs
        for one in result.scores
    ]
    makers = {one.detector for _, result in pairs for one in result.scores}
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
            "detectors": sorted({f"{one.name}@{one.version}" for one in makers}),
        },
        at_ns=now_ns,
        project=batch.project,
    )
