"""The tick: every active policy is stepped for every group, and what follows is committed with its state.

One unit of work per policy holds the state, the decisions, the incident changes, the audit events and
the outbox rows, so after a crash either all of them are there or none. Ticks are aligned to whole
minutes; a second tick in the same minute, or in another process, finds its work done and changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from custodes.db import Database, WriteTx
from custodes.kernel.clock import MINUTE_NS
from custodes.kernel.errors import CustodesError, UnavailableError
from policies.effects import Applied, StepContext, apply_step
from policies.engine.state import GroupState
from policies.engine.step import step
from policies.groups import Group
from policies.rules.cel import CelEngine
from policies.rules.compile import CompiledPolicy, compile_policy
from policies.rules.load import parse_source
from policies.signals import SignalValues, empty_values, read_signals
from policies.store import (
    PolicyVersion,
    StoredState,
    find_policy_version,
    list_policy_versions,
    list_states,
    save_states,
)


@dataclass(frozen=True, slots=True)
class PolicyFailure:
    """A policy that could not be evaluated at this tick; its state is unchanged."""

    project_id: str
    policy_id: str
    message: str


@dataclass(slots=True)
class TickReport:
    """What one tick did, for logs and metrics. ``at_ns`` is the aligned time the policies were evaluated at."""

    at_ns: int
    policies: int = 0
    groups: int = 0
    decisions: int = 0
    opened: int = 0
    resolved: int = 0
    messages: int = 0
    failures: list[PolicyFailure] = field(default_factory=list)

    def add(self, applied: Applied) -> None:
        """Count one group."""
        self.groups += 1
        self.decisions += applied.decisions
        self.opened += applied.opened
        self.resolved += applied.resolved
        self.messages += applied.messages


def evaluate_tick(
    db: Database,
    now_ns: int,
    project_id: str | None,
    console_url: str,
    *,
    guard: Callable[[WriteTx], None] | None = None,
) -> TickReport:
    """Evaluate every active policy of one project (``None``: of all) at the last whole minute.

    ``guard`` is called first in every unit of work; what it raises undoes that work. A caller that
    evaluates under a lease checks the lease there, so that a leader that lost it changes nothing.

    A policy that fails is reported and does not stop the others. Raises ``UnavailableError`` when the
    database cannot be used.
    """
    report = TickReport(at_ns=now_ns - now_ns % MINUTE_NS)
    with db.read() as tx:
        active = list_policy_versions(tx, project_id, state="active")
    for version in active:
        try:
            applied = _evaluate_version(db, version, console_url, report.at_ns, guard)
        except UnavailableError:
            raise
        except CustodesError as error:
            report.failures.append(PolicyFailure(version.project_id, version.policy_id, str(error)))
        else:
            report.policies += 1
            for one in applied:
                report.add(one)
    return report


def compile_version(version: PolicyVersion) -> CompiledPolicy:
    """Return the compiled policy of a stored version; raise ``PolicyError`` if it no longer compiles."""
    return compile_policy(parse_source(version.source, f"{version.policy_id}@{version.version}"), CelEngine())


def _evaluate_version(
    db: Database, version: PolicyVersion, console_url: str, at_ns: int, guard: Callable[[WriteTx], None] | None
) -> list[Applied]:
    """Read first and write afterwards: a long window must not keep other writers waiting."""
    policy = compile_version(version)
    with db.read() as tx:
        if _is_done(list_states(tx, version.project_id, version.policy_id, version.version), at_ns):
            return []
        values = read_signals(tx, version.project_id, policy, at_ns)
    with db.write() as tx:
        if guard is not None:
            guard(tx)
        context = StepContext(version.project_id, version.policy_id, version.version, console_url, at_ns, policy)
        return _write_steps(tx, policy, context, values)


def _is_done(states: Sequence[StoredState], at_ns: int) -> bool:
    """Return whether this minute was evaluated; a group whose first scores came late then waits for the next."""
    return any(one.state.evaluated_ns is not None and one.state.evaluated_ns >= at_ns for one in states)


def _write_steps(
    tx: WriteTx, policy: CompiledPolicy, context: StepContext, values: dict[Group, SignalValues]
) -> list[Applied]:
    version = (context.project_id, context.policy_id, context.version)
    # The lock makes evaluators of one policy take turns; the second finds the minute done.
    locked = find_policy_version(tx, *version, lock=True)
    if locked is None or locked.state != "active":
        return []
    states = list_states(tx, *version)
    if _is_done(states, context.now_ns):
        return []
    stored = {one.group: one for one in states}
    nothing = empty_values(policy)
    applied = []
    for group in sorted({*stored, *values}, key=lambda group: group.key):
        before = stored.get(group, StoredState(group, GroupState()))
        seen = values.get(group, nothing)
        result = step(policy, before.state, context.now_ns, seen)
        applied.append(apply_step(tx, context, before, seen, result))
    written = [one.stored for one in applied]
    save_states(tx, *version, written, context.now_ns)
    return applied
