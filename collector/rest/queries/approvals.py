"""What waits for a second person: versions in review or on break-glass, silences, drift references, actions."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from collector.rest.queries.actions import list_waiting
from custodes.db import ReadTx
from custodes.kernel.clock import ns_to_rfc3339
from policies.actions.action import Action, describe_action
from policies.approval_store import list_approvals, policy_subject
from policies.errors import PolicyError
from policies.incident_store import list_silences
from policies.lifecycle import approvals_needed
from policies.silences import Silence
from policies.store import PolicyVersion, list_undecided
from policies.store_drift_references import DriftReference, list_references, require_place


def list_pending(tx: ReadTx, project: str, actor: str, now_ns: int) -> list[dict[str, Any]]:
    """Return what waits, oldest first. ``mine`` says that ``actor`` asked for it, or has decided already."""
    versions = list_undecided(tx, project)
    subjects = [policy_subject(one.key) for one in versions]
    verdicts = list_approvals(tx, project, kind="policy", subjects=subjects) if subjects else []
    agreed: dict[str, list[str]] = defaultdict(list)
    for one in verdicts:
        if one.verdict != "rejected":
            agreed[one.subject].append(one.approver)
    rows = []
    for version in versions:
        subject = policy_subject(version.key)
        people = agreed[subject]
        rows.append(
            {
                "kind": "policy",
                "subject": subject,
                "policy_id": version.policy_id,
                "version": version.version,
                "state": version.state,
                "requested_by": version.author,
                "since": ns_to_rfc3339(version.shadow_ns or version.created_ns),
                "expires_at": None if version.expires_ns is None else ns_to_rfc3339(version.expires_ns),
                "approvals": people,
                "needed": _needed(version),
                "mine": actor == version.author or actor in people,
            }
        )
    silences = list_silences(tx, project, ending_after_ns=now_ns)
    rows += [_silence_row(one, actor, now_ns) for one in silences if one.needs_approval()]
    rows += [_reference_row(tx, one, actor) for one in list_references(tx, project, state="proposed")]
    rows += [_action_row(one, actor) for one in list_waiting(tx, project)]
    return sorted(rows, key=lambda row: row["since"])


def _action_row(one: Action, actor: str) -> dict[str, Any]:
    return {
        "kind": "action",
        "subject": one.id,
        "policy_id": one.policy_id,
        "version": one.version,
        "state": one.state,
        "requested_by": one.author,
        "since": ns_to_rfc3339(one.created_ns),
        "expires_at": None if one.next_ns is None else ns_to_rfc3339(one.next_ns),
        "reason": describe_action(one),
        "approvals": [],
        "needed": 1,
        "mine": actor == one.author,
    }


def _silence_row(silence: Silence, actor: str, now_ns: int) -> dict[str, Any]:
    return {
        "kind": "silence",
        "subject": silence.id,
        "state": silence.state(now_ns),
        "requested_by": silence.author,
        "since": ns_to_rfc3339(silence.created_ns),
        "expires_at": ns_to_rfc3339(silence.ends_ns),
        "matchers": dict(silence.matchers),
        "reason": silence.reason,
        "approvals": [],
        "needed": 1,
        "mine": actor == silence.author,
    }


def _reference_row(tx: ReadTx, reference: DriftReference, actor: str) -> dict[str, Any]:
    place = require_place(tx, reference.project_id, reference.place_id)
    return {
        "kind": "drift",
        "subject": reference.id,
        "state": reference.state,
        "requested_by": reference.requested_by,
        "since": ns_to_rfc3339(reference.created_ns),
        "expires_at": None,
        "matchers": {"service": place.service, "environment": place.environment, "deployment": place.deployment},
        "reason": reference.reason,
        "approvals": [],
        "needed": 1,
        "mine": actor == reference.requested_by,
    }


def _needed(version: PolicyVersion) -> int | None:
    try:
        needed = approvals_needed(version.source)
    except PolicyError:
        return None
    return max(2, needed) if version.state == "active" else needed
