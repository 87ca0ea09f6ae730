"""The job beside the drift monitors: fits references, tells of alarms, and ends episodes that are over.

One process does it, by lease. Evidence is taken in by scoring and waits for nothing here; an alarm is noted in the
transaction that raised it, and told of at the next look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from custodes.db import Database
from custodes.db.leases import Lease, acquire_lease, check_lease
from custodes.kernel.clock import DAY_NS, HOUR_NS, SECOND_NS, Clock, ns_to_minute
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from custodes.runtime.drift_alarms import raise_alarm, resolve_quiet
from custodes.runtime.drift_references import fit_learner
from custodes.runtime.drift_stories import MOST_EXPLAINED, tell_story
from custodes.runtime.drift_streams import is_embedded
from custodes.runtime.store_drift import hold_place
from custodes.runtime.store_drift_retention import (
    delete_course,
    delete_ended,
    delete_replaced_fits,
    delete_reports,
    list_monitor_numbers,
)
from custodes.runtime.store_drift_watch import (
    Learner,
    StoredEpisode,
    count_standing,
    end_episode,
    list_learners,
    list_places,
    list_standing,
    list_untold,
    prune_chunks,
    refresh_episode,
)

log = get_logger("drift")

LEASE: Final = "drift-watch"
QUIET_EXCHANGES: Final = 1_000
"""Exchanges without an alarm after which an episode is over, unless it took longer to be found."""
FORGET_EVERY_NS: Final = HOUR_NS
"""How often what is older than is kept is looked for."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What one look did."""

    fitted: int = 0
    told: int = 0
    ended: int = 0


class WatchDrift:
    """Does what is due, if this process leads."""

    def __init__(self, database: Database, settings: Settings, clock: Clock, metrics: Metrics, owner: str) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._owner = owner
        self._ttl_ns = int(max(60.0, 3 * settings.drift.interval_s) * SECOND_NS)
        # What each monitor had learned when it could not be fitted; more must come before that is tried again.
        self._unfit: dict[int, int] = {}
        # How many exchanges each place had when it was last pruned here.
        self._pruned: dict[int, int] = {}
        self._forgot_ns: int | None = None

    def run(self) -> None:
        """Look once at the present, or do nothing while another process leads."""
        self.run_at(self._clock())

    def run_at(self, now_ns: int) -> DriftReport:
        """Look once as of ``now_ns``."""
        if not self._settings.drift.enabled:
            return DriftReport()
        with self._database.write() as tx:
            held = acquire_lease(tx, LEASE, self._owner, now_ns=now_ns, ttl_ns=self._ttl_ns)
        if held is None:
            return DriftReport()
        with self._database.read() as tx:
            learners = list_learners(tx)
            untold = list_untold(tx)
        fitted = sum(self._fit(one, held, now_ns) for one in learners)
        # Texts before numbers: what is told first names the incident.
        for episode in sorted(untold, key=lambda one: (not is_embedded(one.monitor.name), one.at_ns)):
            self._tell(episode, held, now_ns)
        with self._database.read() as tx:
            standing = list_standing(tx)
        for episode in standing:
            if has_grown(episode):
                self._tell_anew(episode, held)
        ended = self._end_quiet(standing, held, now_ns)
        self._prune(held)
        self._forget(held, now_ns)
        with self._database.read() as tx:
            self._metrics.drift_standing.set(count_standing(tx))
        return DriftReport(fitted, len(untold), ended)

    def _fit(self, learner: Learner, held: Lease, now_ns: int) -> bool:
        number, learned = learner.monitor.number, learner.monitor.learned
        if self._unfit.get(number) == learned:
            return False
        done = fit_learner(self._database, learner, self._settings.drift, held, now_ns)
        self._unfit.pop(number, None)
        if not done:
            self._unfit[number] = learned
        return done

    def _tell(self, episode: StoredEpisode, held: Lease, now_ns: int) -> None:
        with self._database.read() as tx:
            story = tell_story(tx, episode)
        with self._database.write() as tx:
            check_lease(tx, held)
            incident_id = raise_alarm(tx, episode, story, self._settings.drift, self._settings.console_url, now_ns)
        log.warning("drift alarm", extra=fields(monitor=episode.monitor.name, incident=incident_id))

    def _tell_anew(self, episode: StoredEpisode, held: Lease) -> None:
        """Explain an episode again, for whoever looks: the first alarm came after few exchanges."""
        with self._database.read() as tx:
            story = tell_story(tx, episode)
        with self._database.write() as tx:
            check_lease(tx, held)
            refresh_episode(tx, episode.id, story.body)

    def _end_quiet(self, standing: Sequence[StoredEpisode], held: Lease, now_ns: int) -> int:
        ended = 0
        for episode in standing:
            if episode.place_seen - episode.last_number - 1 < longest_pause(episode):
                continue
            with self._database.write() as tx:
                check_lease(tx, held)
                if end_episode(tx, episode.id, episode.last_number, "over", now_ns):
                    resolve_quiet(tx, episode, self._settings.console_url, now_ns)
                    ended += 1
        return ended

    def _prune(self, held: Lease) -> None:
        with self._database.read() as tx:
            places = list_places(tx)
        for place_id, seen in places.items():
            if seen - self._pruned.get(place_id, 0) < MOST_EXPLAINED // 8:
                continue
            with self._database.write() as tx:
                check_lease(tx, held)
                place = hold_place(tx, place_id)
                if place is not None:
                    prune_chunks(tx, place, MOST_EXPLAINED)
            self._pruned[place_id] = seen

    def _forget(self, held: Lease, now_ns: int) -> None:
        """Forget what is older than is kept, once an hour, in small units of work."""
        if self._forgot_ns is not None and now_ns - self._forgot_ns < FORGET_EVERY_NS:
            return
        until_ns = now_ns - self._settings.drift.keep_days * DAY_NS
        with self._database.read() as tx:
            monitors = list_monitor_numbers(tx)
        for monitor in monitors:
            with self._database.write() as tx:
                check_lease(tx, held)
                delete_course(tx, monitor, ns_to_minute(until_ns))
        for delete in (delete_ended, delete_reports, delete_replaced_fits):
            with self._database.write() as tx:
                check_lease(tx, held)
                delete(tx, until_ns)
        self._forgot_ns = now_ns


def has_grown(episode: StoredEpisode) -> bool:
    """Return whether an episode is at least twice as long as when it was explained."""
    through = episode.through
    if through is None or through - episode.onset_number >= MOST_EXPLAINED:
        return False
    return episode.last_number - episode.onset_number >= 2 * max(1, through - episode.onset_number)


def longest_pause(episode: StoredEpisode) -> int:
    """Return after how many exchanges without an alarm an episode is over.

    A change that took long to be found takes as long to be found again, so silence says little before that.
    """
    return max(QUIET_EXCHANGES, 4 * (episode.at_number - episode.onset_number + 1))
