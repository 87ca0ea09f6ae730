"""Makes references: fits what a monitor is compared with, from exchanges that are stored.

Fitting is work of some tenths of a second and happens outside the transaction that puts it into force. A monitor then
begins with the next exchange; those that came while it was fitted are neither reference nor evidence.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from custodes.db import Database, ReadTx
from custodes.db.leases import Lease, check_lease
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.settings_drift import DriftSettings
from custodes.runtime.drift import alpha_of
from custodes.runtime.drift_memory import make_scalar_monitor
from custodes.runtime.drift_streams import is_embedded
from custodes.runtime.store_drift import StoredMonitor, hold_place, save_monitors
from custodes.runtime.store_drift_watch import (
    Learner,
    find_monitor,
    read_numbers,
    read_period,
    read_rows,
    read_vectors,
    save_fit,
)
from detectors.errors import DriftInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from detectors.drift.reference import Reference

log = get_logger("drift")

LEAST_VALUES: Final = 64
"""A number with fewer values in a chosen reference goes on learning from traffic until it has so many."""
MOST_ROWS: Final = 12_288
"""Exchanges a reference is made of at most; a longer period is sampled."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was made for one monitor: a reference of embeddings, or the values of a number."""

    rows: npt.NDArray[np.int64]
    reference: Reference | None
    values: npt.NDArray[np.float64] | None


def fit_learner(database: Database, learner: Learner, settings: DriftSettings, held: Lease, now_ns: int) -> bool:
    """Fit one monitor and let it watch from the next exchange on; return whether that was possible.

    Where the exchanges cannot make a reference (too few embeddings that mean anything), it goes on learning.
    """
    try:
        fitted = _fit(database, learner)
    except DriftInputError as error:
        log.warning("no drift reference", extra=fields(monitor=learner.monitor.number, error=str(error)))
        if learner.reference.source["kind"] == "first":
            _learn_further(database, learner, held, now_ns)
        return False
    return _put_into_force(database, learner, fitted, settings, held, now_ns)


def _fit(database: Database, learner: Learner) -> Fitted:
    import numpy as np  # noqa: PLC0415  # Serving does without it.

    from detectors.drift.reference import build_reference, usable_rows  # noqa: PLC0415

    monitor, source = learner.monitor, learner.reference.source
    with database.read() as tx:
        rows = _members(tx, learner)
        if not is_embedded(monitor.name):
            values = read_numbers(tx, rows, monitor.name, monitor.maker)
            return Fitted(rows, None, values[np.isfinite(values)])
        vectors = read_vectors(tx, rows, monitor.name, monitor.maker)
    usable = usable_rows(vectors)
    rows, vectors = rows[usable], vectors[usable]
    if source["kind"] == "first":
        rows, vectors = rows[: source["exchanges"]], vectors[: source["exchanges"]]
    reference = build_reference(vectors, encoder=monitor.maker, seed=monitor.number)
    return Fitted(rows, reference, None)


def _members(tx: ReadTx, learner: Learner) -> npt.NDArray[np.int64]:
    """Return the span rows of the exchanges a reference is made of; embeddings too few are filled up from traffic."""
    import numpy as np  # noqa: PLC0415

    monitor, source = learner.monitor, learner.reference.source
    _, later = read_rows(tx, monitor.place_id, monitor.first_number, learner.place_seen)
    if source["kind"] == "first":
        return later
    if source["kind"] == "period":
        chosen = read_period(tx, learner.place, source["from_ns"], source["to_ns"], limit=10 * MOST_ROWS)
    else:
        chosen = np.array(source["spans"], dtype=np.int64)
    if len(chosen) > MOST_ROWS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, MOST_ROWS).astype(np.int64)]
    enough = len(chosen) >= LEAST_VALUES or not is_embedded(monitor.name)
    return chosen if enough else np.concatenate([chosen, later[~np.isin(later, chosen)]])


def _put_into_force(
    database: Database, learner: Learner, fitted: Fitted, settings: DriftSettings, held: Lease, now_ns: int
) -> bool:
    with database.write() as tx:
        check_lease(tx, held)
        place = hold_place(tx, learner.monitor.place_id)
        monitor = _still_learning(tx, learner)
        if place is None or monitor is None:
            return False
        if fitted.reference is not None:
            reference = fitted.reference
            save_fit(tx, monitor, reference.to_bytes(), reference.digest, fitted.rows, now_ns)
            monitor = replace(monitor, state="watching", learned=reference.rows, first_number=place.seen)
        elif fitted.values is not None:
            alpha = alpha_of(settings, monitor.name)
            settle = max(LEAST_VALUES, len(fitted.values))
            scalar = make_scalar_monitor(monitor, alpha, settle)
            scalar.advance(fitted.values)
            monitor = replace(
                monitor,
                state="watching" if scalar.seen >= settle else "learning",
                learned=scalar.seen,
                seen=scalar.seen,
                body=scalar.to_bytes(),
                first_number=place.seen,
                threshold=1.0 / alpha,
            )
        save_monitors(tx, [replace(monitor, mark=secrets.token_bytes(16), updated_ns=now_ns)])
    return True


def _learn_further(database: Database, learner: Learner, held: Lease, now_ns: int) -> None:
    """Begin to learn anew: what came so far made no reference."""
    with database.write() as tx:
        check_lease(tx, held)
        place = hold_place(tx, learner.monitor.place_id)
        monitor = _still_learning(tx, learner)
        if place is not None and monitor is not None:
            save_monitors(tx, [replace(monitor, learned=0, first_number=place.seen, updated_ns=now_ns)])


def _still_learning(tx: ReadTx, learner: Learner) -> StoredMonitor | None:
    """Return the monitor as it stands, unless somebody gave it another reference meanwhile."""
    monitor = find_monitor(tx, learner.monitor.number)
    same = monitor is not None and monitor.reference_id == learner.reference.id and monitor.state == "learning"
    return monitor if same else None
