"""Takes scored exchanges into the drift monitors, inside the transaction that writes their scores.

Every (service, environment, deployment) is watched by itself: the embeddings of its prompts and of its responses, and
numbers such as scores, lengths, latency and tokens. Exchanges get consecutive numbers in the order they are scored in;
what their clocks say decides nothing. An exchange counts once, when it is first scored. State is committed with the
scores or not at all, so a crash neither loses nor repeats evidence.

Here evidence is taken in and alarms are noted; ``custodes.runtime.drift_watch`` fits references and tells of alarms.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from custodes.db import WriteTx
from custodes.kernel.clock import ns_to_minute
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings_drift import DriftSettings
from custodes.runtime.drift_memory import DriftMemory
from custodes.runtime.drift_streams import Stream, is_embedded, to_streams
from custodes.runtime.store_drift import (
    FoundDrift,
    HeldPlace,
    Place,
    PointRow,
    StoredMonitor,
    StoredReference,
    add_points,
    find_newest_reference,
    find_places,
    hold_places,
    insert_monitor,
    load_monitors,
    note_alarm,
    open_reference,
    save_monitors,
    take_in,
)
from custodes.runtime.store_fairness import find_told_again
from custodes.runtime.store_outcomes import Pair
from detectors.errors import DetectorError, DriftFormatError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from detectors.drift.embeddings import Alarm
    from detectors.drift.scalar import ScalarAlarm

log = get_logger("drift")

EMBEDDED_SHARE: Final = 0.25
"""The share of a deployment's alpha that each of the two monitors of embeddings has; numbers share the rest."""


def alpha_of(settings: DriftSettings, name: str) -> float:
    """Return a monitor's alpha, so that all monitors of a deployment together keep what the settings promise.

    Within n exchanges a monitor of embeddings alarms with probability at most n · alpha/2, one of a number with at
    most n · alpha. With a quarter each for prompts and responses and a quarter shared by the numbers, these add up to
    n/2 over the promised run length, from which that average run length follows (docs/drift.md).
    """
    whole = 1.0 / settings.exchanges_per_false_alarm
    return whole * EMBEDDED_SHARE / (1 if is_embedded(name) else max(1, len(settings.metrics)))


class DriftHook:
    """Folds what was just scored into its deployment's monitors. Use from one thread."""

    def __init__(self, settings: DriftSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._memory = DriftMemory()

    def __call__(self, tx: WriteTx, pairs: Sequence[Pair], now_ns: int) -> None:
        """Take in the exchanges of ``pairs`` that are scored for the first time."""
        fresh = [pair for pair in pairs if pair[0].rolled_minute is None]
        if not self._settings.enabled or not fresh:
            return
        told_again = find_told_again(tx, [stored.trace_id for stored, _ in fresh])
        known = find_places(tx, (stored.segment_id for stored, _ in fresh))
        places: defaultdict[Place, list[Pair]] = defaultdict(list)
        for pair in sorted(fresh, key=lambda pair: (pair[0].batch_id, pair[0].at_ns, pair[0].span_row_id)):
            if pair[0].trace_id not in told_again and pair[0].segment_id in known:
                places[known[pair[0].segment_id]].append(pair)
        held = hold_places(tx, list(places), now_ns)
        for place, here in sorted(places.items()):
            self._fold(tx, held[place], here, now_ns)

    def _fold(self, tx: WriteTx, held: HeldPlace, here: Sequence[Pair], now_ns: int) -> None:
        import numpy as np  # noqa: PLC0415  # Serving does without it.

        rows = np.array([stored.span_row_id for stored, _ in here], dtype="<i8")
        streams = to_streams(here, self._settings.metrics)
        monitors = self._open(tx, held, streams, now_ns)
        changed, points = [], []
        for stream in streams:
            before = monitors[stream.name, stream.maker]
            after, point = self._advance(tx, held, before, stream, now_ns)
            changed.append(after)
            if point is not None:
                points.append(point)
        save_monitors(tx, changed)
        add_points(tx, points)
        take_in(tx, held, rows.tobytes(), len(here), now_ns)

    def _open(
        self, tx: WriteTx, held: HeldPlace, streams: Sequence[Stream], now_ns: int
    ) -> Mapping[tuple[str, str], StoredMonitor]:
        """Return the place's monitors, with new ones for streams that had none."""
        monitors = load_monitors(tx, held.id)
        missing = [one for one in streams if (one.name, one.maker) not in monitors]
        if missing:
            names = {name for name, _ in monitors}
            reference = self._reference_for(tx, held, [one for one in missing if one.name in names], now_ns)
            for one in missing:
                made = insert_monitor(tx, held, one.name, one.maker, reference.id, held.seen, now_ns)
                monitors[one.name, one.maker] = made
        return monitors

    def _reference_for(self, tx: WriteTx, held: HeldPlace, remade: Sequence[Stream], now_ns: int) -> StoredReference:
        """Return the version new monitors learn under: the present one, unless it holds values of other makers."""
        makers = sorted({one.maker for one in remade})
        newest = find_newest_reference(tx, held.id)
        if newest is not None and newest.source["kind"] == "first" and set(makers) <= set(newest.source["makers"]):
            return newest
        source = {"kind": "first", "exchanges": self._settings.reference_exchanges, "makers": makers}
        if newest is None:
            return open_reference(tx, held, source, "The first exchanges of this deployment.", now_ns)
        reason = "Values of another maker are not compared." if makers else "Something new is watched."
        log.info("a new drift reference", extra=fields(service=held.place.service, deployment=held.place.deployment))
        return open_reference(tx, held, source, reason, now_ns)

    def _advance(
        self, tx: WriteTx, held: HeldPlace, before: StoredMonitor, stream: Stream, now_ns: int
    ) -> tuple[StoredMonitor, PointRow | None]:
        """Return a monitor after its stream, and what its course gains; a damaged state is counted and left alone."""
        if before.state == "damaged":
            return before, None
        try:
            take = self._advance_embeddings if is_embedded(stream.name) else self._advance_number
            after, trace, alarms = take(tx, held, before, stream)
        except DriftFormatError as error:
            self._memory.forget(before.number)
            log.warning("a drift monitor begins anew", extra=fields(monitor=before.number, reason=str(error)))
            return _begin_anew(held, before, stream, now_ns), None
        except (DetectorError, ValueError, KeyError, TypeError) as error:
            self._metrics.drift_damaged.inc()
            self._memory.forget(before.number)
            log.error("a drift state is damaged", extra=fields(monitor=before.number, error=str(error)))
            return replace(before, state="damaged", updated_ns=now_ns), None
        after = replace(after, updated_ns=now_ns)
        for one in alarms:
            if note_alarm(tx, after, one, now_ns):
                self._metrics.drift_alarms.labels(monitor=stream.name).inc()
                log.warning("drift", extra=_fields(held, stream.name))
        if after.state != "watching":
            return after, None
        largest = float(trace.max(initial=0.0))
        point = PointRow(
            after.number, ns_to_minute(now_ns), after.project, stream.usable, largest, after.threshold, len(alarms)
        )
        return after, point

    def _advance_embeddings(
        self, tx: WriteTx, held: HeldPlace, before: StoredMonitor, stream: Stream
    ) -> tuple[StoredMonitor, npt.NDArray[np.float64], list[FoundDrift]]:
        import numpy as np  # noqa: PLC0415

        alpha = alpha_of(self._settings, stream.name)
        if before.state == "learning":
            # The exchanges are found again by their numbers when there are enough of them.
            counted = before.learned + stream.usable
            return replace(before, learned=counted, threshold=1.0 / alpha), np.zeros(0), []
        monitor = self._memory.embedding_monitor(tx, before, alpha)
        monitor.unusable = held.seen - before.first_number - monitor.seen
        advance = monitor.advance(monitor.read(stream.values, encoder=stream.maker))
        body = monitor.to_bytes()
        after = replace(
            before, seen=monitor.seen, statistic=monitor.statistic, threshold=1.0 / alpha, body=body, mark=_new_mark()
        )
        self._memory.keep(after, monitor)
        return after, advance.statistic, [_found(one, one.view, before.first_number) for one in advance.alarms]

    def _advance_number(
        self, tx: WriteTx, held: HeldPlace, before: StoredMonitor, stream: Stream
    ) -> tuple[StoredMonitor, npt.NDArray[np.float64], list[FoundDrift]]:
        import numpy as np  # noqa: PLC0415

        alpha = alpha_of(self._settings, stream.name)
        settle = self._memory.settle_of(tx, before)
        if settle is None:
            # A chosen reference: the monitor is made from it first.
            return replace(before, learned=before.learned + stream.usable), np.zeros(0), []
        monitor = self._memory.scalar_monitor(before, alpha, settle)
        monitor.unusable = held.seen - before.first_number - monitor.seen
        trace, alarms = monitor.advance(stream.values)
        after = replace(
            before,
            state="watching" if monitor.seen >= monitor.settle else "learning",
            learned=min(monitor.seen, monitor.settle),
            seen=monitor.seen,
            statistic=monitor.statistic,
            threshold=1.0 / alpha,
            body=monitor.to_bytes(),
            mark=_new_mark(),
        )
        self._memory.keep(after, monitor)
        return after, trace, [_found(one, one.direction, before.first_number) for one in alarms]


def _begin_anew(held: HeldPlace, before: StoredMonitor, stream: Stream, now_ns: int) -> StoredMonitor:
    """Return a monitor that learns its reference again, from this batch on: what was stored is another release's."""
    return replace(
        before,
        state="learning",
        first_number=held.seen,
        learned=stream.usable,
        seen=0,
        statistic=0.0,
        body=None,
        mark=_new_mark(),
        updated_ns=now_ns,
    )


def _found(alarm: Alarm | ScalarAlarm, view: str, first_number: int) -> FoundDrift:
    return FoundDrift(first_number + alarm.at, first_number + alarm.onset, alarm.statistic, view)


def _new_mark() -> bytes:
    return secrets.token_bytes(16)


def _fields(held: HeldPlace, name: str) -> dict[str, object]:
    return fields(service=held.place.service, deployment=held.place.deployment, monitor=name)
