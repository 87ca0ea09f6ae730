"""Rules about one exchange at a time: a match fires at once, quiet resolves.

An ``ExchangePolicy`` has no windows. Its group begins to fire with the first exchange whose ``when`` is true, stays
firing while matches keep coming, and resolves at the first whole minute at which ``keep_firing_for`` has passed
without one. An exchange that cannot be judged changes no state; it is counted, and never taken for a match or a pass.
Like ``step``, these functions are pure and serve live scoring, policy tests and back-tests alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from policies.engine.state import GroupState
from policies.engine.step import StepResult, Transition, firing_intents, resolving_intents
from policies.rules.compile import CompiledPolicy
from policies.rules.duration import duration_to_text
from policies.rules.expression import Outcome, Truth

ExchangeValues = Mapping[str, float | str | None]


def judge(policy: CompiledPolicy, values: ExchangeValues) -> Outcome:
    """Return what ``when`` says of one exchange."""
    return policy.engine.evaluate(policy.when, values)


def match(policy: CompiledPolicy, state: GroupState, now_ns: int) -> StepResult:
    """Return what a matching exchange at ``now_ns`` does to its group."""
    last_ns = now_ns if state.last_true_ns is None else max(now_ns, state.last_true_ns)
    if state.firing_since_ns is not None:
        return StepResult(state._replace(last_true_ns=last_ns), (), (), Truth.TRUE)
    # Two workers may meet in one nanosecond, or their clocks differ a little; states never go back in time.
    now_ns = now_ns if state.since_ns is None else max(now_ns, state.since_ns)
    fired = GroupState("firing", now_ns, now_ns, now_ns, max(last_ns, now_ns))
    transition = Transition(state.state, "firing", now_ns, "an exchange matches")
    return StepResult(fired, (transition,), firing_intents(policy), Truth.TRUE)


def quiet(policy: CompiledPolicy, state: GroupState, now_ns: int) -> StepResult:
    """Return what the whole minute ``now_ns`` does to a group: it resolves after enough quiet."""
    if state.firing_since_ns is None or state.last_true_ns is None:
        return StepResult(state)
    if now_ns - state.last_true_ns < policy.keep_firing_for_ns:
        return StepResult(state)
    ended = GroupState("ok", now_ns, None, None, state.last_true_ns)
    reason = f"no exchange matched for {duration_to_text(policy.keep_firing_for_ns)}"
    return StepResult(ended, (Transition(state.state, "ok", now_ns, reason),), resolving_intents(policy))
