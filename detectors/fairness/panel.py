"""The monitors of one service: every group against its complement, for every outcome, with errors controlled together.

A panel is told of arrivals, batch by batch or one by one, and looks at the evidence whenever it is asked or, in
``observe``, at every single pair. An alarm is raised once per group and outcome. All state is integers and names, so it
is stored and read back exactly; a batch that is folded twice counts once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from detectors.fairness.differences import outcome_to_units
from detectors.fairness.discovery import arrival_share, discover, equal_shares
from detectors.fairness.evidence import LARGEST_GROWTH
from detectors.fairness.gap import GapMonitor, GapState, Interval, Reading

STATE_VERSION: Final = 1
REMEMBERED_BATCHES: Final = 256
Hypothesis = tuple[str, str]
"""Group and outcome."""


@dataclass(frozen=True, slots=True)
class FairnessRules:
    """What is tolerated and how sure an alarm must be.

    ``epsilon`` in [0, 1) is the largest gap that is nobody's concern; ``alpha`` in (0, 1) the probability that a panel
    without a larger gap ever alarms; ``min_pairs`` the pairs below which a gap counts as "too few data"; ``max_groups``
    how many groups may turn up before further ones only count among the others.
    """

    epsilon: float = 0.02
    alpha: float = 0.01
    min_pairs: int = 50
    max_groups: int = 32

    def __post_init__(self) -> None:
        if not 0.0 <= self.epsilon < 1.0:
            raise ValueError(f"epsilon must be in [0, 1), got {self.epsilon!r}")
        if not 0.0 < self.alpha < 1.0:
            raise ValueError(f"alpha must be in (0, 1), got {self.alpha!r}")
        if self.min_pairs < 1 or self.max_groups < 1:
            raise ValueError(f"min_pairs and max_groups must be at least 1, got {self.min_pairs}, {self.max_groups}")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One exchange: the groups it belongs to, its stratum, and its outcomes in [0, 1].

    An outcome that is missing or NaN is not assessed: it is counted and compared with nothing. ``mark`` is a row number
    or a time; it is repeated in alarms and decides nothing.
    """

    groups: frozenset[str]
    stratum: str
    outcomes: Mapping[str, float | None]
    mark: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """A gap larger than the tolerance. ``at`` and ``onset`` are marks; ``recent`` is the gap since the onset."""

    group: str
    outcome: str
    at: int
    onset: int | None
    log_evidence: float
    higher: bool
    recent: Interval


class Panel:
    """Groups x outcomes of one service.

    ``groups`` known beforehand share the error probability equally; without them, groups are taken on as they turn up
    and get the shares of ``arrival_share``. ``outcomes`` are fixed for the life of the panel.
    """

    def __init__(self, rules: FairnessRules, outcomes: Sequence[str], groups: Sequence[str] | None = None) -> None:
        self.rules = rules
        self.outcomes = tuple(outcomes)
        self.groups: list[str] = list(groups or ())
        self.alarms: dict[Hypothesis, int] = {}
        self.not_assessed = 0
        self._fixed = groups is not None
        self._batches: deque[str] = deque(maxlen=REMEMBERED_BATCHES)
        self._monitors: dict[Hypothesis, GapMonitor] = {}
        # How many more differences a hypothesis needs at least before its evidence can reach 1/alpha.
        self._far: dict[Hypothesis, int] = {}
        for group in self.groups:
            self._take_on(group)

    def monitor(self, group: str, outcome: str) -> GapMonitor:
        """Return one monitor; raise ``KeyError`` for a group or outcome that is not watched."""
        return self._monitors[group, outcome]

    def fold(self, batch: str, arrivals: Iterable[Arrival]) -> bool:
        """Take in a batch without looking; return ``False``, and change nothing, when it was folded before."""
        if batch in self._batches:
            return False
        for arrival in arrivals:
            self._arrive(arrival)
        self._batches.append(batch)
        return True

    def observe(self, arrival: Arrival) -> list[Alarm]:
        """Take in one arrival and look; return the alarms it raises.

        The same alarms as ``look`` after every arrival would raise, without the arithmetic where evidence is too
        far from 1/alpha for the differences since the last look to have bridged it.
        """
        changed = self._arrive(arrival)
        is_near = any(self._far[key] <= 0 and key not in self.alarms for key in changed)
        return self.look(arrival.mark) if is_near else []

    def look(self, mark: int) -> list[Alarm]:
        """Look at all evidence; return the alarms that are new, noted under ``mark``."""
        keys = list(self._monitors)
        verdicts = {key: self._monitors[key].judge(self.rules.epsilon) for key in keys if self._far[key] <= 0}
        evidence = [verdicts[key].log_evidence if key in verdicts else -math.inf for key in keys]
        claimed = discover(evidence, [self._share(key) for key in keys], self.rules.alpha) if keys else []
        fresh = [key for key, is_claimed in zip(keys, claimed, strict=True) if is_claimed and key not in self.alarms]
        for key, verdict in verdicts.items():
            self._far[key] = self._distance(verdict.log_evidence)
        alarms = []
        for group, outcome in fresh:
            self.alarms[group, outcome] = mark
            reading = self.read(group, outcome)
            alarms.append(
                Alarm(group, outcome, mark, reading.recent.since, reading.log_evidence, reading.higher, reading.recent)
            )
        return alarms

    def read(self, group: str, outcome: str) -> Reading:
        """Return the gap of one group and outcome; its intervals hold at all times with probability 1 - alpha."""
        return self._monitors[group, outcome].read(self.rules.epsilon, self.rules.alpha)

    def state(self, group: str, outcome: str, reading: Reading) -> GapState:
        """Return how the gap stands, apart from the detector's own error."""
        if (group, outcome) in self.alarms:
            return "gap"
        if reading.whole.pairs < self.rules.min_pairs:
            return "too_few_data"
        inside = -self.rules.epsilon <= reading.whole.low and reading.whole.high <= self.rules.epsilon
        return "within_tolerance" if inside else "watching"

    def share(self, group: str, outcome: str) -> float:
        """Return the share of alpha that is set aside for one hypothesis."""
        return self._share((group, outcome))

    def _arrive(self, arrival: Arrival) -> list[Hypothesis]:
        """Pass an arrival to every monitor; return whose evidence it may have raised. Equal outcomes raise none."""
        if not self._fixed:
            for group in sorted(arrival.groups):
                if group not in self.groups and len(self.groups) < self.rules.max_groups:
                    self.groups.append(group)
                    self._take_on(group)
        changed = []
        for outcome in self.outcomes:
            value = arrival.outcomes.get(outcome)
            if value is None or math.isnan(value):
                self.not_assessed += 1
                continue
            units = outcome_to_units(value)
            for group in self.groups:
                key = (group, outcome)
                difference = self._monitors[key].arrive(
                    arrival.stratum, member=group in arrival.groups, outcome=units, mark=arrival.mark
                )
                if difference:
                    self._far[key] -= 1
                    changed.append(key)
        return changed

    def _take_on(self, group: str) -> None:
        for outcome in self.outcomes:
            self._monitors[group, outcome] = GapMonitor()
            self._far[group, outcome] = self._distance(0.0)

    def _distance(self, log_evidence: float) -> int:
        """Return how many differences can pass before evidence that stood at ``log_evidence`` may be 1/alpha."""
        return math.ceil((-math.log(self.rules.alpha) - log_evidence) / math.log(LARGEST_GROWTH))

    def _share(self, key: Hypothesis) -> float:
        if self._fixed:
            return equal_shares(len(self._monitors))[0]
        place = self.groups.index(key[0]) + 1
        return arrival_share(place, self.rules.max_groups) / len(self.outcomes)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON; ``from_json`` gives back a panel that goes on exactly like this one."""
        return {
            "version": STATE_VERSION,
            "outcomes": list(self.outcomes),
            "groups": self.groups,
            "fixed": self._fixed,
            "not_assessed": self.not_assessed,
            "batches": list(self._batches),
            "alarms": [[group, outcome, mark] for (group, outcome), mark in self.alarms.items()],
            "monitors": [[group, outcome, monitor.to_json()] for (group, outcome), monitor in self._monitors.items()],
        }

    @classmethod
    def from_json(cls, rules: FairnessRules, written: Mapping[str, Any]) -> Panel:
        """Return what ``to_json`` wrote, under ``rules``; raise ``ValueError`` for a damaged or unknown state."""
        if written.get("version") != STATE_VERSION:
            raise ValueError(f"a fairness state of version {written.get('version')!r} cannot be read here")
        groups = [str(group) for group in written["groups"]]
        panel = cls(rules, written["outcomes"], groups)
        panel._fixed = bool(written["fixed"])
        panel.not_assessed = int(written["not_assessed"])
        panel._batches.extend(written["batches"])
        panel.alarms = {(group, outcome): mark for group, outcome, mark in written["alarms"]}
        for group, outcome, monitor in written["monitors"]:
            if (group, outcome) not in panel._monitors:
                raise ValueError("the stored state holds a monitor of an unknown group or outcome: it is damaged")
            panel._monitors[group, outcome] = GapMonitor.from_json(monitor)
            panel._far[group, outcome] = 0
        return panel
