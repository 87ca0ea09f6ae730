"""What is told of a drift alarm: since when, how much, what grew and what shrank, and which exchanges show it.

Estimates, made once when an alarm has been raised, from embeddings and numbers that are stored. A story is a JSON
object with ids and numbers and no text; texts are seen where exchanges are revealed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from custodes.db import ReadTx
from custodes.kernel.clock import ns_to_rfc3339
from custodes.runtime.drift_streams import is_embedded
from custodes.runtime.store_drift import load_fit
from custodes.runtime.store_drift_watch import (
    StoredEpisode,
    find_last_alarm,
    find_times,
    name_exchanges,
    read_numbers,
    read_rows,
    read_vectors,
)
from detectors.errors import DriftFormatError, DriftInputError
from policies.incidents import MAX_SUMMARY_CHARACTERS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MOST_EXPLAINED: Final = 8_192
"""Exchanges before an alarm that its explanation looks at."""
MOST_COMPARED: Final = 2_000
"""Exchanges before the onset that a number's values are compared with."""
_SHOWN_CLUSTERS: Final = 3

NAMES: Final[Mapping[str, str]] = {
    "prompt": "what is asked",
    "response": "what is answered",
    "prompt_chars": "the length of prompts",
    "response_chars": "the length of responses",
    "latency_ms": "latency",
    "ttft_ms": "the time to the first token",
    "cost_usd": "cost",
    "input_tokens": "the use of input tokens",
    "output_tokens": "the use of output tokens",
    "refusal": "the rate of refusals",
}


@dataclass(frozen=True, slots=True)
class Story:
    """``body`` is what the API shows of an alarm; ``onset_ns`` is when the change most likely began."""

    body: Mapping[str, Any]
    summary: str
    onset_ns: int | None


def tell_story(tx: ReadTx, episode: StoredEpisode) -> Story:
    """Return what is known about an episode up to its last alarm so far."""
    tell = _tell_embeddings if is_embedded(episode.monitor.name) else _tell_number
    body = {**tell(tx, episode), "through": episode.last_number}
    _, onset_rows = read_rows(tx, episode.monitor.place_id, body["onset"], body["onset"] + 1)
    onset_ns = next(iter(find_times(tx, [int(one) for one in onset_rows]).values()), None)
    return Story(body, summarise(episode, body, onset_ns), onset_ns)


def _tell_embeddings(tx: ReadTx, episode: StoredEpisode) -> dict[str, Any]:
    from detectors.drift.explanation import explain  # noqa: PLC0415  # Serving does without numpy.
    from detectors.drift.offline import render_explanation  # noqa: PLC0415
    from detectors.drift.reference import reference_from_bytes  # noqa: PLC0415

    monitor = episode.monitor
    fitted = load_fit(tx, monitor.reference_id, monitor.name, monitor.maker)
    bare = {"kind": "embedding", "onset": episode.onset_number, "exchanges_since": None}
    if fitted is None:
        return bare
    before = find_last_alarm(tx, monitor.number, episode.at_number)
    first = max(monitor.first_number, -1 if before is None else before + 1, episode.last_number + 1 - MOST_EXPLAINED)
    numbers, rows = read_rows(tx, monitor.place_id, first, episode.last_number + 1)
    vectors = read_vectors(tx, rows, monitor.name, monitor.maker)
    try:
        found = explain(reference_from_bytes(fitted), vectors, numbers, onset=episode.onset_number)
    except (DriftInputError, DriftFormatError):
        # The exchanges are gone already, or an earlier release fitted what they were compared with.
        return bare
    told = render_explanation(found)
    # What came after the first alarm sharpens the picture, but a change that was found had begun.
    told["onset"] = min(told["onset"], episode.at_number)
    row_of = {int(number): int(row) for number, row in zip(numbers, rows, strict=True)}
    wanted = {*told["examples"], *told["map"]["current_numbers"]}
    wanted |= {one for cluster in told["clusters"] for one in cluster["examples"]}
    ids = name_exchanges(tx, [row_of[one] for one in sorted(wanted)])
    return {"kind": "embedding", **_with_ids(told, {one: ids.get(row_of[one]) for one in wanted})}


def _with_ids(told: dict[str, Any], ids: Mapping[int, str | None]) -> dict[str, Any]:
    """Return an explanation that names exchanges by their ids instead of by numbers."""

    def named(numbers: Sequence[int]) -> list[str]:
        return [name for one in numbers if (name := ids[one]) is not None]

    drawn = told["map"]
    return {
        **told,
        "clusters": [{**one, "examples": named(one["examples"])} for one in told["clusters"]],
        "examples": named(told["examples"]),
        "map": {
            "reference": drawn["reference"],
            "current": drawn["current"],
            "current_exchanges": [ids[one] for one in drawn["current_numbers"]],
        },
    }


def _tell_number(tx: ReadTx, episode: StoredEpisode) -> dict[str, Any]:
    monitor, onset = episode.monitor, episode.onset_number
    first = max(0, onset - MOST_COMPARED, episode.last_number + 1 - MOST_EXPLAINED)
    numbers, rows = read_rows(tx, monitor.place_id, first, episode.last_number + 1)
    values = read_numbers(tx, rows, monitor.name, monitor.maker)
    earlier = numbers < onset
    since = values[~earlier]
    extreme = _most_extreme(rows[~earlier], since, up=episode.view == "up")
    ids = name_exchanges(tx, extreme)
    return {
        "kind": "number",
        "onset": onset,
        "exchanges_since": int((~earlier).sum()),
        "direction": episode.view,
        "before": _figures(values[earlier]),
        "since": _figures(since),
        "examples": [ids[one] for one in extreme if one in ids],
    }


def _most_extreme(rows: npt.NDArray[np.int64], values: npt.NDArray[np.float64], *, up: bool) -> list[int]:
    import numpy as np  # noqa: PLC0415

    known = np.flatnonzero(np.isfinite(values))
    order = np.argsort(-values[known] if up else values[known], kind="stable")[:5]
    return [int(one) for one in rows[known[order]]]


def _figures(values: npt.NDArray[np.float64]) -> dict[str, Any] | None:
    """Return mean and quantiles of the values there are; ``None`` where there are none."""
    import numpy as np  # noqa: PLC0415

    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, middle, high = np.quantile(known, [0.1, 0.5, 0.9])
    figures = {"mean": float(known.mean()), "p10": float(low), "p50": float(middle), "p90": float(high)}
    return {"n": len(known), **{name: float(f"{value:.6g}") for name, value in figures.items()}}


def summarise(episode: StoredEpisode, body: Mapping[str, Any], onset_ns: int | None) -> str:
    """Return what happened in words a person can act on; built from names and numbers only."""
    place = episode.place
    where = f"{place.service or '(no service)'} ({place.deployment or 'no deployment'})"
    name = NAMES.get(episode.monitor.name, episode.monitor.name.replace("_", " "))
    since = "" if onset_ns is None else f", most likely since {ns_to_rfc3339(onset_ns)[:19]}Z"
    told = _embeddings_in_words(body) if body["kind"] == "embedding" else _number_in_words(body)
    how = {"up": "has gone up", "down": "has gone down"}.get(episode.view, "has changed")
    sentence = f"{where}: {name} {how}{since}. {told}".rstrip()
    return f"{sentence} Compared with reference version {episode.reference_version}."[:MAX_SUMMARY_CHARACTERS]


def _embeddings_in_words(body: Mapping[str, Any]) -> str:
    if body["exchanges_since"] is None:
        return ""
    words = [
        f"In {body['exchanges_since']:,} exchanges since then, one looks more like the change than a usual one in "
        f"{body['separation']:.0%} of comparisons; {body['novel_share']:.0%} are unlike anything in the reference."
    ]
    shown = [
        f"{'one that grew' if one['since'] > one['before'] else 'one that shrank'} from {one['before']:.1%} to "
        f"{one['since']:.1%}"
        for one in body["clusters"][:_SHOWN_CLUSTERS]
    ]
    if shown:
        words.append(f"Kinds of traffic that changed: {'; '.join(shown)}.")
    return " ".join(words)


def _number_in_words(body: Mapping[str, Any]) -> str:
    before, since = body["before"], body["since"]
    if before is None or since is None:
        return f"That is {body['exchanges_since']:,} exchanges."
    return (
        f"Median {before['p50']:g} in {before['n']:,} exchanges before, {since['p50']:g} in {since['n']:,} since then "
        f"(mean {before['mean']:g} and {since['mean']:g})."
    )
