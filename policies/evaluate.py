"""The tick: every policy that is active or in shadow is stepped for every group, and what follows is committed with it.

A unit of work covers some dozens of versions and holds their states, decisions, incident changes, tallies, audit events
and outbox rows, so after a crash either all of them are there or none. Ticks are aligned to whole minutes; a second
tick in the same minute, or in another process, finds its work done and changes nothing.

Before it reads, a tick moves the policy clock in a unit of work of its own: what scoring commits after that is kept
apart from what this minute saw, which is how a back-test can equal it (:mod:`custodes.db.rollup_versions`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from custodes.db import Database, WriteTx
from custodes.db.rollup_versions import advance_policy_clock
from custodes.kernel.clock import HOUR_NS, MINUTE_NS, ns_to_minute
from custodes.kernel.errors import CustodesError, UnavailableError
from policies.conduct import Conduct
from policies.effects import Applied, Step, StepContext, apply_steps
from policies.engine.exchange import quiet
from policies.engine.state import GroupState
from policies.engine.step import step
from policies.groups import Group
from policies.lifecycle import end_expired
from policies.rules.cel import CelEngine
from policies.rules.compile import CompiledPolicy, compile_policy
from policies.rules.expression import Truth
from policies.rules.load import parse_source
from policies.signals import (
    FurtherValues,
    SignalReader,
    SignalValues,
    empty_values,
    has_further,
    reach_of,
    read_further,
    readings_of,
)
from policies.store import (
    WATCHING,
    PolicyVersion,
    StoredState,
    Tally,
    VersionKey,
    add_tallies,
    list_states_of,
    list_watching,
    load_versions,
    mark_evaluated,
    save_states,
)
from policies.tending import tend_incidents

VERSIONS_AT_ONCE = 50
Guard = Callable[[WriteTx], None]
Values = Mapping[Group, SignalValues]


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
    no_data: int = 0
    errors: int = 0
    decisions: int = 0
    opened: int = 0
    resolved: int = 0
    messages: int = 0
    failures: list[PolicyFailure] = field(default_factory=list)

    def add(self, applied: Applied, tally: Tally) -> None:
        """Count one version."""
        self.policies += 1
        self.groups += tally.evaluations
        self.no_data += tally.no_data
        self.errors += tally.errors
        self.decisions += applied.decisions
        self.opened += applied.opened
        self.resolved += applied.resolved
        self.messages += applied.messages


class Evaluator:
    """Evaluates policies minute by minute, keeping what need not be read or compiled again. Use from one thread.

    Nothing depends on what it keeps: another one, or the same after a restart, decides the same.
    """

    def __init__(self, db: Database, conduct: Conduct) -> None:
        self._db = db
        self._conduct = conduct
        self._compiled: dict[VersionKey, CompiledPolicy | str] = {}
        self._readers: dict[str, SignalReader] = {}

    def tick(self, now_ns: int, project_id: str | None = None, guard: Guard | None = None) -> TickReport:
        """Evaluate every watched policy of one project (``None``: of all) at the last whole minute.

        ``guard`` is called first in every unit of work; what it raises undoes that work. A caller that
        evaluates under a lease checks the lease there, so that a leader that lost it changes nothing.

        A policy that fails is reported and does not stop the others. Raises ``UnavailableError`` when the
        database cannot be used.
        """
        report = TickReport(at_ns=now_ns - now_ns % MINUTE_NS)
        with self._write(guard) as tx:
            end_expired(tx, project_id, self._conduct, now_ns)
        due = self._read_due(project_id, report)
        if due:
            usable = [policy for policy in due.values() if not isinstance(policy, str)]
            with self._write(guard) as tx:
                advance_policy_clock(tx, ns_to_minute(report.at_ns), reach_of(usable))
            further = self._advance_readers(due, report.at_ns)
            keys = sorted(key for key, policy in due.items() if not isinstance(policy, str))
            for start in range(0, len(keys), VERSIONS_AT_ONCE):
                some = keys[start : start + VERSIONS_AT_ONCE]
                self._step_some(some, self._read_values(some, further), report, guard)
        active = {key: found for key, found in self._compiled.items() if not isinstance(found, str)}
        with self._write(guard) as tx:
            report.messages += tend_incidents(tx, project_id, active, self._conduct, now_ns)
        return report

    @contextmanager
    def _write(self, guard: Guard | None) -> Iterator[WriteTx]:
        with self._db.write() as tx:
            if guard is not None:
                guard(tx)
            yield tx

    def _read_due(self, project_id: str | None, report: TickReport) -> dict[VersionKey, CompiledPolicy | str]:
        """Return the versions this minute has not been evaluated for, compiled or with the reason why they are not."""
        with self._db.read() as tx:
            watching = list_watching(tx, project_id)
            unknown = [key for key, _ in watching if key not in self._compiled]
            fresh = load_versions(tx, unknown)
        for version in fresh:
            self._compiled[version.key] = _compile_or_say_why(version)
        keys = {key for key, _ in watching}
        self._compiled = {
            key: found
            for key, found in self._compiled.items()
            if key in keys or (project_id is not None and key[0] != project_id)
        }
        due: dict[VersionKey, CompiledPolicy | str] = {}
        for key, evaluated_ns in watching:
            found = self._compiled.get(key)
            if found is None or (evaluated_ns is not None and evaluated_ns >= report.at_ns):
                continue
            due[key] = found
            if isinstance(found, str):
                report.failures.append(PolicyFailure(key[0], key[1], found))
        return due

    def _advance_readers(
        self, due: Mapping[VersionKey, CompiledPolicy | str], at_ns: int
    ) -> dict[VersionKey, FurtherValues]:
        """Bring all windows to ``at_ns``, and return what policies read besides.

        All reading comes before any writing: a long window must not keep other writers waiting.
        """
        by_project: dict[str, dict[VersionKey, CompiledPolicy]] = defaultdict(dict)
        for key, policy in due.items():
            if not isinstance(policy, str) and policy.kind == "Policy":
                by_project[key[0]][key] = policy
        further: dict[VersionKey, FurtherValues] = {}
        for project, policies in by_project.items():
            reader = self._readers.setdefault(project, SignalReader(project))
            with self._db.read() as tx:
                reader.advance(tx, readings_of(policies.values()), at_ns)
                for key, policy in policies.items():
                    if has_further(policy):
                        further[key] = read_further(tx, project, policy, at_ns)
        return further

    def _read_values(
        self, keys: Sequence[VersionKey], further: Mapping[VersionKey, FurtherValues]
    ) -> dict[VersionKey, Values]:
        """Return the values of some versions' groups, from the windows in memory."""
        values: dict[VersionKey, Values] = {}
        for key in keys:
            policy = self._compiled[key]
            if not isinstance(policy, str) and policy.kind == "Policy":
                values[key] = self._readers[key[0]].read(policy, further.get(key))
        return values

    def _step_some(
        self, keys: Sequence[VersionKey], values: Mapping[VersionKey, Values], report: TickReport, guard: Guard | None
    ) -> None:
        """Step some versions in one unit of work; should one of them fail, each in one of its own."""
        try:
            done = self._step_together(keys, values, report.at_ns, guard)
        except UnavailableError:
            raise
        except CustodesError as error:
            if len(keys) == 1:
                report.failures.append(PolicyFailure(keys[0][0], keys[0][1], str(error)))
                return
            for key in keys:
                self._step_some([key], values, report, guard)
            return
        for applied, tally in done:
            report.add(applied, tally)

    def _step_together(
        self, keys: Sequence[VersionKey], values: Mapping[VersionKey, Values], at_ns: int, guard: Guard | None
    ) -> list[tuple[Applied, Tally]]:
        done: list[tuple[Applied, Tally]] = []
        with self._write(guard) as tx:
            # The lock makes evaluators take turns; the second finds the minute done.
            locked = [
                one
                for one in load_versions(tx, keys, lock=True)
                if one.state in WATCHING
                and one.begun_ns <= at_ns
                and (one.evaluated_ns is None or one.evaluated_ns < at_ns)
            ]
            states = list_states_of(tx, [version.key for version in locked])
            for version in locked:
                policy = self._compiled[version.key]
                if not isinstance(policy, str):
                    stored = {one.group: one for one in states[version.key]}
                    seen = values.get(version.key, {})
                    done.append(self._step_version(tx, version, policy, stored, seen, at_ns))
            mark_evaluated(tx, [version.key for version in locked], at_ns)
            add_tallies(tx, [tally for _, tally in done])
        return done

    def _step_version(
        self,
        tx: WriteTx,
        version: PolicyVersion,
        policy: CompiledPolicy,
        stored: Mapping[Group, StoredState],
        values: Values,
        at_ns: int,
    ) -> tuple[Applied, Tally]:
        steps = step_groups(policy, stored, values, at_ns)
        context = StepContext(*version.key, self._conduct, at_ns, policy, version.mode)
        applied = apply_steps(tx, context, steps)
        changed = [one for one in applied.states if stored.get(one.group) != one]
        save_states(tx, *version.key, changed, at_ns)
        return applied, tally_steps(version.key, steps, at_ns, is_windowed=policy.kind == "Policy")


def evaluate_tick(
    db: Database, now_ns: int, project_id: str | None, conduct: Conduct, *, guard: Guard | None = None
) -> TickReport:
    """Evaluate once as :meth:`Evaluator.tick` does, keeping nothing."""
    return Evaluator(db, conduct).tick(now_ns, project_id, guard)


def step_groups(policy: CompiledPolicy, stored: Mapping[Group, StoredState], values: Values, at_ns: int) -> list[Step]:
    """Return the step of every group that has a state or values, in the order of their keys. Pure."""
    steps = []
    nothing = empty_values(policy)
    for group in sorted({*stored, *values}, key=lambda group: group.key):
        before = stored.get(group, StoredState(group, GroupState()))
        seen = values.get(group, nothing)
        result = (
            step(policy, before.state, at_ns, seen) if policy.kind == "Policy" else quiet(policy, before.state, at_ns)
        )
        steps.append(Step(before, seen, result))
    return steps


def tally_steps(key: VersionKey, steps: Sequence[Step], at_ns: int, *, is_windowed: bool) -> Tally:
    """Return what the steps of one minute add to the hour's tally.

    Of an ``ExchangePolicy`` the tick only proves that the minute was looked after; scoring counts its exchanges.
    """
    hour, rest_ns = divmod(at_ns, HOUR_NS)
    truths = [one.result.truth for one in steps] if is_windowed else []
    return Tally(
        *key,
        hour,
        minutes=1 << (rest_ns // MINUTE_NS),
        evaluations=len(truths),
        no_data=truths.count(Truth.NO_DATA),
        errors=truths.count(Truth.ERROR),
        firings=sum(t.to_state == "firing" for one in steps for t in one.result.transitions) if is_windowed else 0,
    )


def compile_version(version: PolicyVersion) -> CompiledPolicy:
    """Return the compiled policy of a stored version; raise ``PolicyError`` if it no longer compiles."""
    return compile_policy(parse_source(version.source, f"{version.policy_id}@{version.version}"), CelEngine())


def _compile_or_say_why(version: PolicyVersion) -> CompiledPolicy | str:
    try:
        return compile_version(version)
    except CustodesError as error:
        return str(error)
