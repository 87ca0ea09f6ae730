"""What a run of steps amounts to: firings, how two runs differ, and how a run fares against people's labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from policies.engine.step import Intent, OpenIncident, ResolveIncident, StepResult, Transition
from policies.groups import Group

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One transition of one group in a run, with the values it was taken on and what it led to."""

    group: Group
    transition: Transition
    values: Values
    intents: tuple[Intent, ...]


@dataclass(frozen=True, slots=True)
class Firing:
    """One episode in which a group fired; ``to_ns`` of ``None`` means that it still fired at the end of the run."""

    group: Group
    from_ns: int
    to_ns: int | None
    values: Values
    reason: str
    intents: tuple[Intent, ...] = ()

    def overlaps(self, from_ns: int, to_ns: int | None) -> bool:
        """Return whether another episode was open at some time of this one."""
        return (to_ns is None or self.from_ns <= to_ns) and (self.to_ns is None or from_ns <= self.to_ns)


@dataclass(frozen=True, slots=True)
class LabelledEpisode:
    """A stretch of an incident that a person has judged."""

    incident_id: str
    labels: Mapping[str, str]
    from_ns: int
    to_ns: int | None
    label: Literal["true_alarm", "false_alarm"]


@dataclass(frozen=True, slots=True)
class Difference:
    """How a candidate's firings compare with those of another version over the same time."""

    both: int
    only_candidate: tuple[Firing, ...]
    only_other: tuple[Firing, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How firings fare against labels. A figure that nothing supports is ``None``, never 0 or 1.

    ``precision`` is the share of true alarms among the firings that meet a labelled incident, ``recall`` the share of
    true incidents that some firing meets.
    """

    true_alarms: int
    false_alarms: int
    unlabelled: int
    incidents: int
    found: int
    missed: tuple[str, ...]

    @property
    def precision(self) -> float | None:
        """Share of right ones among the firings somebody has judged."""
        judged = self.true_alarms + self.false_alarms
        return self.true_alarms / judged if judged else None

    @property
    def recall(self) -> float | None:
        """Share of the true incidents that were found."""
        return self.found / self.incidents if self.incidents else None


def changes_of(group: Group, result: StepResult, values: Values) -> list[Change]:
    """Return the changes of one step."""
    return [Change(group, transition, dict(values), result.intents) for transition in result.transitions]


def firings_of(changes: Iterable[Change]) -> list[Firing]:
    """Return the episodes of a run, by their beginning; ``changes`` are in the order of time."""
    opened: dict[Group, Firing] = {}
    ended: list[Firing] = []
    for change in changes:
        kinds = {type(intent) for intent in change.intents}
        at_ns = change.transition.at_ns
        if OpenIncident in kinds:
            reason = change.transition.reason
            opened[change.group] = Firing(change.group, at_ns, None, change.values, reason, change.intents)
        elif ResolveIncident in kinds and change.group in opened:
            begun = opened.pop(change.group)
            ended.append(Firing(begun.group, begun.from_ns, at_ns, begun.values, begun.reason, begun.intents))
    return sorted([*ended, *opened.values()], key=lambda one: (one.from_ns, one.group.key))


def compare_firings(candidate: Sequence[Firing], other: Sequence[Firing]) -> Difference:
    """Return which firings two runs share: those of compatible groups that overlap in time."""
    shared = {
        index
        for index, one in enumerate(candidate)
        if any(is_compatible(one.group, two.group) and one.overlaps(two.from_ns, two.to_ns) for two in other)
    }
    unmet = tuple(
        two
        for two in other
        if not any(is_compatible(one.group, two.group) and one.overlaps(two.from_ns, two.to_ns) for one in candidate)
    )
    return Difference(len(shared), tuple(one for index, one in enumerate(candidate) if index not in shared), unmet)


def judge_firings(firings: Sequence[Firing], episodes: Sequence[LabelledEpisode]) -> Judgement:
    """Return how firings fare against labelled incidents.

    A firing that meets a true and a false one counts as true. An incident with several episodes is found when one of
    them is met.
    """
    right = wrong = unlabelled = 0
    found: set[str] = set()
    for firing in firings:
        met = [
            one
            for one in episodes
            if firing.overlaps(one.from_ns, one.to_ns) and _is_same_traffic(firing.group, one.labels)
        ]
        truths = {one.incident_id for one in met if one.label == "true_alarm"}
        found |= truths
        if truths:
            right += 1
        elif met:
            wrong += 1
        else:
            unlabelled += 1
    wanted = dict.fromkeys(one.incident_id for one in episodes if one.label == "true_alarm")
    missed = tuple(one for one in wanted if one not in found)
    return Judgement(right, wrong, unlabelled, len(wanted), len(wanted) - len(missed), missed)


def is_compatible(one: Group, two: Group) -> bool:
    """Return whether two groups may be about the same traffic: no label they share differs."""
    return _is_same_traffic(one, dict(two.labels))


def _is_same_traffic(group: Group, labels: Mapping[str, str]) -> bool:
    return all(labels.get(name, value) == value for name, value in group.labels)
