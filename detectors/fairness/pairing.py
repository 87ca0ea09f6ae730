"""Pairs each arrival of a group with an arrival of everybody else, inside one stratum, whatever the outcomes are.

A new arrival takes the newest waiting arrival of the other side, so that pairs lie close together in time and a change
that hits both sides alike cancels out. Whom it takes depends on the order of arrival and on nothing else: not on an
outcome, and not on a clock, so a clock that goes backwards or a batch that comes late changes who meets whom but
not what a pair proves. At most ``QUEUE`` arrivals wait; then the oldest is let go.

Only one side can wait at any time: the other would have been paired.
"""

from __future__ import annotations

from collections import deque
from typing import Final

QUEUE: Final = 16
"""Most arrivals that wait in one stratum."""


class Pairing:
    """The arrivals of one stratum that wait for a partner; outcomes are whole units of ``differences``."""

    __slots__ = ("waiting", "waiting_members")

    def __init__(self, *, waiting_members: bool = False, waiting: tuple[int, ...] = ()) -> None:
        self.waiting_members = waiting_members
        self.waiting: deque[int] = deque(waiting, QUEUE)

    def arrive(self, *, member: bool, outcome: int) -> tuple[int, int] | None:
        """Take in an arrival; return ``(outcome of the group, outcome of the other)`` when it completes a pair."""
        if self.waiting and self.waiting_members != member:
            partner = self.waiting.pop()
            return (outcome, partner) if member else (partner, outcome)
        self.waiting_members = member
        self.waiting.append(outcome)
        return None
