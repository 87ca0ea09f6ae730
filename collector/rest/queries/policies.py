"""Policies as the API shows them: one row per policy, and one policy with its source and versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import select

from custodes.db import ReadTx
from custodes.db.tables import policy_state
from custodes.kernel.clock import ns_to_rfc3339
from policies.errors import PolicyError
from policies.rules.load import parse_policy
from policies.store import PolicyVersion, list_policy_versions

Groups = Mapping[tuple[str, str], Sequence[dict[str, Any]]]


def list_policies(tx: ReadTx, project: str) -> list[dict[str, Any]]:
    """Return one row per policy, by id: its active version, or its newest when none is active."""
    by_policy: dict[str, list[PolicyVersion]] = defaultdict(list)
    for version in list_policy_versions(tx, project):
        by_policy[version.policy_id].append(version)
    groups = _load_groups(tx, project)
    return [version_to_json(current_version(by_policy[name]), groups) for name in sorted(by_policy)]


def load_policy(tx: ReadTx, project: str, policy_id: str) -> dict[str, Any] | None:
    """Return one policy with the source of its current version and all versions, newest first."""
    versions = list_policy_versions(tx, project, policy_id=policy_id)
    if not versions:
        return None
    current = current_version(versions)
    row = version_to_json(current, _load_groups(tx, project))
    listed = [_version_facts(version) for version in reversed(versions)]
    return {**row, "source": current.source, "versions": listed}


def current_version(versions: Sequence[PolicyVersion]) -> PolicyVersion:
    """Return the active version, or the newest of a list that is oldest first."""
    return next((version for version in versions if version.state == "active"), versions[-1])


def version_to_json(version: PolicyVersion, groups: Groups) -> dict[str, Any]:
    """Return the row of one version."""
    severity, scope = _read_document(version.source)
    return {
        "id": version.policy_id,
        **_version_facts(version),
        "severity": severity,
        "scope": scope,
        "groups": list(groups.get((version.policy_id, version.version), ())),
    }


def _version_facts(version: PolicyVersion) -> dict[str, Any]:
    times = {
        "created_at": version.created_ns,
        "activated_at": version.activated_ns,
        "retired_at": version.retired_ns,
    }
    shown = {name: None if ns is None else ns_to_rfc3339(ns) for name, ns in times.items()}
    return {"version": version.version, "state": version.state, "author": version.author, **shown}


def _read_document(source: str) -> tuple[str | None, dict[str, str]]:
    try:
        document = parse_policy(source, "policy")
    except PolicyError:
        return None, {}  # Written by another version of Custodes; its row still shows who wrote it and when.
    return document.severity, document.scope.model_dump(exclude_none=True)


def _load_groups(tx: ReadTx, project: str) -> Groups:
    statement = select(policy_state).where(policy_state.c.project_id == project).order_by(policy_state.c.group_key)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in tx.execute(statement):
        groups[row.policy_id, row.version].append(
            {"group": orjson.loads(row.group_key), "state": row.state, "since": ns_to_rfc3339(row.since_ns)}
        )
    return groups
