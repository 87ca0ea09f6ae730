"""How policies are reviewed and incidents handled, as settings decide it."""

from __future__ import annotations

from dataclasses import dataclass

from custodes.kernel.clock import HOUR_NS, MINUTE_NS, SECOND_NS
from custodes.kernel.settings import Settings


@dataclass(frozen=True, slots=True)
class Conduct:
    """Where links lead, and how long things take.

    A severe incident that nobody takes over becomes escalating after ``escalate_after_ns`` (0: never) unless its policy
    says otherwise. A group that fires again within ``regress_within_ns`` of its incident's end reopens it. Incidents of
    one policy that begin within ``group_within_ns`` of the first belong together.
    """

    console_url: str
    escalate_after_ns: int = 30 * MINUTE_NS
    regress_within_ns: int = HOUR_NS
    group_within_ns: int = 5 * MINUTE_NS


@dataclass(frozen=True, slots=True)
class Review:
    """What review asks for.

    ``four_eyes``: an author's own approval does not count. ``min_shadow_ns``: how long a version runs in shadow before
    it can be approved. ``read_only``: versions come from a repository only, handed in by one of ``gitops_actors``.
    """

    four_eyes: bool = True
    min_shadow_ns: int = 0
    read_only: bool = False
    gitops_actors: frozenset[str] = frozenset()


STRICT = Review()


def conduct_of(settings: Settings) -> Conduct:
    """Return what the settings say about incidents."""
    policy = settings.policy
    return Conduct(
        settings.console_url,
        escalate_after_ns=int(policy.escalate_after_s * SECOND_NS),
        regress_within_ns=int(policy.regress_within_s * SECOND_NS),
        group_within_ns=int(policy.group_within_s * SECOND_NS),
    )


def review_of(settings: Settings) -> Review:
    """Return what the settings say about review."""
    policy = settings.policy
    return Review(
        four_eyes=policy.four_eyes,
        min_shadow_ns=int(policy.min_shadow_s * SECOND_NS),
        read_only=policy.read_only,
        gitops_actors=frozenset(policy.gitops_actors),
    )
