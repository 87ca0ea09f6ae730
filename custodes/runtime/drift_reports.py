"""The job that makes Evidently's reports: those that were asked for, and on schedule where that is switched on.

A report sets a sample of the reference beside a sample of what came since: since the onset of a stretch of drift, or
the newest exchanges. It is for reading; alarms come from the monitors. One process makes one at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from custodes.db import Database, ReadTx
from custodes.db.leases import Lease, acquire_lease, check_lease
from custodes.kernel.clock import HOUR_NS, SECOND_NS, Clock
from custodes.kernel.errors import CustodesError, InvalidInputError
from custodes.kernel.ids import new_uuid7
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.settings import Settings
from custodes.runtime.drift_alarms import POLICY_ID
from custodes.runtime.drift_streams import UNSTORED, is_embedded
from custodes.runtime.evidently_batch import DriftReport
from custodes.runtime.report_process import make_report
from custodes.runtime.store_drift_reports import (
    WantedReport,
    fail_report,
    find_fit_rows,
    finish_report,
    insert_scheduled,
    list_due,
    list_wanted,
)
from custodes.runtime.store_drift_watch import read_numbers, read_rows, read_vectors
from policies.incident_store import IncidentEvent, insert_incident_event

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.int64]
    Columns = dict[str, list[float | None]]

log = get_logger("drift")

LEASE: Final = "drift-reports"
REPORTED: Final = "drift.report"
"""The kind of an incident's timeline entry that leads to a report."""
MOST_LOOKED_AT: Final = 8_192
LEAST_ROWS: Final = 30
_LEAST_KNOWN: Final = 0.5
_COMPRESSION: Final = 6


class MakeReports:
    """Makes what is asked for and what is due, if this process leads."""

    def __init__(self, database: Database, settings: Settings, clock: Clock, owner: str) -> None:
        self._database = database
        self._settings = settings.drift
        self._clock = clock
        self._owner = owner

    def run(self) -> None:
        """Make the reports that wait now, or do nothing while another process leads."""
        self.run_at(self._clock())

    def run_at(self, now_ns: int) -> int:
        """Make the reports that wait as of ``now_ns``; return how many were made."""
        if not self._settings.enabled:
            return 0
        with self._database.read() as tx:
            waiting = list_wanted(tx) or self._due(tx, now_ns)
        if not waiting:
            return 0
        with self._database.write() as tx:
            # A report may take minutes where the machine is busy.
            held = acquire_lease(tx, LEASE, self._owner, now_ns=now_ns, ttl_ns=900 * SECOND_NS)
            if held is None:
                return 0
            for monitor_id, project in self._due(tx, now_ns):
                insert_scheduled(tx, new_uuid7(now_ns), project, monitor_id, now_ns)
        with self._database.read() as tx:
            wanted = list_wanted(tx)
        return sum(self._make(one, held, now_ns) for one in wanted)

    def _due(self, tx: ReadTx, now_ns: int) -> list[tuple[int, str]]:
        if not self._settings.report_every_h:
            return []
        return list_due(tx, now_ns - int(self._settings.report_every_h * HOUR_NS))

    def _make(self, wanted: WantedReport, held: Lease, now_ns: int) -> bool:
        """Make one report; where that is not possible, say why in its place."""
        try:
            made, before, since = self._build(wanted)
        except (CustodesError, ValueError) as error:
            log.warning("no drift report", extra=fields(report=wanted.id, error=str(error)))
            with self._database.write() as tx:
                check_lease(tx, held)
                fail_report(tx, wanted.id, str(error)[:500])
            return False
        html, body = (zlib.compress(text.encode(), _COMPRESSION) for text in (made.html, made.json))
        with self._database.write() as tx:
            check_lease(tx, held)
            finish_report(tx, wanted.id, html, body, (before, since), now_ns)
            if wanted.incident_id is not None:
                told = {"report_id": wanted.id, "episode_id": wanted.episode_id, "monitor": wanted.monitor.name}
                note = IncidentEvent(wanted.incident_id, now_ns, REPORTED, POLICY_ID, told)
                insert_incident_event(tx, note)
        return True

    def _build(self, wanted: WantedReport) -> tuple[DriftReport, int, int]:
        monitor = wanted.monitor
        with self._database.read() as tx:
            usual = _sample(find_fit_rows(tx, wanted.reference_id, monitor), self._settings.report_exchanges)
            first = max(wanted.first_number, wanted.until - MOST_LOOKED_AT)
            _, rows = read_rows(tx, monitor.place_id, first, wanted.until)
            sides = []
            for side in (usual, _sample(rows, self._settings.report_exchanges)):
                vectors = read_vectors(tx, side, monitor.name, monitor.maker)
                told = (vectors != 0.0).any(axis=1)
                sides.append((vectors[told], self._columns(tx, side[told], wanted.makers)))
        (before, before_columns), (since, since_columns) = sides
        for name, side in (("reference", before), ("change", since)):
            if len(side) < LEAST_ROWS:
                raise InvalidInputError(
                    f"only {len(side)} exchanges of the {name} are still stored; a report needs {LEAST_ROWS}"
                )
        made = make_report(before, since, before_columns, since_columns)
        return made, len(before), len(since)

    def _columns(self, tx: ReadTx, rows: Rows, makers: Mapping[str, str]) -> Columns:
        """Return the watched numbers of exchanges; those that most of them lack are left out."""
        import numpy as np  # noqa: PLC0415  # Serving does without it.

        found: Columns = {}
        for name, maker in makers.items():
            if is_embedded(name) or name in UNSTORED:
                continue
            values = read_numbers(tx, rows, name, maker)
            if len(values) and np.isfinite(values).mean() > _LEAST_KNOWN:
                found[name] = [float(one) if np.isfinite(one) else None for one in values]
        return found


def _sample(rows: Rows, size: int) -> Rows:
    """Return at most ``size`` of ``rows``, each equally likely, and the same whoever asks."""
    import numpy as np  # noqa: PLC0415  # Serving does without it.

    from detectors.drift.reservoir import sample_numbers  # noqa: PLC0415

    return np.array(sample_numbers((int(one) for one in rows), size), dtype=np.int64)
