"""Which reviewed exchanges go into a data set, and why the others do not.

Nothing that nobody has looked at is ever exported, whatever flagged it: training on what triggered a detector is how
poison gets in. What is left out is counted under its reason.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from collector.content import Contents
from collector.content.masking import Masker
from collector.datasets.conversation import Unusable, calls_a_tool, mask_turns, read_turns
from collector.datasets.formats import Format, Judged, Row, rows_of
from collector.datasets.store import (
    Selection,
    find_exchanges,
    list_incident_rows,
    read_project_segments,
    read_users,
)
from collector.exchanges import StoredExchange, read_exchange_rows
from collector.rest.queries.reach import load_reaches_of
from collector.store_reviews import Review, list_reviews
from custodes.db import ReadTx
from custodes.kernel.errors import InvalidInputError, NotFoundError

MAX_REVIEWS = 200_000
_CHUNK = 200


@dataclass(frozen=True, slots=True)
class Caps:
    """Most rows of one source (service and deployment) and of one user, against slow poisoning."""

    per_source: int = 1_000
    per_user: int = 50


DEFAULT_CAPS = Caps()


@dataclass(frozen=True, slots=True)
class DataRow:
    """One row with where it came from."""

    body: Row
    exchange: StoredExchange
    source: str
    reviewers: tuple[str, ...]


@dataclass(slots=True)
class Selected:
    """The rows of a data set, in the order of the exchanges, and what was left out."""

    rows: list[DataRow] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    overlap: int = 0
    masked: Counter[str] = field(default_factory=Counter)
    incidents: tuple[str, ...] = ()
    policies: tuple[tuple[str, str], ...] = ()


def select_rows(
    tx: ReadTx,
    contents: Contents,
    project: str,
    chosen: Selection,
    wanted: Format,
    *,
    caps: Caps = DEFAULT_CAPS,
    masker: Masker | None = None,
    holdout: frozenset[str] = frozenset(),
) -> Selected:
    """Return the rows of a data set; ``holdout`` holds the prints of prompts that must not be in it."""
    found = Selected()
    reaches = _reaches(tx, project, chosen, found)
    reviews = _latest_reviews(tx, contents, project)
    judged_places = {place: _agree(given) for place, given in reviews.items()}
    rows_by_place = find_exchanges(tx, project, list(judged_places), chosen)
    segments = read_project_segments(tx, project)
    numbers = sorted(rows_by_place.values())
    stored = [
        one for start in range(0, len(numbers), _CHUNK) for one in _read(tx, contents, numbers[start : start + _CHUNK])
    ]
    users = read_users(tx, numbers)
    seen: set[str] = set()
    per_source: Counter[str] = Counter()
    per_user: Counter[str] = Counter()
    for one in stored:
        place = (bytes.fromhex(one.trace_id), bytes.fromhex(one.span_id))
        where = segments.get(one.segment_id)
        if reaches is not None and not any(
            where is not None and reach.touches(one.start_ns, one.end_ns, [where]) for reach in reaches
        ):
            continue
        judged, problem = _judge(one, judged_places[place], masker, found.masked)
        if judged is None:
            found.dropped[problem] += 1
            continue
        if any(prompt_print(turn.text) in holdout for turn in judged.turns if turn.role == "user"):
            found.overlap += 1
            found.dropped["in the hold-out set"] += 1
            continue
        source = "" if where is None else f"{where.service}/{where.deployment}"
        bodies = rows_of(judged, wanted)
        if not bodies:
            found.dropped["has not what the format needs"] += 1
        for body in bodies:
            user = users.get(one.span_row_id)
            key = hashlib.sha256(repr(body).encode()).hexdigest()
            reason = (
                "twice" if key in seen
                else "more than the cap of its source" if per_source[source] >= caps.per_source
                else "more than the cap of its user" if user and per_user[user] >= caps.per_user
                else None
            )  # fmt: skip
            if reason is not None:
                found.dropped[reason] += 1
                continue
            seen.add(key)
            per_source[source] += 1
            if user:
                per_user[user] += 1
            reviewers = tuple(sorted({given.reviewer for given in reviews[place]}))
            found.rows.append(DataRow(body, one, source, reviewers))
    return found


def prompt_print(prompt: str) -> str:
    """Return what identifies a prompt whatever its case and spacing, for the comparison with hold-out sets."""
    return hashlib.sha256(" ".join(prompt.casefold().split()).encode()).hexdigest()


def _reaches(tx: ReadTx, project: str, chosen: Selection, found: Selected) -> Any:
    if chosen.incident is None and chosen.policy is None:
        if chosen.metric is None and chosen.service is None and chosen.deployment is None:
            raise InvalidInputError("say what to export: an incident, a policy, a metric, a service or a deployment")
        return None
    rows = list_incident_rows(tx, project, chosen)
    if not rows:
        raise NotFoundError(f"no such incident in project {project}")
    found.incidents = tuple(row.id for row in rows)
    found.policies = tuple(sorted({(row.policy_id, row.version) for row in rows}))
    return load_reaches_of(tx, project, rows)


def _latest_reviews(tx: ReadTx, contents: Contents, project: str) -> dict[tuple[bytes, bytes], list[Review]]:
    """Return each person's latest review of every exchange that has any."""
    latest: dict[tuple[bytes, bytes], dict[str, Review]] = defaultdict(dict)
    for one in list_reviews(tx, contents, project, limit=MAX_REVIEWS, with_text=True):
        latest[one.trace_id, one.span_id].setdefault(one.reviewer, one)
    return {place: list(given.values()) for place, given in latest.items()}


def _agree(reviews: Sequence[Review]) -> Review | str:
    """Return the review that stands for all, or why none does."""
    if len({one.verdict for one in reviews}) > 1:
        return "reviewers disagree"
    corrected = {one.corrected for one in reviews if one.corrected is not None}
    if len(corrected) > 1:
        return "reviewers corrected it differently"
    return next((one for one in reviews if one.corrected is not None), reviews[0])


def _judge(
    one: StoredExchange, review: Review | str, masker: Masker | None, masked: Counter[str]
) -> tuple[Judged | None, str]:
    if isinstance(review, str):
        return None, review
    if one.incomplete == "erased" or review.is_erased:
        return None, "erased"
    if one.prompt is None or one.response is None:
        return None, "has no text"
    if one.incomplete is not None:
        return None, "is not whole"
    turns = read_turns(one.messages)
    if isinstance(turns, Unusable):
        return None, turns.reason
    if calls_a_tool(one.answer_messages):
        return None, "answers by calling a tool"
    response, corrected = one.response, review.corrected
    if masker is not None:

        def mask(text: str) -> str:
            text, counts = masker.mask_text(text)
            masked.update(counts)
            return text

        turns, response = mask_turns(turns, mask), mask(response)
        corrected = None if corrected is None else mask(corrected)
    return Judged(turns, response, review.verdict == "good", corrected), ""


def _read(tx: ReadTx, contents: Contents, numbers: Sequence[int]) -> Iterable[StoredExchange]:
    return sorted(
        read_exchange_rows(tx, contents, numbers, with_messages=True), key=lambda one: (one.at_ns, one.span_row_id)
    )
