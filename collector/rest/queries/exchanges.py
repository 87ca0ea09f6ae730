"""Exchanges with their scores, as the API shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import select

from collector.dialects.exchange import ExchangeText
from custodes.db import ReadTx
from custodes.db.tables import detector, score
from custodes.kernel.clock import ns_to_rfc3339


def load_scores(tx: ReadTx, row_numbers: Sequence[int]) -> dict[int, dict[str, dict[str, Any]]]:
    """Return the scores of every exchange by metric, in one query for up to a few thousand exchanges."""
    statement = (
        select(score, detector.c.name, detector.c.version, detector.c.digest)
        .join(detector, detector.c.id == score.c.detector_id)
        .where(score.c.span_id.in_(row_numbers))
        .order_by(score.c.span_id, score.c.metric)
    )
    found: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in tx.execute(statement) if row_numbers else ():
        evidence: Mapping[str, Any] = orjson.loads(row.evidence) if row.evidence else {}
        found[row.span_id][row.metric] = {
            "value": row.value,
            "state": row.state,
            "reason": row.reason,
            "labels": evidence.get("labels"),
            "spans": evidence.get("spans"),
            "detector": {"name": row.name, "version": row.version, "digest": row.digest},
            "scored_at": ns_to_rfc3339(row.scored_ns),
        }
    return found


def exchange_to_json(
    trace_id: str,
    span_id: str,
    scored_ns: int | None,
    scores: Mapping[str, Any],
    traits: bytes | None,
    text: ExchangeText | None,
) -> dict[str, Any]:
    """Return one exchange; ``text`` of ``None`` means that the caller may not see captured text.

    ``traits`` is JSON as it is stored.
    """
    return {
        "id": trace_id + span_id,
        "trace_id": trace_id,
        "span_id": span_id,
        "prompt": None if text is None else text.prompt,
        "response": None if text is None else text.response,
        "contexts": None if text is None else list(text.contexts),
        "text_visible": text is not None,
        "scores": dict(scores),
        "traits": orjson.loads(traits) if traits else {},
        "state": exchange_state(scored_ns, scores),
    }


def exchange_state(scored_ns: int | None, scores: Mapping[str, Any]) -> str:
    """Return pending, assessed (every metric), partial (some) or not_assessed (none)."""
    if scored_ns is None:
        return "pending"
    assessed = [one["state"] == "assessed" for one in scores.values()]
    if not any(assessed):
        return "not_assessed"
    return "assessed" if all(assessed) else "partial"
