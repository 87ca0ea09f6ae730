"""The life of a policy version: draft → back-tested, in shadow → approved by somebody else → active → retired.

What may follow what is decided here and nowhere else, each step in one unit of work with its audit event. Its intake
number is returned, so that the caller can answer only after the event is inside a signed checkpoint.

Break-glass is the way past review when a rule is needed now: one approver who is not its author activates it at once,
and it ends after 24 hours, with the version before coming back, unless somebody else ratifies it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from custodes.db import Database, WriteTx
from custodes.kernel.clock import HOUR_NS, ns_to_rfc3339
from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError, StaleError
from custodes.kernel.ids import new_uuid7
from policies.actors import Actor, record
from policies.approval_store import (
    Approval,
    StoredBacktest,
    Verdict,
    insert_approval,
    insert_backtest,
    list_approvals,
    policy_subject,
)
from policies.check import require_tested
from policies.conduct import STRICT, Conduct, Review
from policies.decision_store import list_notified
from policies.effects import Step, StepContext, apply_steps
from policies.engine.step import retire
from policies.store import (
    PolicyVersion,
    VersionState,
    delete_states,
    find_policy_version,
    insert_policy_version,
    list_expired,
    list_policy_versions,
    list_states,
    lock_policy,
    require_policy_version,
    update_version,
)

BREAK_GLASS_NS = 24 * HOUR_NS
ENGINE = Actor("policy-engine", "system")
_IN_REVIEW: frozenset[VersionState] = frozenset({"draft", "shadow", "approved"})


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A policy version after a change. ``intake_id`` is ``None`` when nothing had to change."""

    version: PolicyVersion
    intake_id: int | None


def submit_policy(
    db: Database,
    *,
    project_id: str,
    text: str,
    filename: str,
    actor: Actor,
    now_ns: int,
    review: Review = STRICT,
    origin: Mapping[str, str] | None = None,
) -> PolicyChange:
    """Store a policy that passes lint and its own tests as a draft, and return it.

    Submitting the same document again changes nothing. Raises ``PolicyError`` with every finding
    otherwise, also for a policy without tests, and ``ConflictError`` where policies come from a repository only.
    """
    if review.read_only and (origin is None or actor.name not in review.gitops_actors):
        raise ConflictError(
            "policies are read-only here: change the file in its repository, and custodes policy submit brings it over"
        )
    checked = require_tested(text, filename)
    draft = PolicyVersion(
        project_id,
        checked.policy.id,
        checked.policy.version,
        text,
        "draft",
        actor.name,
        now_ns,
        kind=checked.policy.kind,
        origin=origin,
    )
    with db.write() as tx:
        existing = find_policy_version(tx, *draft.key, lock=True)
        if existing is not None:
            return PolicyChange(existing, None)
        insert_policy_version(tx, draft)
        data = {} if origin is None else {"origin": dict(origin)}
        return PolicyChange(draft, _audit(tx, "policy.submitted", draft, actor, now_ns, **data))


def attach_backtest(
    db: Database,
    *,
    project_id: str,
    policy_id: str,
    version: str,
    from_ns: int,
    to_ns: int,
    report: Mapping[str, Any],
    actor: Actor,
    now_ns: int,
) -> PolicyChange:
    """Attach a back-test for reviewers to see; a draft thereby goes into shadow.

    Raises ``NotFoundError`` for an unknown version and ``ConflictError`` for one that is not in review.
    """
    with db.write() as tx:
        found = require_policy_version(tx, project_id, policy_id, version, lock=True)
        if found.state not in _IN_REVIEW:
            raise ConflictError(f"version {version} is {found.state}; a back-test is attached to one in review")
        made = StoredBacktest(new_uuid7(now_ns), found.key, from_ns, to_ns, now_ns, actor.name, report)
        insert_backtest(tx, made)
        changes: dict[str, Any] = {"backtest_id": made.id}
        if found.state == "draft":
            changes |= {"state": "shadow", "shadow_ns": now_ns}
        changed = _update(tx, found, **changes)
        data = {"backtest": made.id, "from": ns_to_rfc3339(from_ns), "to": ns_to_rfc3339(to_ns), "state": changed.state}
        return PolicyChange(changed, _audit(tx, "policy.backtested", changed, actor, now_ns, **data))


def judge_policy(
    db: Database,
    *,
    project_id: str,
    policy_id: str,
    version: str,
    verdict: Verdict,
    comment: str,
    actor: Actor,
    now_ns: int,
    conduct: Conduct,
    review: Review = STRICT,
    expected: int | None = None,
) -> PolicyChange:
    """Record what ``actor`` says of a version: approve, reject, or break the glass and activate it now.

    A version becomes approved with as many approvals of different people, none of them its author, as it needs: one,
    or two when an action of it may act by itself. A version activated by break-glass is ratified by approving it.
    Raises ``ConflictError`` when the state, or the four-eyes rule, forbids it.
    """
    if verdict != "approved" and len(comment.strip()) < 10:
        raise InvalidInputError("say why, in 10 characters or more")
    with db.write() as tx:
        versions = {one.version: one for one in lock_policy(tx, project_id, policy_id)}
        found = versions.get(version) or require_policy_version(tx, project_id, policy_id, version)
        _require_revision(found, expected)
        waived = actor.waived or not review.four_eyes
        if actor.name == found.author and not waived and verdict != "rejected":
            raise ConflictError(f"{actor.name} wrote this version; somebody else has to approve it")
        _require_judgeable(found, verdict, review, now_ns, waived=actor.waived)
        given = Approval(
            new_uuid7(now_ns),
            project_id,
            "policy",
            policy_subject(found.key),
            found.author,
            actor.name,
            verdict,
            comment.strip(),
            now_ns,
            # Taking one's own version back harms nobody.
            waived=actor.name == found.author,
        )
        _insert_once(tx, given)
        data: dict[str, Any] = {"comment": given.comment} | ({"waived": True} if given.waived else {})
        if verdict == "rejected":
            changed = _update(tx, found, state="rejected", retired_ns=now_ns)
            return PolicyChange(changed, _audit(tx, "policy.rejected", changed, actor, now_ns, **data))
        if verdict == "break_glass":
            expires_ns = now_ns + BREAK_GLASS_NS
            changed = _make_active(tx, versions, found, actor, now_ns, conduct, expires_ns)
            data["expires_at"] = ns_to_rfc3339(expires_ns)
            return PolicyChange(changed, _audit(tx, "policy.break_glass", changed, actor, now_ns, **data))
        needed = approvals_needed(found.source) if review.four_eyes else 1
        return _count_approvals(tx, found, needed, actor, now_ns, data)


def activate_policy(
    db: Database,
    *,
    project_id: str,
    policy_id: str,
    version: str,
    actor: Actor,
    now_ns: int,
    conduct: Conduct,
    expected: int | None = None,
) -> PolicyChange:
    """Make an approved version the active one and retire the version that was active before.

    Incidents of the retired version resolve with that reason; the new version starts with fresh state.
    Activating the active version changes nothing. Raises ``NotFoundError`` for an unknown version,
    ``ConflictError`` for one that is not approved and
    ``PolicyError`` when the stored version no longer passes lint and its tests.
    """
    with db.write() as tx:
        versions = {one.version: one for one in lock_policy(tx, project_id, policy_id)}
        chosen = versions.get(version) or require_policy_version(tx, project_id, policy_id, version)
        _require_revision(chosen, expected)
        if chosen.state == "active":
            return PolicyChange(chosen, None)
        data = {}
        if chosen.state != "approved" and not _was_approved(tx, chosen):
            if not actor.waived:
                raise ConflictError(f"version {version} of {policy_id!r} is {chosen.state}; {missing_steps(chosen)}")
            data["waived"] = True
        require_tested(chosen.source, f"{policy_id}@{version}")
        changed = _make_active(tx, versions, chosen, actor, now_ns, conduct, None)
        return PolicyChange(changed, _audit(tx, "policy.activated", changed, actor, now_ns, **data))


def retire_policy(
    db: Database, *, project_id: str, policy_id: str, actor: Actor, now_ns: int, conduct: Conduct
) -> PolicyChange:
    """Stop evaluating a policy; its open incidents resolve, also when the version no longer compiles.

    Raises ``NotFoundError`` for an unknown policy and ``ConflictError`` when no version of it is active.
    """
    with db.write() as tx:
        versions = lock_policy(tx, project_id, policy_id)
        if not versions:
            raise NotFoundError(f"there is no policy {policy_id!r}; see custodes policy list")
        active = [one for one in versions if one.state == "active"]
        if not active:
            raise ConflictError(f"policy {policy_id!r} has no active version to retire")
        return PolicyChange(*_retire(tx, active[0], actor, now_ns, conduct, "the policy was retired"))


def end_expired(tx: WriteTx, project_id: str | None, conduct: Conduct, now_ns: int) -> int:
    """End every version activated by break-glass that nobody ratified in time; return how many there were.

    The version it had replaced becomes active again, unless somebody has activated another one meanwhile.
    """
    ended = list_expired(tx, project_id, now_ns)
    for version in ended:
        _retire(tx, version, ENGINE, now_ns, conduct, "break-glass ended without being ratified", "policy.expired")
        before = (
            None
            if version.replaces is None
            else find_policy_version(tx, version.project_id, version.policy_id, version.replaces, lock=True)
        )
        if before is not None and before.state == "retired":
            delete_states(tx, *before.key)
            changed = _update(tx, before, state="active", activated_ns=now_ns, retired_ns=None, expires_ns=None)
            _audit(tx, "policy.activated", changed, ENGINE, now_ns, reason="the version after it expired")
    return len(ended)


def list_policies(db: Database, project_id: str, *, policy_id: str | None = None) -> list[PolicyVersion]:
    """Return every stored version of the project's policies, by policy and age."""
    with db.read() as tx:
        return list_policy_versions(tx, project_id, policy_id=policy_id)


def approvals_needed(source: str) -> int:
    """Return how many people must agree to a policy text: two when an action of it may act by itself."""
    policy = require_tested(source, "policy").policy
    return 2 if any(one.mode == "auto" and one.endpoint is None for one in policy.actions) else 1


def missing_steps(version: PolicyVersion) -> str:
    """Return what has to happen before a version can become active, as one clause."""
    if version.state == "draft":
        return "it needs a back-test (custodes policy backtest), time in shadow, and an approval by somebody else"
    if version.state == "shadow":
        return "it runs in shadow and needs the approval of somebody other than its author (custodes policy approve)"
    return "submit it again with a change to have it reviewed anew"


def _was_approved(tx: WriteTx, version: PolicyVersion) -> bool:
    """Return whether a retired version had passed review: going back to it needs no second one."""
    return version.state == "retired" and version.activated_ns is not None and version.expires_ns is None


def _require_revision(version: PolicyVersion, expected: int | None) -> None:
    if expected is not None and expected != version.revision:
        raise StaleError(f"version {version.version} is at revision {version.revision}, not {expected}; read it again")


def _require_judgeable(found: PolicyVersion, verdict: Verdict, review: Review, now_ns: int, *, waived: bool) -> None:
    is_provisional = found.state == "active" and found.expires_ns is not None
    if verdict == "approved" and (found.state == "shadow" or is_provisional or (waived and found.state == "draft")):
        waits_ns = (found.shadow_ns or now_ns) + review.min_shadow_ns - now_ns
        if found.state == "shadow" and waits_ns > 0:
            ready = ns_to_rfc3339(now_ns + waits_ns)
            raise ConflictError(f"version {found.version} has to run in shadow until {ready} before it is approved")
        return
    if verdict in ("rejected", "break_glass") and found.state in _IN_REVIEW:
        return
    raise ConflictError(f"version {found.version} of {found.policy_id!r} is {found.state}; {missing_steps(found)}")


def _insert_once(tx: WriteTx, given: Approval) -> None:
    """Store a verdict, with words for what the table's constraints would refuse."""
    before = [
        one
        for one in list_approvals(tx, given.project_id, kind=given.kind, subjects=[given.subject])
        if one.approver == given.approver
    ]
    if before:
        raise ConflictError(f"{given.approver} has given a verdict already: {before[0].verdict}; ask somebody else")
    insert_approval(tx, given)


def _count_approvals(
    tx: WriteTx, found: PolicyVersion, needed: int, actor: Actor, now_ns: int, data: Mapping[str, Any]
) -> PolicyChange:
    subject = policy_subject(found.key)
    agreed = list_approvals(tx, found.project_id, kind="policy", subjects=[subject])
    people = {one.approver for one in agreed if one.verdict != "rejected"}
    if found.state == "active":
        # Who broke the glass is one of at least two.
        needed = max(2, needed)
        changed = _update(tx, found, expires_ns=None) if len(people) >= needed else found
        action = "policy.ratified" if changed is not found else "policy.approved"
    else:
        changed = _update(tx, found, state="approved") if len(people) >= needed else _update(tx, found)
        action = "policy.approved"
    facts = {**data, "approvals": len(people), "needed": needed, "state": changed.state}
    return PolicyChange(changed, _audit(tx, action, changed, actor, now_ns, **facts))


def _make_active(
    tx: WriteTx,
    versions: Mapping[str, PolicyVersion],
    chosen: PolicyVersion,
    actor: Actor,
    now_ns: int,
    conduct: Conduct,
    expires_ns: int | None,
) -> PolicyVersion:
    replaced = None
    for other in versions.values():
        if other.state == "active":
            replaced = other.version if other.expires_ns is None else other.replaces
            _retire(tx, other, actor, now_ns, conduct, f"version {chosen.version} was activated")
    delete_states(tx, *chosen.key)
    return _update(
        tx,
        chosen,
        state="active",
        activated_ns=now_ns,
        retired_ns=None,
        expires_ns=expires_ns,
        replaces=replaced,
    )


def _retire(
    tx: WriteTx,
    version: PolicyVersion,
    actor: Actor,
    now_ns: int,
    conduct: Conduct,
    reason: str,
    action: str = "policy.retired",
) -> tuple[PolicyVersion, int]:
    """End a version from what is stored, so that one which no longer compiles can end too."""
    context = StepContext(*version.key, conduct, now_ns)
    steps = []
    for stored in list_states(tx, *version.key):
        notified = () if stored.incident_id is None else list_notified(tx, version.project_id, stored.incident_id)
        steps.append(Step(stored, {}, retire(notified, stored.state, now_ns, reason)))
    apply_steps(tx, context, steps)
    delete_states(tx, *version.key)
    changed = _update(tx, version, state="retired", retired_ns=now_ns)
    return changed, _audit(tx, action, changed, actor, now_ns, reason=reason)


def _update(tx: WriteTx, version: PolicyVersion, **changes: Any) -> PolicyVersion:
    update_version(tx, version, **changes)
    return replace(version, revision=version.revision + 1, **changes)


def _audit(tx: WriteTx, action: str, version: PolicyVersion, actor: Actor, now_ns: int, **more: Any) -> int:
    data = {"policy_version": version.version, "author": version.author, **more}
    return record(tx, actor, action, f"policy/{version.policy_id}", data, version.project_id, now_ns)
