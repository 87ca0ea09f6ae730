"""Scores a file of exchanges, line by line: what ``custodes score FILE.jsonl`` does between reading and printing.

A bad line doesn't stop the good ones: it comes back as an error in its place, so that the caller can print it on
stderr, carry on, and exit with 1 at the end. Blank lines are skipped. Lines are read and answered in batches, so a
file of any size streams through.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

from detectors.errors import ExchangeLineError
from detectors.model import Exchange, ExchangeScores, Score, Trait

BATCH_EXCHANGES: Final = 64

_KINDS: Final = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "a number",
                 float: "a number", type(None): "null"}  # fmt: skip


class Scorer(Protocol):
    """The part of a profile that is needed here."""

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]: ...


def parse_line(line: bytes | str, line_no: int) -> Exchange:
    """Read ``{"id", "prompt", "response", "contexts", "samples"}`` from one JSON line; ``line_no`` counts from 1.

    ``id`` must be a non-empty string. ``prompt`` and ``response`` are strings, or null or absent when there is no
    text. ``contexts`` and ``samples`` are arrays of strings, or null or absent. Other fields are ignored. Raises
    ExchangeLineError naming line, field and the kind of value found, and never quoting the text.
    """
    try:
        text = line.decode("utf-8-sig") if isinstance(line, bytes) else line
    except UnicodeDecodeError as error:
        raise ExchangeLineError(
            line_no, f"not UTF-8 (byte {error.start} of the line); save the file as UTF-8"
        ) from None
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise ExchangeLineError(
            line_no, f"not JSON: {error.msg} at column {error.colno}; each line is one object"
        ) from None
    except (ValueError, RecursionError):
        raise ExchangeLineError(
            line_no, "JSON nested too deeply or with a number too long; simplify the line"
        ) from None
    if not isinstance(row, dict):
        raise ExchangeLineError(line_no, f"must be an object with an 'id', got {_kind(row)}")
    return Exchange(
        id=_read_id(row, line_no),
        prompt=_read_text(row, "prompt", line_no),
        response=_read_text(row, "response", line_no),
        contexts=_read_strings(row, "contexts", line_no),
        samples=_read_strings(row, "samples", line_no),
    )


def render(scores: ExchangeScores) -> dict[str, Any]:
    """Return the output object of one exchange: plain JSON values, as documented for ``custodes score``."""
    identities = dict.fromkeys(score.detector for score in scores.scores)
    identities.update(dict.fromkeys(trait.detector for trait in scores.traits))
    rendered: dict[str, Any] = {
        "id": scores.id,
        "scores": {score.metric: _render_score(score) for score in scores.scores},
        "detectors": [
            {"name": identity.name, "version": identity.version, "digest": identity.digest} for identity in identities
        ],
    }
    if scores.traits:
        rendered["traits"] = {trait.name: _render_trait(trait) for trait in scores.traits}
    return rendered


def score_lines(
    lines: Iterable[bytes | str], scorer: Scorer, *, batch: int = BATCH_EXCHANGES
) -> Iterator[dict[str, Any] | ExchangeLineError]:
    """Yield one output object or one error per line that isn't blank, in the order of the lines.

    Reads at most ``batch`` lines ahead of what it has yielded.
    """
    pending: list[Exchange | ExchangeLineError] = []
    for line_no, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            pending.append(parse_line(line, line_no))
        except ExchangeLineError as error:
            pending.append(error)
        if len(pending) >= batch:
            yield from _answer(pending, scorer)
            pending = []
    yield from _answer(pending, scorer)


def _answer(
    pending: Sequence[Exchange | ExchangeLineError], scorer: Scorer
) -> Iterator[dict[str, Any] | ExchangeLineError]:
    answers = iter(scorer.score([entry for entry in pending if isinstance(entry, Exchange)]))
    for entry in pending:
        yield entry if isinstance(entry, ExchangeLineError) else render(next(answers))


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _read_id(row: dict[str, Any], line_no: int) -> str:
    if "id" not in row:
        raise ExchangeLineError(line_no, "is missing; every exchange needs one", field="id")
    value = row["id"]
    if not isinstance(value, str) or not value:
        found = "an empty string" if value == "" else _kind(value)
        raise ExchangeLineError(line_no, f"must be a non-empty string, got {found}", field="id")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ExchangeLineError(
            line_no, "holds half a surrogate pair and could not be written out", field="id"
        ) from None
    return value


def _read_text(row: dict[str, Any], field: str, line_no: int) -> str | None:
    value = row.get(field)
    if value is not None and not isinstance(value, str):
        raise ExchangeLineError(line_no, f"must be a string or null, got {_kind(value)}", field=field)
    return value


def _read_strings(row: dict[str, Any], field: str, line_no: int) -> tuple[str, ...]:
    value = row.get(field)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ExchangeLineError(line_no, f"must be an array of strings, got {_kind(value)}", field=field)
    for index, text in enumerate(value):
        if not isinstance(text, str):
            raise ExchangeLineError(line_no, f"must be a string, got {_kind(text)}", field=f"{field}[{index}]")
    return tuple(value)


def _render_trait(trait: Trait) -> dict[str, Any]:
    rendered: dict[str, Any] = {"state": trait.state, "labels": dict(trait.labels)}
    if trait.reason is not None:
        rendered["reason"] = trait.reason
    return rendered


def _render_score(score: Score) -> dict[str, Any]:
    rendered: dict[str, Any] = {"value": score.value, "state": score.state}
    if score.reason is not None:
        rendered["reason"] = score.reason
    if score.labels:
        rendered["labels"] = dict(score.labels)
    if score.spans or (score.metric == "hallucination" and score.state == "assessed"):
        rendered["spans"] = [{"start": span.start, "end": span.end, "value": span.value} for span in score.spans]
    return rendered
