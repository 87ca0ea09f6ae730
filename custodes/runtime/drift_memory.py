"""Monitors and references that a worker keeps from one transaction to the next, so as not to unpack them each time.

What is kept of a monitor counts only while the database holds the very body it had here, known by its mark. After a
transaction that failed, or one of another worker, the stored body is unpacked afresh.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from custodes.db import ReadTx
from custodes.runtime.drift_streams import QUANTITIES, UNSTORED
from custodes.runtime.store_drift import StoredMonitor, StoredReference, find_reference, load_fit
from detectors.errors import DriftStateError

if TYPE_CHECKING:
    from detectors.drift.directions import Teacher
    from detectors.drift.embeddings import EmbeddingMonitor
    from detectors.drift.reference import Reference
    from detectors.drift.scalar import ScalarMonitor, Scale

    Monitor = EmbeddingMonitor | ScalarMonitor

# A reference with its teacher takes about 5 MB, a monitor some 120 kB.
_MOST_REFERENCES: Final = 32
_MOST_MONITORS: Final = 512


class DriftMemory:
    """Least recently used monitors, references and teachers of one thread."""

    def __init__(self) -> None:
        self._monitors: OrderedDict[int, tuple[bytes, Monitor]] = OrderedDict()
        self._fitted: OrderedDict[tuple[str, str, str], tuple[Reference, Teacher]] = OrderedDict()
        self._references: dict[str, StoredReference | None] = {}

    def keep(self, stored: StoredMonitor, monitor: Monitor) -> None:
        """Keep ``monitor`` as what the body of ``stored`` unpacks to."""
        self._monitors[stored.number] = (stored.mark, monitor)
        self._monitors.move_to_end(stored.number)
        while len(self._monitors) > _MOST_MONITORS:
            self._monitors.popitem(last=False)

    def forget(self, number: int) -> None:
        """Keep a monitor no longer."""
        self._monitors.pop(number, None)

    def embedding_monitor(self, tx: ReadTx, stored: StoredMonitor, alpha: float) -> EmbeddingMonitor:
        """Return a monitor of embeddings that watches; raise ``DriftStateError`` when it cannot be restored."""
        from detectors.drift.embeddings import EmbeddingMonitor  # noqa: PLC0415  # Serving does without numpy.

        kept = self._kept(stored)
        if isinstance(kept, EmbeddingMonitor):
            monitor = kept
        else:
            reference, teacher = self._fit(tx, stored)
            if stored.body is None:
                monitor = EmbeddingMonitor(reference, alpha=alpha, seed=stored.number, teacher=teacher)
            else:
                monitor = EmbeddingMonitor.from_bytes(stored.body, reference, teacher=teacher)
        monitor.alpha = alpha
        return monitor

    def scalar_monitor(self, stored: StoredMonitor, alpha: float, settle: int) -> ScalarMonitor:
        """Return the monitor of a number; raise ``DriftStateError`` when it cannot be restored."""
        from detectors.drift.scalar import ScalarMonitor  # noqa: PLC0415  # Serving does without numpy.

        kept = self._kept(stored)
        if isinstance(kept, ScalarMonitor):
            monitor = kept
        elif stored.body is None:
            monitor = make_scalar_monitor(stored, alpha, settle)
        else:
            monitor = ScalarMonitor.from_bytes(stored.body)
        monitor.alpha = alpha
        return monitor

    def settle_of(self, tx: ReadTx, stored: StoredMonitor) -> int | None:
        """Return how many values of a number are its reference; ``None`` while a chosen one is not made yet."""
        if stored.reference_id not in self._references:
            self._references[stored.reference_id] = find_reference(tx, stored.reference_id)
        reference = self._references[stored.reference_id]
        if reference is None:
            raise DriftStateError(f"the reference {stored.reference_id} of a monitor is gone")
        if reference.source["kind"] == "first" or stored.name in UNSTORED:
            return int(reference.source["exchanges"])
        return None if stored.body is None else 1

    def _kept(self, stored: StoredMonitor) -> Monitor | None:
        kept = self._monitors.pop(stored.number, None)
        return kept[1] if kept is not None and kept[0] == stored.mark and stored.body is not None else None

    def _fit(self, tx: ReadTx, stored: StoredMonitor) -> tuple[Reference, Teacher]:
        from detectors.drift.directions import Teacher  # noqa: PLC0415
        from detectors.drift.reference import reference_from_bytes  # noqa: PLC0415

        key = (stored.reference_id, stored.name, stored.maker)
        if key not in self._fitted:
            body = load_fit(tx, *key)
            if body is None:
                raise DriftStateError(f"nothing was fitted for monitor {stored.number}")
            reference = reference_from_bytes(body)
            self._fitted[key] = (reference, Teacher(reference))
            while len(self._fitted) > _MOST_REFERENCES:
                self._fitted.popitem(last=False)
        self._fitted.move_to_end(key)
        return self._fitted[key]


def make_scalar_monitor(stored: StoredMonitor, alpha: float, settle: int) -> ScalarMonitor:
    """Return a monitor of a number that has seen nothing yet."""
    from detectors.drift.scalar import ScalarMonitor  # noqa: PLC0415  # Serving does without numpy.

    scale: Scale = "positive" if stored.name in QUANTITIES else "unit"
    return ScalarMonitor(alpha=alpha, scale=scale, settle=settle, seed=stored.number)
