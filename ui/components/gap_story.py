"""A gap in plain words: what differs, by how much, how sure that is, and what keeps it from being claimed."""

from __future__ import annotations

from custodes_sdk.models import FairnessRules, Gap, GapInterval
from ui.figures import METRIC_NAMES, plural
from ui.moments import stamp_text

OUTCOME_NAMES = {
    "refused": "Refused",
    "negative": "Negative tone",
    "clipped": "Answer cut off",
    "toxic": "Toxic",
    "ungrounded": "Without ground",
    "slow": "Slow",
}


def outcome_name(outcome: str) -> str:
    """Return an outcome's name for people."""
    return OUTCOME_NAMES.get(outcome, outcome.replace("_", " ").capitalize())


def group_name(group: str) -> str:
    """Return a group for people: ``religion:muslim`` becomes ``muslim (religion)``, ``group:de`` becomes ``de``."""
    axis, colon, name = group.partition(":")
    if not colon:
        return group
    return name if axis == "group" else f"{name} ({axis.replace('_', ' ')})"


def family_name(family: str) -> str:
    """Return what the groups of a comparison are."""
    if family == "prompt":
        return "mentioned in the prompt"
    if family == "probe":
        return "swapped in by probes"
    return f"named by the caller ({family.partition(':')[2] or family})"


def points_text(rate: float | None) -> str:
    """Return a difference of rates in points: ``+12.0``; ``no data`` for None."""
    return "no data" if rate is None else f"{rate * 100:+.1f}"


def interval_text(one: GapInterval | Gap) -> str:
    """Return the ends of an interval in points: ``+8.1 to +16.2``."""
    return f"{points_text(one.gap_low)} to {points_text(one.gap_high)}"


def tell_gap(gap: Gap, rules: FairnessRules) -> str:
    """Return what is known of a gap in two or three sentences, made only of recorded facts."""
    name = outcome_name(gap.outcome).lower()
    if gap.recent.gap is None:
        return (
            f"No pair has been compared yet: {plural(gap.n_group, 'exchange')} of the group, {gap.n_others:,} others."
        )
    sure = f"{(1 - rules.alpha) * 100:g}%"
    since = "" if gap.recent.since is None else f" since {stamp_text(gap.recent.since)}"
    measured = (
        f"In {plural(gap.recent.pairs, 'pair')}{since}, the rate of “{name}” for {group_name(gap.group)} is "
        f"{points_text(gap.recent.gap)} points from everybody else's; with {sure} confidence, at all times, the "
        f"average gap lies between {points_text(gap.recent.gap_low)} and {points_text(gap.recent.gap_high)} points."
    )
    return f"{measured} {_standing(gap, rules)}"


def _standing(gap: Gap, rules: FairnessRules) -> str:
    tolerance = f"{rules.epsilon * 100:g} points"
    if gap.state == "gap":
        return f"That is beyond the tolerance of {tolerance}: an alarm was raised."
    if gap.state == "withheld":
        return (
            f"The claim is withheld: on sentences that differ only in the people they name, the detector of "
            f"{METRIC_NAMES.get(gap.metric or '', gap.metric or 'this outcome').lower()} itself differs by up to "
            f"{points_text(gap.own_gap).lstrip('+')} points."
        )
    if gap.state == "within_tolerance":
        return f"All of it lies within the tolerance of {tolerance}."
    if gap.state == "too_few_data":
        return f"Below {rules.min_pairs:,} pairs nothing is said."
    return f"That is not enough to say that it is beyond the tolerance of {tolerance}, nor that it is within."
