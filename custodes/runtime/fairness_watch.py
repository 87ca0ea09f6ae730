"""The job that looks at the fairness monitors' evidence, stores what it reads and raises alarms.

One process does it, by lease. A look costs nothing in promises: the evidence may be looked at after every exchange or
once a day. State is only read here, so scoring never waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from custodes.db import Database, WriteTx
from custodes.db.leases import Lease, acquire_lease, check_lease
from custodes.db.segments import Segment
from custodes.kernel.clock import SECOND_NS, Clock
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from custodes.runtime.fairness import rules_of
from custodes.runtime.fairness_alarms import AlarmContext, raise_alarm
from custodes.runtime.store_fairness import (
    PanelKey,
    count_standing_alarms,
    find_panel,
    find_segment,
    list_panel_times,
    list_readings,
    list_standing_alarms,
    save_gaps,
    save_readings,
)

if TYPE_CHECKING:
    from detectors.fairness.audit import SelfAudit
    from detectors.fairness.panel import Panel

log = get_logger("fairness")

LEASE = "fairness-watch"


@dataclass(frozen=True, slots=True)
class LookReport:
    """What one run did."""

    panels: int = 0
    alarms: int = 0


class WatchFairness:
    """Looks at every panel that changed since the last look, if this process leads."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        owner: str,
        load_audits: Callable[[], dict[str, SelfAudit]] | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._owner = owner
        self._ttl_ns = int(max(30.0, 3 * settings.fairness.interval_s) * SECOND_NS)
        self._load_audits = load_audits
        self._audits: dict[str, SelfAudit] | None = None
        # When each panel began and last changed, as of its last look here; a new leader looks at everything once.
        self._seen: dict[PanelKey, tuple[int, int]] = {}

    def run(self) -> None:
        """Look once at the present, or do nothing while another process leads."""
        self.run_at(self._clock())

    def run_at(self, now_ns: int) -> LookReport:
        """Look once as of ``now_ns``."""
        if not self._settings.fairness.enabled:
            return LookReport()
        with self._database.write() as tx:
            held = acquire_lease(tx, LEASE, self._owner, now_ns=now_ns, ttl_ns=self._ttl_ns)
        if held is None:
            self._seen.clear()
            return LookReport()
        with self._database.read() as tx:
            times = list_panel_times(tx)
        changed = sorted(key for key, when in times.items() if self._seen.get(key) != when)
        alarms = 0
        for key in changed:
            alarms += self._look(key, held, now_ns)
            self._seen[key] = times[key]
        for gone in self._seen.keys() - times.keys():
            del self._seen[gone]
        with self._database.read() as tx:
            self._metrics.fairness_standing.set(count_standing_alarms(tx))
        return LookReport(len(changed), alarms)

    def _look(self, key: PanelKey, held: Lease, now_ns: int) -> int:
        from custodes.runtime.fairness_readings import read_panel  # noqa: PLC0415  # Needs numpy; serving does not.

        with self._database.read() as tx:
            stored = find_panel(tx, key)
            segment = find_segment(tx, key.project, key.segment_id)
            before = list_readings(tx, key)
            standing = list_standing_alarms(tx, key)
        if stored is None or segment is None:
            return 0
        panel = self._open(key, dict(stored.body))
        if panel is None:
            return 0
        panel.alarms = {(alarm.group, alarm.outcome): alarm.at_ns for alarm in standing}
        found = read_panel(key, panel, before, self._self_audits(), now_ns)
        if not found.readings:
            return 0
        with self._database.write() as tx:
            check_lease(tx, held)
            if not _is_same(tx, key, stored.began_ns):
                return 0  # Somebody began the comparison anew meanwhile.
            save_readings(tx, found.readings)
            save_gaps(tx, found.gaps)
            context = AlarmContext(key, segment, self._settings.fairness, self._settings.console_url, now_ns)
            readings = {(one.group, one.outcome): one for one in found.readings}
            # The largest gap first: it opens the incident and speaks in its summary.
            for alarm in sorted(found.alarms, key=lambda one: -abs(one.recent.gap or 0.0)):
                reading = readings[alarm.group, alarm.outcome]
                standing.append(raise_alarm(tx, context, reading, alarm.onset, standing))
        for alarm in found.alarms:
            self._metrics.fairness_alarms.labels(outcome=alarm.outcome).inc()
            log.warning("fairness alarm", extra=_fields(segment, alarm.group, alarm.outcome))
        return len(found.alarms)

    def _open(self, key: PanelKey, body: dict[str, object]) -> Panel | None:
        from detectors.fairness.panel import Panel  # noqa: PLC0415  # Needs numpy; serving does not.

        try:
            return Panel.from_json(rules_of(self._settings.fairness), body)
        except (ValueError, KeyError, TypeError) as error:
            self._metrics.fairness_damaged.inc()
            log.error("a fairness state is damaged", extra=fields(segment=key.segment_id, error=str(error)))
            return None

    def _self_audits(self) -> dict[str, SelfAudit]:
        from detectors.fairness.audit import load_self_audits  # noqa: PLC0415

        if self._audits is None:
            self._audits = (self._load_audits or load_self_audits)()
        return self._audits


def _is_same(tx: WriteTx, key: PanelKey, began_ns: int) -> bool:
    now = find_panel(tx, key)
    return now is not None and now.began_ns == began_ns


def _fields(segment: Segment, group: str, outcome: str) -> dict[str, object]:
    return fields(service=segment.service, deployment=segment.deployment, group=group, outcome=outcome)
