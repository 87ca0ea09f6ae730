"""One pure function decides what a policy group does next.

``step`` is used by live evaluation, policy tests and replays alike. It reads no clock and no database,
and everything it remembers is in the :class:`~policies.engine.state.GroupState` it returns, so a restart
between two steps changes nothing.

The rules, in order:

1. ``when`` is evaluated. An ERROR puts the group into ``error``: it starts nothing, ends nothing, and
   breaks the run that ``for`` measures.
2. Missing data follows the policy's ``no_data``: ``ok`` counts as false (and as clear), ``fire`` counts
   as true, ``hold`` leaves a pending or firing group where it is and shows ``no_data`` otherwise.
3. True starts or continues the run. A run at least ``for`` long fires and opens an incident; ``for`` 0
   fires at once.
4. False ends a pending run. A firing group resolves when ``clear`` holds (without ``clear``: as soon as
   ``when`` is false) and ``keep_firing_for`` has passed since ``when`` last held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from custodes.kernel.errors import InvalidInputError
from policies.engine.state import GroupState
from policies.rules.compile import ActionSpec, CompiledPolicy
from policies.rules.document import StateName
from policies.rules.duration import duration_to_text
from policies.rules.expression import Outcome, Truth

_HOLDS = "when holds"
_TRUE = Outcome(Truth.TRUE)


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of a group's displayed state, with the reason in words."""

    from_state: StateName
    to_state: StateName
    at_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """An incident begins."""

    kind: Literal["open_incident"] = "open_incident"


@dataclass(frozen=True, slots=True)
class ResolveIncident:
    """The open incident ends."""

    kind: Literal["resolve_incident"] = "resolve_incident"


@dataclass(frozen=True, slots=True)
class Notify:
    """An event goes to a webhook endpoint."""

    endpoint: str
    event: Literal["incident.opened", "incident.resolved"]
    kind: Literal["notify"] = "notify"


@dataclass(frozen=True, slots=True)
class ProposeAction:
    """A guarded action is due; its ``action.mode`` says who may decide. The engine never acts itself."""

    action: ActionSpec
    kind: Literal["propose_action"] = "propose_action"


Intent = OpenIncident | ResolveIncident | Notify | ProposeAction


class StepResult(NamedTuple):
    """The state after the step, at most one transition, and what should happen because of it.

    ``truth`` is what ``when`` gave, before ``no_data`` was applied to it: what tallies count.
    """

    state: GroupState
    transitions: tuple[Transition, ...] = ()
    intents: tuple[Intent, ...] = ()
    truth: Truth = Truth.FALSE


def step(policy: CompiledPolicy, state: GroupState, now_ns: int, values: Mapping[str, float | None]) -> StepResult:
    """Return what one evaluation at ``now_ns`` does to one group.

    ``values`` maps signal names to numbers; ``None``, absent and non-finite values are missing data.
    Deterministic and free of side effects. Raises ``InvalidInputError`` when ``now_ns`` is not after the
    last change of state, because time running backwards would shorten ``for``.
    """
    if state.since_ns is not None and now_ns <= state.since_ns:
        raise InvalidInputError(f"policy {policy.id!r} already changed at {state.since_ns}; {now_ns} is not later")
    when = policy.engine.evaluate(policy.when, values)
    truth = when.truth
    if truth is Truth.NO_DATA and policy.no_data != "hold":
        truth = Truth.FALSE if policy.no_data == "ok" else Truth.TRUE
    if truth is Truth.TRUE:
        return _on_true(policy, state, now_ns, when)
    if truth is Truth.FALSE:
        return _on_false(policy, state, now_ns, when, values)
    if truth is Truth.NO_DATA:
        return _on_hold(state, now_ns, when)
    return _on_error(state, now_ns, when)


def retire(notified: Sequence[str], state: GroupState, now_ns: int, reason: str) -> StepResult:
    """Return what the end of a policy version does to one group: an open incident resolves, with the reason.

    ``notified`` are the endpoints that were told of its opening. The policy itself is not needed, so that one that
    no longer compiles can end too.

    A newer version starts afresh and opens its own incident if it fires; nothing is left open that no
    version watches.
    """
    if state.firing_since_ns is None:
        return StepResult(GroupState("ok", now_ns, None, None, state.last_true_ns))
    ended = state._replace(pending_since_ns=None, firing_since_ns=None)
    told = (Notify(endpoint, "incident.resolved") for endpoint in notified)
    return _enter(ended, "ok", now_ns, reason, Truth.FALSE, (ResolveIncident(), *told))


def firing_intents(policy: CompiledPolicy) -> tuple[Intent, ...]:
    """Return what a group that begins to fire leads to: an incident, messages, and proposals of actions."""
    intents: list[Intent] = [OpenIncident(), *_notifications(policy, "incident.opened")]
    intents += [ProposeAction(action) for action in policy.actions if action.endpoint is None]
    return tuple(intents)


def resolving_intents(policy: CompiledPolicy) -> tuple[Intent, ...]:
    """Return what a group that stops firing leads to."""
    return (ResolveIncident(), *_notifications(policy, "incident.resolved"))


def _on_true(policy: CompiledPolicy, state: GroupState, now_ns: int, when: Outcome) -> StepResult:
    since_ns = now_ns if state.pending_since_ns is None else state.pending_since_ns
    state = GroupState(state.state, state.since_ns, since_ns, state.firing_since_ns, now_ns)
    truth = when.truth
    if state.firing_since_ns is not None:
        return _enter(state, "firing", now_ns, when.reason or _HOLDS, truth)
    if now_ns - since_ns < policy.for_ns:
        if state.state == "pending":
            return StepResult(state, (), (), truth)
        waiting = f"{when.reason or _HOLDS}; waiting {duration_to_text(policy.for_ns)}"
        return _enter(state, "pending", now_ns, waiting, truth)
    reason = when.reason or _HOLDS
    held = f"{reason} for {duration_to_text(now_ns - since_ns)}" if policy.for_ns else reason
    return _enter(state._replace(firing_since_ns=now_ns), "firing", now_ns, held, truth, firing_intents(policy))


def _on_false(
    policy: CompiledPolicy, state: GroupState, now_ns: int, when: Outcome, values: Mapping[str, float | None]
) -> StepResult:
    truth = when.truth
    if state.pending_since_ns is not None:
        state = state._replace(pending_since_ns=None)
    if state.firing_since_ns is None:
        if state.state == "ok" and state.since_ns is not None:
            # What nearly every evaluation comes to.
            return StepResult(state, (), (), truth)
        return _enter(state, "ok", now_ns, when.reason or "when does not hold", truth)
    clear = _TRUE if policy.clear is None else policy.engine.evaluate(policy.clear, values)
    if clear.truth is Truth.ERROR:
        return _on_error(state, now_ns, clear)
    # With ``no_data: ok`` the author has said that silence counts as healthy, for ``clear`` too.
    is_clear = clear.truth is Truth.TRUE or (clear.truth is Truth.NO_DATA and policy.no_data == "ok")
    last_true_ns = state.firing_since_ns if state.last_true_ns is None else state.last_true_ns
    if not is_clear or now_ns - last_true_ns < policy.keep_firing_for_ns:
        return _enter(state, "firing", now_ns, "not clear yet", truth)
    resolved = state._replace(firing_since_ns=None)
    reason = "clear holds" if policy.clear else "when does not hold"
    return _enter(resolved, "ok", now_ns, reason, truth, resolving_intents(policy))


def _on_hold(state: GroupState, now_ns: int, when: Outcome) -> StepResult:
    if state.firing_since_ns is not None:
        return _enter(state, "firing", now_ns, when.reason, when.truth)
    return _enter(state, "no_data" if state.pending_since_ns is None else "pending", now_ns, when.reason, when.truth)


def _on_error(state: GroupState, now_ns: int, outcome: Outcome) -> StepResult:
    return _enter(state._replace(pending_since_ns=None), "error", now_ns, outcome.reason, Truth.ERROR)


def _notifications(
    policy: CompiledPolicy, event: Literal["incident.opened", "incident.resolved"]
) -> tuple[Notify, ...]:
    return tuple(Notify(action.endpoint, event) for action in policy.actions if action.endpoint is not None)


def _enter(
    state: GroupState, name: StateName, now_ns: int, reason: str, truth: Truth, intents: tuple[Intent, ...] = ()
) -> StepResult:
    """Return the state under its new name; a transition only when the name changes."""
    if state.state == name:
        return StepResult(state._replace(since_ns=now_ns) if state.since_ns is None else state, (), intents, truth)
    transition = Transition(state.state, name, now_ns, reason)
    return StepResult(state._replace(state=name, since_ns=now_ns), (transition,), intents, truth)
