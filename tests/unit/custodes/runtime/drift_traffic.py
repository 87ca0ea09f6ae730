"""Exchanges with made-up embeddings, scores and quantities, as scoring would hand them to the drift monitors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from collector.exchanges import StoredExchange
from custodes.db import Database
from custodes.db.segments import Segment, resolve_segments
from custodes.db.tables import detector, embedding, exchange, score, span
from custodes.kernel.settings_drift import DriftSettings
from custodes.runtime.store_outcomes import Pair
from detectors.model import DetectorIdentity, Embedding, ExchangeScores, assessed

NOW_NS = 1_795_000_000 * 10**9
DIM = 16
ENCODER = DetectorIdentity("encoder/fake", "1.0.0", "sha256:" + "cd" * 32)
OTHER_ENCODER = DetectorIdentity("encoder/fake", "2.0.0", "sha256:" + "ef" * 32)
JUDGE = DetectorIdentity("toxicity/fake", "1.0.0", "sha256:" + "ab" * 32)
LEARN = 128
_CENTRES = np.random.default_rng(7).standard_normal((5, DIM))


def settings_of(**changes: Any) -> DriftSettings:
    return DriftSettings(
        **{
            "reference_exchanges": LEARN,
            "exchanges_per_false_alarm": 10_000,
            "metrics": ("toxicity", "latency_ms", "output_tokens"),
            **changes,
        }
    )


def segment_of(database: Database, service: str = "bot", model: str = "m", deployment: str = "v1") -> int:
    with database.write() as tx:
        wanted = Segment(service, "prod", deployment, model)
        return resolve_segments(tx, "default", [wanted])[wanted]


def draw(rng: np.random.Generator, count: int, *, strange: bool = False, dim: int = DIM) -> Any:
    """Unit vectors around one of four centres; strange ones around a fifth."""
    kinds = np.full(count, 4) if strange else rng.integers(0, 4, count)
    vectors = _CENTRES[kinds][:, :dim] + 0.4 * rng.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f2")


def make_pairs(
    seed: int,
    count: int,
    *,
    segment_id: int,
    batch: int,
    strange: bool = False,
    slow: bool = False,
    encoder: DetectorIdentity = ENCODER,
    dim: int = DIM,
    vectors: Any = None,
    fields: Sequence[str] = ("prompt", "response"),
    at_ns: int = NOW_NS,
    step_ns: int = 10**6,
) -> list[Pair]:
    """Exchanges of one batch; ``strange`` ones answer about something else, ``slow`` ones take four times as long."""
    rng = np.random.default_rng(seed)
    prompts = draw(rng, count, dim=dim) if vectors is None else vectors
    responses = draw(rng, count, strange=strange, dim=dim) if vectors is None else vectors
    pairs: list[Pair] = []
    for number in range(count):
        latency_ns = int(10**9 * (4.0 if slow else 1.0) * rng.lognormal(0.0, 0.3))
        begun_ns = at_ns + number * step_ns
        stored = StoredExchange(
            span_row_id=batch * 100_000 + number, project="default", trace_id=f"{batch * 100_000 + number:032x}",
            span_id=f"{number + 1:016x}", batch_id=batch, service="bot", segment_id=segment_id,
            at_ns=begun_ns, received_ns=at_ns, rolled_segment_id=None, rolled_minute=None,
            prompt="Where is my order?", response="It is on its way.", contexts=(), incomplete=None,
            answers=("It is on its way.",), asked=b"",
            start_ns=begun_ns, end_ns=begun_ns + latency_ns, complete=True, ttft_ms=None, cost_usd=None,
            input_tokens=None, output_tokens=int(rng.integers(40, 60)), finish_reasons=("stop",), caller_groups=(),
        )  # fmt: skip
        embeddings = tuple(
            Embedding(field, encoder, (prompts if field == "prompt" else responses)[number].tobytes(), dim)  # type: ignore[arg-type]
            for field in fields
        )
        judged = assessed("toxicity", float(rng.beta(1, 20)), JUDGE)
        pairs.append((stored, ExchangeScores(stored.span_id, (judged,), embeddings)))
    return pairs


def store_pairs(database: Database, pairs: Sequence[Pair]) -> None:
    """Store what the job reads of exchanges beside the monitors' own tables."""
    with database.write() as tx:
        makers = {one.encoder for _, result in pairs for one in result.embeddings} | {JUDGE}
        for maker in sorted(makers, key=lambda one: one.digest):
            values = {"name": maker.name, "version": maker.version, "digest": maker.digest, "first_seen_ns": 0}
            tx.execute(tx.insert(detector).values(**values).on_conflict_do_nothing())
        numbers = {row.digest: row.id for row in tx.execute(detector.select())}
        for stored, result in pairs:
            tx.execute(exchange.insert().values(
                span_id=stored.span_row_id, project_id="default", trace_id=bytes.fromhex(stored.trace_id),
                batch_id=stored.batch_id, segment_id=stored.segment_id, at_ns=stored.at_ns, received_ns=0,
                service="bot", scored_ns=NOW_NS,
            ))  # fmt: skip
            tx.execute(span.insert().values(
                id=stored.span_row_id, project_id="default", trace_id=bytes.fromhex(stored.trace_id),
                span_id=bytes.fromhex(stored.span_id), name="chat", kind=3, operation="chat", start_ns=stored.start_ns,
                end_ns=stored.end_ns, status=0, service="bot", environment="prod", deployment="v1", provider="",
                model="m", output_tokens=stored.output_tokens, dialect="genai", complete=True, dropped_attributes=0,
                completeness=1,
            ))  # fmt: skip
            for one in result.embeddings:
                tx.execute(embedding.insert().values(
                    span_id=stored.span_row_id, field=one.field, detector_id=numbers[one.encoder.digest], dim=one.dim,
                    vector=one.vector,
                ))  # fmt: skip
            for judged in result.scores:
                tx.execute(score.insert().values(
                    span_id=stored.span_row_id, metric=judged.metric, value=judged.value, state="assessed",
                    detector_id=numbers[JUDGE.digest], scored_ns=NOW_NS,
                ))  # fmt: skip


def again(pairs: Sequence[Pair], **changes: Any) -> list[Pair]:
    """The same exchanges with other circumstances."""
    return [(replace(stored, **changes), result) for stored, result in pairs]
