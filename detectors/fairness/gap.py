"""Whether one group's outcome differs from everybody else's by more than a tolerance: one group, one outcome.

``GapMonitor`` pairs arrivals inside strata, remembers the differences, and says at any time how large the gap is. The
probability that its evidence ever reaches 1/alpha while the gap is within the tolerance is at most alpha, under looks
at every pair, changing traffic and any distribution of the outcome; what is assumed is that outcomes of a pair,
given everything before it, differ in the mean by at most the tolerance. So callers who repeat themselves are
not independent evidence, and count once as often as they come.

A gap of the whole group is found fastest. A gap inside one stratum alone is thinned out by the others; the table of
strata shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from detectors.fairness.differences import UNIT
from detectors.fairness.evidence import interval
from detectors.fairness.history import History, Verdict
from detectors.fairness.pairing import Pairing

GapState = Literal["too_few_data", "watching", "within_tolerance", "gap", "withheld"]
"""How a gap stands. ``gap`` is a claim; ``withheld`` one that the detector's own error could explain."""

MAX_STRATA: Final = 64
"""Most strata of one monitor; arrivals in further ones are counted as unplaced and never paired."""


@dataclass(slots=True)
class Stratum:
    """One stratum: who waits, and the sums of the outcomes that came and that were paired, in whole units."""

    pairing: Pairing
    members: int = 0
    others: int = 0
    pairs: int = 0
    members_paired: int = 0
    others_paired: int = 0


@dataclass(frozen=True, slots=True)
class StratumReading:
    """A row of the table of strata: arrivals on both sides, pairs, and their mean outcomes in [0, 1]."""

    name: str
    members: int
    others: int
    pairs: int
    member_mean: float | None
    other_mean: float | None
    gap: float | None


@dataclass(frozen=True, slots=True)
class Interval:
    """A gap with its confidence sequence over the pairs since ``since`` (a mark); numbers in [-1, 1]."""

    pairs: int
    gap: float | None
    low: float
    high: float
    since: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything one monitor has to say. ``recent`` is since the most likely beginning of a gap."""

    members: int
    others: int
    unplaced: int
    whole: Interval
    recent: Interval
    log_evidence: float
    higher: bool
    strata: tuple[StratumReading, ...]


class GapMonitor:
    """The running comparison of a group with its complement for one outcome."""

    __slots__ = ("history", "strata", "unplaced")

    def __init__(self) -> None:
        self.history = History()
        self.strata: dict[str, Stratum] = {}
        self.unplaced = 0

    def arrive(self, stratum: str, *, member: bool, outcome: int, mark: int) -> int | None:
        """Take in one arrival; return the difference, in units, when it completed a pair."""
        place = self.strata.get(stratum)
        if place is None:
            if len(self.strata) >= MAX_STRATA:
                self.unplaced += 1
                return None
            place = self.strata[stratum] = Stratum(Pairing())
        if member:
            place.members += 1
        else:
            place.others += 1
        pair = place.pairing.arrive(member=member, outcome=outcome)
        if pair is None:
            return None
        place.pairs += 1
        place.members_paired += pair[0]
        place.others_paired += pair[1]
        difference = pair[0] - pair[1]
        self.history.add(difference, mark)
        return difference

    def judge(self, tolerance: float) -> Verdict:
        """Return the evidence that the gap is outside [-``tolerance``, ``tolerance``]."""
        return self.history.judge(tolerance)

    def read(self, tolerance: float, alpha: float) -> Reading:
        """Return the gap with confidence sequences that hold at all times with probability 1 - ``alpha``."""
        verdict = self.judge(tolerance)
        return Reading(
            members=sum(one.members for one in self.strata.values()),
            others=sum(one.others for one in self.strata.values()),
            unplaced=self.unplaced,
            whole=self._interval(0, alpha),
            recent=self._interval(verdict.epoch, alpha),
            log_evidence=verdict.log_evidence,
            higher=verdict.higher,
            strata=tuple(_read_stratum(name, one) for name, one in sorted(self.strata.items())),
        )

    def _interval(self, place: int, alpha: float) -> Interval:
        if not self.history.epochs:
            return Interval(0, None, -1.0, 1.0, None)
        differences = self.history.since(place)
        # The share makes the intervals of all starts hold together, so that the start may be chosen by looking.
        low, high = interval(differences, alpha * self.history.share(place))
        return Interval(differences.pairs, differences.mean(), low, high, self.history.epochs[place].mark)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON of integers and strings; ``from_json`` gives back the very same state."""
        strata = {
            name: [
                int(one.pairing.waiting_members),
                list(one.pairing.waiting),
                [one.members, one.others, one.pairs, one.members_paired, one.others_paired],
            ]
            for name, one in self.strata.items()
        }
        return {"unplaced": self.unplaced, "strata": strata, "history": self.history.to_json()}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> GapMonitor:
        """Return what ``to_json`` wrote; raise ``ValueError`` when its sums do not agree."""
        monitor = cls()
        monitor.unplaced = int(written["unplaced"])
        monitor.history = History.from_json(written["history"])
        for name, (waiting_members, waiting, sums) in written["strata"].items():
            pairing = Pairing(waiting_members=bool(waiting_members), waiting=tuple(waiting))
            monitor.strata[name] = Stratum(pairing, *sums)
        if sum(one.pairs for one in monitor.strata.values()) != monitor.history.pairs:
            raise ValueError("the strata and the history hold different numbers of pairs: the state is damaged")
        return monitor


def _read_stratum(name: str, one: Stratum) -> StratumReading:
    if not one.pairs:
        return StratumReading(name, one.members, one.others, 0, None, None, None)
    member, other = one.members_paired / (one.pairs * UNIT), one.others_paired / (one.pairs * UNIT)
    return StratumReading(name, one.members, one.others, one.pairs, member, other, member - other)
