"""What was so before an action changed it: taken first, because an action can destroy what would explain its cause.

The snapshot is names, numbers and ids, never captured text, in canonical form. Its SHA-256 stands in the action and
in the audit log before anything is sent, so what is shown later can be checked against it.
"""

from __future__ import annotations

from typing import Any

from custodes.db import ReadTx
from custodes.kernel.clock import HOUR_NS, ns_to_minute, ns_to_rfc3339
from policies.actions.action import Action
from policies.actions.traffic_store import read_detectors, read_share, read_worst
from policies.audit.canonical import canonical_bytes
from policies.decision_store import list_decisions
from policies.groups import key_to_group
from policies.incident_store import find_incident
from policies.rules.compile import CompiledPolicy
from policies.store import find_policy_version

LOOKS_BACK_NS = HOUR_NS


def take_evidence(tx: ReadTx, action: Action, policy: CompiledPolicy | None, now_ns: int) -> bytes:
    """Return the snapshot of an action about to begin as canonical JSON."""
    from_ns = now_ns - LOOKS_BACK_NS
    labels = dict(key_to_group(action.group_key).labels)
    metrics = frozenset(spec.metric for spec in policy.signals) if policy is not None else frozenset[str]()
    version = find_policy_version(tx, action.project_id, action.policy_id, action.version)
    incident = find_incident(tx, action.project_id, action.incident_id)
    decisions = list_decisions(tx, action.project_id, incident_id=action.incident_id, limit=20)
    body: dict[str, Any] = {
        "action": action.id,
        "taken_at": ns_to_rfc3339(now_ns),
        "looks_back_from": ns_to_rfc3339(from_ns),
        "target": dict(action.target),
        "serving": {"version": action.from_version, "planned_at": _time(action.planned_ns)},
        "wanted": {"version": action.to_version, "deployment": action.deployment},
        "traffic_share": read_share(tx, action.project_id, labels, ns_to_minute(from_ns), ns_to_minute(now_ns)),
        "group": labels,
        "policy": {
            "id": action.policy_id,
            "version": action.version,
            "source": None if version is None else version.source,
            "author": action.author,
        },
        "approver": action.approver,
        "incident": None
        if incident is None
        else {"id": incident.id, "state": incident.state, "summary": incident.summary},
        "decisions": [
            {
                "id": one.id,
                "at": ns_to_rfc3339(one.at_ns),
                "to": one.to_state,
                "values": dict(one.values),
                "reason": one.reason,
            }
            for one in decisions
        ],
        "detectors": read_detectors(tx, action.project_id, from_ns, now_ns),
        "worst_exchanges": read_worst(tx, action.project_id, labels, metrics, from_ns, now_ns),
    }
    return canonical_bytes(body)


def _time(at_ns: int | None) -> str | None:
    return None if at_ns is None else ns_to_rfc3339(at_ns)
