"""The worker that moves actions on, one step and one unit of work at a time, so that it can die between any two.

What it is about to do is written down, and under a signed checkpoint, before it does it. Another process that takes
over finds an action as it stands and goes on: planning and looking change nothing; sending looks first. The caller's
``guard`` is checked in every unit of work, so a process that lost its lease writes nothing, and an action that is being
sent is left alone by others until the longest call is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from custodes.db import Database, ReadTx, WriteTx
from custodes.kernel.clock import HOUR_NS, MINUTE_NS, SECOND_NS, ns_to_minute
from custodes.kernel.errors import ConflictError, CustodesError, UnavailableError
from policies.actions.action import ENDED, Action, ActionState, advance, approve, touch
from policies.actions.adapters import Adapter, Done, Order, Plan, Refused, Result, TryLater, Waiting
from policies.actions.evidence import take_evidence
from policies.actions.gates import ActionRules, choose_version, reason_against, reason_to_ask
from policies.actions.store import (
    insert_evidence,
    list_due_actions,
    lock_action,
    lock_gates,
    read_facts,
    read_left,
    update_action,
)
from policies.actions.telling import escalate_incident_of, news_of_sending, tell
from policies.actions.traces import ENGINE, WORKER, leave_trace
from policies.actions.traffic_store import read_share
from policies.actions.verification import Look, Measure, look
from policies.audit.errors import AuditError
from policies.evaluate import compile_version
from policies.groups import key_to_group
from policies.rules.compile import CompiledPolicy
from policies.store import find_policy_version

Guard = Callable[[WriteTx], None]
FindAdapter = Callable[[Action], Adapter | None]
Confirm = Callable[[int], None]
"""A function that returns once an audit event is under a signed checkpoint; raises ``AuditError`` otherwise."""

LOOK_EVERY_NS = 15 * SECOND_NS
POLL_NS = 10 * SECOND_NS
MOST_PLANS = 10
MOST_STEPS = 12
_SLACK_NS = 15 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Tools:
    """What the worker uses. ``call_ns`` is the longest time one call to an adapter takes."""

    find_adapter: FindAdapter
    measure: Measure
    confirm: Confirm
    rules: ActionRules
    console_url: str
    alpha: float = 0.05
    call_ns: int = MINUTE_NS


@dataclass(slots=True)
class WorkReport:
    """What one round did, for logs and metrics: how many actions entered each state, and what could not be done."""

    steps: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class ActionWorker:
    """Moves actions on. Keeps nothing: another one, or the same after a crash, goes on where this one stopped."""

    def __init__(self, db: Database, tools: Tools, clock: Callable[[], int]) -> None:
        self._db = db
        self._tools = tools
        self._clock = clock

    def run(self, guard: Guard | None = None) -> WorkReport:
        """Move every due action as far as it goes now; one that fails does not keep the others.

        Raises ``UnavailableError`` when the database cannot be used.
        """
        report = WorkReport()
        check = guard or (lambda _: None)
        with self._db.read() as tx:
            due = list_due_actions(tx, self._clock())
        for action in due:
            current: Action | None = action
            for _ in range(MOST_STEPS):
                if current is None or current.state in ENDED or not _is_due(current, self._clock()):
                    break
                current = self._step(current, check, report)
        return report

    def _step(self, action: Action, guard: Guard, report: WorkReport) -> Action | None:
        """Take one step; return the action after it, ``None`` when somebody else is at it or it cannot go on."""
        before = action.state
        try:
            moved = _STEPS[before](self, action, guard)
        except ConflictError as error:
            # Somebody else was faster, the lease is gone, or the database refused the step: all of them end our part.
            report.problems.append(f"{action.id}: {error}")
            return None
        except UnavailableError:
            raise
        except AuditError as error:
            report.problems.append(f"{action.id}: the audit log cannot be written, so nothing was sent: {error}")
            return None
        except CustodesError as error:
            report.problems.append(f"{action.id}: {error}")
            return self._give_up(action, guard, str(error))
        if moved is not None and moved.state != before:
            report.steps[moved.state] = report.steps.get(moved.state, 0) + 1
        return moved

    # Before anybody has agreed

    def _propose(self, action: Action, guard: Guard) -> Action | None:
        if action.planned_ns is not None:
            return self._change(action, guard, lambda _: advance(action, "cancelled", self._clock(), _NOBODY))
        adapter = self._tools.find_adapter(action)
        plan = _unusable(action) if adapter is None else adapter.plan(action.target)
        if isinstance(plan, Refused):
            return self._end(action, guard, "failed", plan.reason)
        if isinstance(plan, TryLater):
            if action.attempts + 1 >= MOST_PLANS:
                return self._end(action, guard, "failed", f"it could not be planned: {plan.reason}")
            return self._wait(action, guard, plan.reason, attempts=action.attempts + 1)
        return self._plan(action, plan, guard)

    def _plan(self, action: Action, plan: Plan, guard: Guard) -> Action | None:
        rules, now_ns = self._tools.rules, self._clock()
        with self._db.write() as tx:
            guard(tx)
            lock_gates(tx)
            found = self._same(tx, action)
            left = read_left(tx, action.target_key, now_ns - rules.avoid_ns)
            chosen = choose_version(plan.candidates, plan.from_version, left)
            if plan.has_versions and chosen is None:
                names = ", ".join(plan.candidates) or "none"
                failed = advance(found, "failed", now_ns, f"no known good version is left to go to (known: {names})")
                return self._store(tx, failed, escalates=True)
            labels = dict(key_to_group(found.group_key).labels)
            minutes = (ns_to_minute(now_ns - HOUR_NS), ns_to_minute(now_ns))
            # What people ask for names no group of the traffic.
            share = read_share(tx, found.project_id, labels, *minutes) if found.incident_id else None
            planned = touch(
                found,
                now_ns,
                planned_ns=now_ns,
                from_version=plan.from_version,
                to_version=chosen,
                deployment=(plan.deployments or {}).get(chosen or ""),
                traffic_share=share,
                share_cap=rules.max_share,
                attempts=0,
                reason="",
                next_ns=found.created_ns + rules.proposal_ns,
            )
            update_action(tx, planned)
            leave_trace(tx, planned, "planned", WORKER, now_ns, {"traffic_share": share})
            if planned.mode != "auto":
                tell(tx, planned, "action.proposed", self._tools.console_url, now_ns)
                return planned
            return self._decide_alone(tx, planned, now_ns)

    def _decide_alone(self, tx: WriteTx, action: Action, now_ns: int) -> Action:
        """Approve an action of mode ``auto``, or leave it to people with the reason why."""
        rules = self._tools.rules
        facts = read_facts(tx, action, rules, now_ns)
        held = reason_to_ask(action, facts, rules) or reason_against(action, facts, rules, now_ns)
        if held is not None:
            waiting = touch(action, now_ns, reason=f"a person has to decide: {held}"[:1000])
            update_action(tx, waiting)
            leave_trace(tx, waiting, "held", ENGINE, now_ns)
            tell(tx, waiting, "action.proposed", self._tools.console_url, now_ns)
            return waiting
        approved = approve(action, ENGINE.name, now_ns)
        update_action(tx, approved)
        leave_trace(tx, approved, "approved", ENGINE, now_ns, {"automatic": True})
        return approved

    # Acting

    def _take_evidence(self, action: Action, guard: Guard) -> Action | None:
        now_ns = self._clock()
        with self._db.write() as tx:
            guard(tx)
            found = self._same(tx, action)
            body = take_evidence(tx, found, _policy_of(tx, found), now_ns)
            digest = insert_evidence(tx, found.id, body, now_ns)
            taken = advance(found, "snapshot", now_ns, evidence_digest=digest, next_ns=now_ns)
            update_action(tx, taken)
            leave_trace(tx, taken, "snapshot", WORKER, now_ns, {"sha256": digest, "bytes": len(body)})
            return taken

    def _begin_sending(self, action: Action, guard: Guard) -> Action | None:
        now_ns = self._clock()
        with self._db.write() as tx:
            guard(tx)
            sent = advance(self._same(tx, action), "sent", now_ns, attempts=0, next_ns=now_ns)
            update_action(tx, sent)
            said = {"idempotency_key": sent.idempotency_key, "evidence": sent.evidence_digest}
            leave_trace(tx, sent, "sent", WORKER, now_ns, said)
            tell(tx, sent, news_of_sending(sent), self._tools.console_url, now_ns)
            return sent

    def _send(self, action: Action, guard: Guard) -> Action | None:
        adapter = self._tools.find_adapter(action)
        if adapter is None:
            return self._end(action, guard, "failed", _unusable(action).reason)
        now_ns = self._clock()
        with self._db.write() as tx:
            guard(tx)
            found = self._same(tx, action)
            claimed = touch(
                found, now_ns, attempts=found.attempts + 1, next_ns=now_ns + self._tools.call_ns + _SLACK_NS
            )
            update_action(tx, claimed)
            intake_id = None
            if claimed.external_id is None:
                intake_id = leave_trace(tx, claimed, "attempted", WORKER, now_ns, {"attempt": claimed.attempts})
        if intake_id is not None:
            # Nothing is attempted before the log has it under a signed checkpoint.
            self._tools.confirm(intake_id)
        if self._clock() - now_ns > _SLACK_NS:
            return None  # We were away for so long that somebody else may have taken over.
        order = _order_of(claimed, self._clock())
        result = adapter.look(order) if claimed.external_id is not None else adapter.send(order)
        return self._take_result(claimed, result, guard)

    def _take_result(self, action: Action, result: Result, guard: Guard) -> Action | None:
        now_ns = self._clock()
        if isinstance(result, Done):
            external = result.external_id or action.external_id
            with self._db.write() as tx:
                guard(tx)
                done = advance(
                    self._same(tx, action), "acknowledged", now_ns, result.detail, external_id=external, next_ns=now_ns
                )
                update_action(tx, done)
                leave_trace(tx, done, "acknowledged", WORKER, now_ns)
                return done
        if isinstance(result, Refused):
            return self._end(action, guard, "failed", result.reason)
        if now_ns >= (action.sent_ns or now_ns) + self._tools.rules.acknowledge_ns:
            words = result.reason if isinstance(result, TryLater) else result.detail
            return self._end(action, guard, "failed", f"nobody said in time what became of it: {words}")
        if isinstance(result, Waiting):
            return self._wait(action, guard, result.detail, external_id=result.external_id or action.external_id)
        return self._wait(action, guard, result.reason)

    # Afterwards

    def _begin_verifying(self, action: Action, guard: Guard) -> Action | None:
        verify, now_ns = action.written.verify, self._clock()
        if verify is None:
            return self._end(action, guard, "inconclusive", "the policy asks for no verification", escalates=False)
        from_ns = (action.acknowledged_ns or now_ns) + verify.after_ns
        with self._db.write() as tx:
            guard(tx)
            begun = advance(
                self._same(tx, action),
                "verifying",
                now_ns,
                verify_from_ns=from_ns,
                verify_until_ns=from_ns + verify.within_ns,
                next_ns=from_ns + MINUTE_NS,
            )
            update_action(tx, begun)
            leave_trace(tx, begun, "verifying", WORKER, now_ns, {"expr": verify.expr, "deployment": begun.deployment})
            return begun

    def _verify(self, action: Action, guard: Guard) -> Action | None:
        verify, now_ns = action.written.verify, self._clock()
        with self._db.read() as tx:
            policy = _policy_of(tx, action)
            if policy is None or verify is None:
                seen = Look("inconclusive", "the policy that asked for it can no longer be read", {})
            else:
                seen = look(tx, action, verify, policy, self._tools.measure, self._tools.alpha, now_ns)
        if seen.verdict is None:
            last_ns = max(now_ns + 1, action.verify_until_ns or now_ns)
            return self._wait(
                action, guard, seen.reason, finding=dict(seen.finding), next_ns=min(now_ns + LOOK_EVERY_NS, last_ns)
            )
        verdict: ActionState = seen.verdict
        return self._end(action, guard, verdict, seen.reason, escalates=verdict != "helped", finding=dict(seen.finding))

    # Writing

    def _same(self, tx: WriteTx, action: Action) -> Action:
        """Return the action, locked; raise ``ConflictError`` when it is not the one that was looked at."""
        found = lock_action(tx, action.id)
        if found is None or found.revision != action.revision:
            raise ConflictError(f"action {action.id} changed meanwhile")
        return found

    def _change(self, action: Action, guard: Guard, change: Callable[[Action], Action]) -> Action:
        with self._db.write() as tx:
            guard(tx)
            return self._store(tx, change(self._same(tx, action)), escalates=False)

    def _end(
        self, action: Action, guard: Guard, state: ActionState, reason: str, *, escalates: bool = True, **more: object
    ) -> Action:
        with self._db.write() as tx:
            guard(tx)
            return self._store(
                tx, advance(self._same(tx, action), state, self._clock(), reason, **more), escalates=escalates
            )

    def _store(self, tx: WriteTx, ended: Action, *, escalates: bool) -> Action:
        update_action(tx, ended)
        body = {} if ended.finding is None else {"finding": dict(ended.finding)}
        leave_trace(tx, ended, ended.state, WORKER, ended.updated_ns, body)
        if ended.sent_ns is not None:
            tell(tx, ended, "action.verified", self._tools.console_url, ended.updated_ns)
        if escalates:
            escalate_incident_of(tx, ended, self._tools.console_url, ended.updated_ns)
        return ended

    def _wait(self, action: Action, guard: Guard, reason: str, **changes: object) -> Action:
        """Note why nothing can be done yet, and when to look again; only a change of reason is an event."""
        now_ns = self._clock()
        with self._db.write() as tx:
            guard(tx)
            found = self._same(tx, action)
            backoff_ns = min(POLL_NS * max(1, found.attempts), 5 * MINUTE_NS)
            waiting = touch(found, now_ns, **{"reason": reason[:1000], "next_ns": now_ns + backoff_ns, **changes})
            update_action(tx, waiting)
            if found.reason != waiting.reason and found.state != "verifying":
                leave_trace(tx, waiting, "waiting", WORKER, now_ns)
            return waiting

    def _give_up(self, action: Action, guard: Guard, reason: str) -> Action | None:
        """End an action that cannot go on because of what is stored, e.g. a policy that no longer reads."""
        state: ActionState = "inconclusive" if action.state == "verifying" else "failed"
        try:
            return self._end(action, guard, state, reason)
        except ConflictError:
            return None


_NOBODY = "nobody decided in time"
_STEPS: Mapping[str, Callable[[ActionWorker, Action, Guard], Action | None]] = {
    "proposed": ActionWorker._propose,
    "approved": ActionWorker._take_evidence,
    "snapshot": ActionWorker._begin_sending,
    "sent": ActionWorker._send,
    "acknowledged": ActionWorker._begin_verifying,
    "verifying": ActionWorker._verify,
}


def _is_due(action: Action, now_ns: int) -> bool:
    return action.next_ns is not None and action.next_ns <= now_ns


def _unusable(action: Action) -> Refused:
    name = action.target.get("connection", action.adapter)
    return Refused(
        f"project {action.project_id} has no connection {name!r} of kind {action.adapter}; "
        "see CUSTODES_ACTION__CONNECTIONS_FILE"
    )


def _policy_of(tx: ReadTx, action: Action) -> CompiledPolicy | None:
    version = find_policy_version(tx, action.project_id, action.policy_id, action.version)
    return None if version is None else compile_version(version)


def _order_of(action: Action, now_ns: int) -> Order:
    sent_ns = action.sent_ns or now_ns
    return Order(
        action_id=action.id,
        project_id=action.project_id,
        target=action.target,
        from_version=action.from_version,
        to_version=action.to_version,
        sent_ns=sent_ns,
        again=action.attempts > 1,
        facts={
            "kind": action.kind,
            "incident_id": action.incident_id,
            "policy_id": action.policy_id,
            "policy_version": action.version,
            "deployment": action.deployment,
            "waited_ns": now_ns - sent_ns,
        },
        external_id=action.external_id,
    )
