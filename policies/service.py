"""What people do with policies and endpoints: submit, activate, retire, list. Each call is one unit of work.

Every change appends an audit event in the same transaction and returns its intake number, so that the
caller can answer only after the event is inside a signed checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from custodes.db import Database, WriteTx
from custodes.kernel.errors import ConflictError, NotFoundError
from policies.audit.intake import append_event
from policies.check import require_tested
from policies.effects import StepContext, apply_step
from policies.engine.step import retire
from policies.errors import EndpointError
from policies.hooks.address import check_url
from policies.hooks.signing import generate_secret, parse_secrets
from policies.hooks.store import Endpoint, find_endpoint, insert_endpoint, list_endpoints, set_endpoint
from policies.store import (
    PolicyVersion,
    delete_states,
    find_policy_version,
    insert_policy_version,
    list_notified,
    list_policy_versions,
    list_states,
    lock_policy,
    set_version_state,
)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, in which role, as the audit log will name them."""

    name: str
    role: str


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A policy version after a change. ``intake_id`` is ``None`` when nothing had to change."""

    version: PolicyVersion
    intake_id: int | None


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """An endpoint after a change. Its secret is shown to the caller once, here."""

    endpoint: Endpoint
    intake_id: int


def submit_policy(
    db: Database, *, project_id: str, text: str, filename: str, actor: Actor, now_ns: int
) -> PolicyChange:
    """Store a policy that passes lint and its own tests as a draft, and return it.

    Submitting the same document again changes nothing. Raises ``PolicyError`` with every finding
    otherwise, also for a policy without tests and for an ``ExchangePolicy``.
    """
    checked = require_tested(text, filename)
    draft = PolicyVersion(project_id, checked.policy.id, checked.policy.version, text, "draft", actor.name, now_ns)
    with db.write() as tx:
        existing = find_policy_version(tx, project_id, draft.policy_id, draft.version, lock=True)
        if existing is not None:
            return PolicyChange(existing, None)
        insert_policy_version(tx, draft)
        return PolicyChange(draft, _audit_version(tx, "policy.submitted", draft, actor, now_ns))


def activate_policy(
    db: Database, *, project_id: str, policy_id: str, version: str, actor: Actor, now_ns: int, console_url: str
) -> PolicyChange:
    """Make one version the active one and retire the version that was active before.

    Incidents of the retired version resolve with that reason; the new version starts with fresh state.
    Activating the active version changes nothing. Raises ``NotFoundError`` for an unknown version and
    ``PolicyError`` when the stored version no longer passes lint and its tests.
    """
    with db.write() as tx:
        versions = {one.version: one for one in lock_policy(tx, project_id, policy_id)}
        chosen = versions.get(version)
        if chosen is None:
            raise NotFoundError(f"policy {policy_id!r} has no version {version!r}; see custodes policy list")
        if chosen.state == "active":
            return PolicyChange(chosen, None)
        require_tested(chosen.source, f"{policy_id}@{version}")
        for other in versions.values():
            if other.state == "active":
                _retire(tx, other, actor, now_ns, console_url, f"version {version} was activated")
        delete_states(tx, project_id, policy_id, version)
        set_version_state(tx, chosen, "active", now_ns)
        active = replace(chosen, state="active", activated_ns=now_ns, retired_ns=None)
        return PolicyChange(active, _audit_version(tx, "policy.activated", active, actor, now_ns))


def retire_policy(
    db: Database, *, project_id: str, policy_id: str, actor: Actor, now_ns: int, console_url: str
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
        intake_id = _retire(tx, active[0], actor, now_ns, console_url, "the policy was retired")
        return PolicyChange(replace(active[0], state="retired", retired_ns=now_ns), intake_id)


def list_policies(db: Database, project_id: str, *, policy_id: str | None = None) -> list[PolicyVersion]:
    """Return every stored version of the project's policies, by policy and age."""
    with db.read() as tx:
        return list_policy_versions(tx, project_id, policy_id=policy_id)


def put_endpoint(
    db: Database, *, project_id: str, endpoint_id: str, url: str, secret: str | None, actor: Actor, now_ns: int
) -> EndpointChange:
    """Create a webhook endpoint, or give an existing one a new address and secret and make it active again.

    Without ``secret`` an existing endpoint keeps its own and a new one gets a fresh one. Raises
    ``EndpointError`` for an unusable name, address or secret.
    """
    if not endpoint_id or len(endpoint_id) > 64:
        raise EndpointError(f"an endpoint name has 1 to 64 characters, not {len(endpoint_id)}")
    check_url(url)
    if secret is not None:
        parse_secrets(secret)
    with db.write() as tx:
        existing = find_endpoint(tx, project_id, endpoint_id)
        chosen = secret or (existing.secret if existing else generate_secret())
        created_ns = existing.created_ns if existing else now_ns
        stored = Endpoint(project_id, endpoint_id, url, chosen, "active", created_ns)
        if existing is None:
            insert_endpoint(tx, stored)
        else:
            set_endpoint(tx, project_id, endpoint_id, url, chosen)
        intake_id = _audit(
            tx,
            "endpoint.changed" if existing else "endpoint.created",
            f"endpoint/{endpoint_id}",
            {"url": url, "secret_changed": existing is None or chosen != existing.secret},
            actor,
            project_id,
            now_ns,
        )
        return EndpointChange(stored, intake_id)


def list_project_endpoints(db: Database, project_id: str) -> list[Endpoint]:
    """Return the project's endpoints by name."""
    with db.read() as tx:
        return list_endpoints(tx, project_id)


def _retire(tx: WriteTx, version: PolicyVersion, actor: Actor, now_ns: int, console_url: str, reason: str) -> int:
    """End a version from what is stored, so that one which no longer compiles can end too."""
    context = StepContext(version.project_id, version.policy_id, version.version, console_url, now_ns)
    for stored in list_states(tx, version.project_id, version.policy_id, version.version):
        notified = () if stored.incident_id is None else list_notified(tx, version.project_id, stored.incident_id)
        apply_step(tx, context, stored, {}, retire(notified, stored.state, now_ns, reason))
    delete_states(tx, version.project_id, version.policy_id, version.version)
    set_version_state(tx, version, "retired", now_ns)
    return _audit_version(tx, "policy.retired", version, actor, now_ns)


def _audit_version(tx: WriteTx, action: str, version: PolicyVersion, actor: Actor, now_ns: int) -> int:
    data = {"policy_version": version.version, "author": version.author}
    return _audit(tx, action, f"policy/{version.policy_id}", data, actor, version.project_id, now_ns)


def _audit(
    tx: WriteTx, action: str, thing: str, data: Mapping[str, Any], actor: Actor, project_id: str, now_ns: int
) -> int:
    return append_event(
        tx,
        action=action,
        actor=actor.name,
        role=actor.role,
        object=thing,
        data=data,
        at_ns=now_ns,
        project=project_id,
    )
