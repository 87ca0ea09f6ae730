"""What to tell a person about an alarm: since when, how much, which kinds of traffic, and a picture.

Computed once, when an alarm has fired, from the embeddings around it; a monitor keeps none. Nothing here decides
anything: the alarm's guarantee is the monitor's, and these are estimates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.drift.directions import Direction, Teacher
from detectors.drift.reference import Reference, usable_rows
from detectors.errors import DriftInputError

FloatArray = npt.NDArray[np.float64]

MOST_CLUSTERS: Final = 6
EXAMPLES: Final = 3
MOST_EXAMPLES: Final = 5
MAP_POINTS: Final = 300
# A share that differs by less than this many standard errors is not shown as a change.
_NOTABLE: Final = 3.0
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class ClusterChange:
    """One kind of traffic: its share of the reference and since the onset, both in [0, 1].

    ``examples`` are exchanges near its centre since the onset (numbers as given), or of the reference when there are
    none.
    """

    cell: int
    before: float
    since: float
    examples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Estimates about one alarm.

    ``onset`` is the most likely first exchange of the change. ``separation`` in [0, 1] is the chance that an exchange
    since then looks more like the change than one of the reference does, cross-fitted: 0.5 is none, 1 complete.
    ``novel`` is the share since then that is more outlying than 99 % of the reference.
    ``reference_map`` and ``current_map`` are ``(n, 2)`` points on the reference's two main directions, in spreads, at
    most 300 of each; ``current_numbers`` names the exchanges of the latter. ``examples`` are the exchanges most
    like the change, the clearest first.
    """

    onset: int
    since: int
    separation: float
    novel: float
    clusters: tuple[ClusterChange, ...]
    examples: tuple[int, ...]
    reference_map: FloatArray
    current_map: FloatArray
    current_numbers: tuple[int, ...]


def explain(
    reference: Reference,
    vectors: npt.ArrayLike,
    numbers: npt.ArrayLike,
    *,
    onset: int,
    teacher: Teacher | None = None,
) -> Explanation:
    """Explain an alarm at the last of ``numbers`` (n,), ascending, given the embeddings ``(n, dim)`` up to it.

    ``onset`` is the monitor's estimate; it is refined within what is given. Raises DriftInputError when no
    usable embedding is left.
    """
    given = np.asarray(vectors, dtype=np.float64)
    kept = usable_rows(given)
    names = np.asarray(numbers, dtype=np.int64)[kept]
    if not len(names):
        raise DriftInputError("an alarm cannot be explained without embeddings")
    lessons = teacher or Teacher(reference)
    coordinates = reference.projection.apply(given[kept])
    begin = _refine_onset(lessons, coordinates, min(int(np.searchsorted(names, onset)), len(names) - 1))
    recent = coordinates[begin:]
    shown = np.linspace(0, len(recent) - 1, min(MAP_POINTS, len(recent))).astype(np.int64)
    return Explanation(
        onset=int(names[begin]),
        since=len(recent),
        separation=_separation(lessons, recent),
        novel=_novel_share(reference, recent),
        examples=tuple(int(one) for one in names[begin:][_most_changed(lessons, recent)]),
        clusters=_cluster_changes(lessons, reference, recent, names[begin:]),
        reference_map=_map(reference.held[:MAP_POINTS]),
        current_map=_map(recent[shown]),
        current_numbers=tuple(int(one) for one in names[begin:][shown]),
    )


def _refine_onset(teacher: Teacher, coordinates: FloatArray, begin: int) -> int:
    """Return the most likely first row of the change: the best split along the direction that later rows teach."""
    for _ in range(_ROUNDS):
        scores = _centred_scores(teacher, _toward(teacher, coordinates[begin:]), coordinates)
        # Log-likelihood ratio of a shift of unknown size over the rows from each start to the end.
        ends = np.cumsum(scores[::-1])[::-1]
        lengths = np.arange(len(scores), 0, -1)
        best = int((np.maximum(ends, 0.0) ** 2 / lengths).argmax())
        if best == begin:
            break
        begin = best
    return begin


def _novel_share(reference: Reference, recent: FloatArray) -> float:
    """Return the share of rows that are more outlying than 99 % of the held-out ones."""
    _, held_gaps = reference.cells.assign(reference.held)
    _, gaps = reference.cells.assign(recent)
    usual = np.quantile(reference.outlying(reference.held, held_gaps), 0.99)
    return float((reference.outlying(recent, gaps) > usual).mean())


def _most_changed(teacher: Teacher, recent: FloatArray) -> npt.NDArray[np.int64]:
    """Return the rows that lie farthest along the change, farthest first."""
    scores = _toward(teacher, recent).standard_scores(recent)
    return np.argsort(-scores, kind="stable")[:MOST_EXAMPLES]


def _toward(teacher: Teacher, rows: FloatArray) -> Direction:
    """Return the classifier's direction from the teaching part to ``rows``."""
    return teacher.learn("classifier", rows.mean(axis=0), len(rows), teacher.means["classifier"], teacher.rows)


def _centred_scores(teacher: Teacher, direction: Direction, coordinates: FloatArray) -> FloatArray:
    """Return scores (n,) with mean 0 and deviation 1 on the held-out rows."""
    usual = direction.standard_scores(teacher.held["classifier"])
    deviation = float(usual.std())
    scores: FloatArray = (direction.standard_scores(coordinates) - usual.mean()) / (
        deviation if deviation > 0.0 else 1.0
    )
    return scores


def _separation(teacher: Teacher, recent: FloatArray) -> float:
    """Return the cross-fitted area under the curve of recent rows against held-out ones; 0.5 for fewer than four
    rows.
    """
    if len(recent) < 4:
        return 0.5
    parts = (recent[::2], recent[1::2])
    areas = []
    for learned, judged in (parts, parts[::-1]):
        direction = _toward(teacher, learned)
        scores = direction.standard_scores(judged)
        usual = np.sort(direction.standard_scores(teacher.held["classifier"]))
        lower = np.searchsorted(usual, scores, side="left") + np.searchsorted(usual, scores, side="right")
        areas.append(lower.mean() / (2.0 * len(usual)))
    return float(np.mean(areas))


def _cluster_changes(
    teacher: Teacher, reference: Reference, recent: FloatArray, numbers: npt.NDArray[np.int64]
) -> tuple[ClusterChange, ...]:
    """Return the cells whose share changed most, beyond chance, largest change first."""
    cells, distances = reference.cells.assign(recent)
    scores = _toward(teacher, recent).standard_scores(recent)
    count = len(reference.cells.centres)
    before = reference.pools[0][:count] / max(1, reference.pools[0].sum())
    since = np.bincount(cells, minlength=count) / len(recent)
    error = np.sqrt(
        np.maximum(before, 1.0 / reference.pools[0].sum()) / reference.pools[0].sum()
        + np.maximum(since, 1.0 / len(recent)) / len(recent)
    )
    by_change = np.argsort(-np.abs(since - before), kind="stable")
    notable = [int(cell) for cell in by_change if abs(since[cell] - before[cell]) > _NOTABLE * error[cell]]
    changes = []
    for cell in notable[:MOST_CLUSTERS]:
        members = np.flatnonzero(cells == cell)
        # Of a kind that grew, what is new about it; of one that shrank, what is typical.
        order = -scores[members] if since[cell] > before[cell] else distances[members]
        nearest = members[np.argsort(order, kind="stable")[:EXAMPLES]]
        examples = tuple(int(one) for one in numbers[nearest])
        changes.append(ClusterChange(cell, float(before[cell]), float(since[cell]), examples))
    return tuple(changes)


def _map(coordinates: FloatArray) -> FloatArray:
    flat = np.zeros((len(coordinates), 2))
    width = min(2, coordinates.shape[1] - 1)
    flat[:, :width] = coordinates[:, :width] / 2.0**12
    return flat
