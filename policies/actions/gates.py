"""Whether an action may begin now. Pure: facts in, a reason against it out.

Some rules hold for everybody: the switch, one in flight, the pause after the last action on a target, the number an
hour, no way back to a version that was just left. Two hold for actions that nobody looked at: how much traffic they
may touch, and that automation stops when half of what was done lately did not help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from custodes.kernel.clock import DAY_NS, HOUR_NS, SECOND_NS
from custodes.kernel.settings import Settings
from policies.actions.action import Action
from policies.rules.duration import duration_to_text


@dataclass(frozen=True, slots=True)
class ActionRules:
    """What settings say about actions; a policy can only be stricter, save for its own pause."""

    cooldown_ns: int = HOUR_NS
    per_hour: int = 4
    max_share: float = 0.5
    avoid_ns: int = DAY_NS
    recent_ns: int = DAY_NS
    min_recent: int = 4
    failed_share: float = 0.5
    proposal_ns: int = DAY_NS
    acknowledge_ns: int = HOUR_NS
    four_eyes: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database knows at the moment of deciding, read under the lock that all such decisions take.

    ``begun_ns`` are the times at which actions on this target were sent in the last hours, ``begun_by_policy`` and
    ``begun_in_project`` how many were approved in the last hour, ``left`` the versions that were left lately,
    ``stale`` why the data set of a training run must not be trained on.
    """

    stopped: str | None = None
    in_flight: str | None = None
    last_sent_ns: int | None = None
    begun_by_policy: int = 0
    begun_in_project: int = 0
    left: frozenset[str] = frozenset()
    ended: int = 0
    failed: int = 0
    stale: str | None = None


def reason_against(action: Action, facts: Facts, rules: ActionRules, now_ns: int) -> str | None:
    """Return why the action may not begin now, whoever agrees; ``None`` when it may."""
    if facts.stopped is not None:
        return f"actions are stopped: {facts.stopped}"
    if facts.stale is not None:
        return facts.stale
    if facts.in_flight is not None:
        return f"action {facts.in_flight} on the same target is still under way"
    limits = action.written.limits
    cooldown_ns = rules.cooldown_ns if limits.cooldown_ns is None else limits.cooldown_ns
    if facts.last_sent_ns is not None and now_ns - facts.last_sent_ns < cooldown_ns:
        left = duration_to_text(_whole_seconds(facts.last_sent_ns + cooldown_ns - now_ns))
        return f"the last action on this target is too recent; the pause between two of them ends in {left}"
    if limits.per_hour is not None and facts.begun_by_policy >= limits.per_hour:
        return f"the policy allows {limits.per_hour} actions an hour, and there were {facts.begun_by_policy}"
    if facts.begun_in_project >= rules.per_hour:
        return f"{facts.begun_in_project} actions began in the last hour, and {rules.per_hour} are allowed"
    if action.to_version is not None and action.to_version in facts.left:
        return f"version {action.to_version} was itself rolled back lately; going back to it would be a circle"
    return None


def reason_to_ask(action: Action, facts: Facts, rules: ActionRules) -> str | None:
    """Return why a person has to look at an action of mode ``auto`` after all; ``None`` when nobody has to."""
    if action.kind == "finetune":
        return "training on captured text always needs a person"
    if facts.ended >= rules.min_recent and facts.failed >= rules.failed_share * facts.ended:
        return f"{facts.failed} of the last {facts.ended} actions did not help, so none acts by itself"
    if action.traffic_share is None:
        return "nobody can tell how much traffic it would touch"
    if action.traffic_share > rules.max_share:
        return (
            f"it would touch {action.traffic_share:.0%} of the traffic, and {rules.max_share:.0%} may be touched "
            "without a person"
        )
    return None


def choose_version(candidates: Sequence[str], from_version: str | None, left: frozenset[str]) -> str | None:
    """Return the first version that is neither the present one nor was left lately; ``None`` when none remains."""
    return next((one for one in candidates if one != from_version and one not in left), None)


def action_rules_of(settings: Settings) -> ActionRules:
    """Return what the settings say about actions."""
    action = settings.action
    return ActionRules(
        cooldown_ns=int(action.cooldown_s * SECOND_NS),
        per_hour=action.per_hour,
        max_share=action.max_share,
        avoid_ns=int(action.avoid_s * SECOND_NS),
        recent_ns=int(action.recent_s * SECOND_NS),
        min_recent=action.min_recent,
        failed_share=action.failed_share,
        proposal_ns=int(action.proposal_s * SECOND_NS),
        acknowledge_ns=int(action.acknowledge_s * SECOND_NS),
        four_eyes=settings.policy.four_eyes,
    )


def _whole_seconds(span_ns: int) -> int:
    return -(-span_ns // SECOND_NS) * SECOND_NS
