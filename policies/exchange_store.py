"""The SQL that reads scored exchanges for back-tests, in the order in which they were scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson
from sqlalchemy import select

from custodes.db import ReadTx
from custodes.db.tables import exchange, score, span
from policies.engine.exchange import ExchangeValues
from policies.rules.compile import CompiledPolicy

_ANSWER_METRIC = "toxicity"
_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class StoredScores:
    """What a rule may know of one exchange, and when it was scored (the last time)."""

    span_row_id: int
    scored_ns: int
    segment_id: int
    values: ExchangeValues


def stream_scored(
    tx: ReadTx, project_id: str, policy: CompiledPolicy, from_ns: int, to_ns: int
) -> Iterator[StoredScores]:
    """Yield the exchanges that were scored in [from, to), in the order of that time.

    Labels are read only where the policy uses them, because they lie in the evidence.
    """
    wants_labels = any(name.startswith("label.") for name in policy.when.names)
    columns = [
        exchange.c.span_id,
        exchange.c.scored_ns,
        exchange.c.segment_id,
        span.c.input_tokens,
        span.c.output_tokens,
        score.c.metric,
        score.c.value,
        score.c.state,
    ]
    if wants_labels:
        columns.append(score.c.evidence)
    joined = exchange.join(span, span.c.id == exchange.c.span_id).join(score, score.c.span_id == exchange.c.span_id)
    statement = (
        select(*columns)
        .select_from(joined)
        .where(exchange.c.project_id == project_id, exchange.c.scored_ns >= from_ns, exchange.c.scored_ns < to_ns)
        .order_by(exchange.c.scored_ns, exchange.c.span_id)
        .execution_options(yield_per=_AT_ONCE)
    )
    current: StoredScores | None = None
    values: dict[str, float | str | None] = {}
    result = tx.execute(statement)
    for row in result:
        if current is None or current.span_row_id != row.span_id:
            if current is not None:
                yield current
            values = {"tokens.input": _number(row.input_tokens), "tokens.output": _number(row.output_tokens)}
            current = StoredScores(row.span_id, row.scored_ns, row.segment_id, values)
        values[f"score.{row.metric}"] = row.value
        values[f"state.{row.metric}"] = row.state
        if wants_labels and row.evidence is not None:
            _add_labels(values, row.metric, orjson.loads(row.evidence)["labels"])
    if current is not None:
        yield current


def _add_labels(values: dict[str, float | str | None], metric: str, labels: dict[str, float]) -> None:
    for name, value in labels.items():
        # Where prompt and answer share a label, it means the answer's.
        if metric == _ANSWER_METRIC or f"label.{name}" not in values:
            values[f"label.{name}"] = value


def _number(count: int | None) -> float | None:
    return None if count is None else float(count)
