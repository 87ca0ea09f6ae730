"""Policies as the API shows them: one row per policy, one policy, one version, and what its evaluations came to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import orjson
from sqlalchemy import case, distinct, func, select

from custodes.db import ReadTx
from custodes.db.tables import policy_state, policy_version
from custodes.kernel.clock import HOUR_NS, ns_to_rfc3339
from custodes.kernel.errors import NotFoundError
from policies.approval_store import Approval, find_backtest, list_approvals, policy_subject
from policies.diff import diff_documents
from policies.errors import PolicyError
from policies.lifecycle import approvals_needed, missing_steps
from policies.rules.load import parse_policy, parse_source
from policies.store import PolicyVersion, list_policy_versions, list_tallies, load_versions, require_policy_version

Groups = Mapping[tuple[str, str], Sequence[dict[str, Any]]]
Versioned = TypeVar("Versioned", bound=Any)
"""A version, or a row with its state."""
_IN_REVIEW = ("draft", "shadow", "approved")


def list_policies(
    tx: ReadTx, project: str, *, q: str | None = None, after: str | None = None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page of policies by id, each at its active version or else its newest, and the id to go on after.

    ``q`` is a part of their ids. Reads the texts of one page only, however many policies there are.
    """
    columns = policy_version.c
    statement = select(columns.policy_id).where(columns.project_id == project).distinct().order_by(columns.policy_id)
    if q is not None:
        statement = statement.where(columns.policy_id.icontains(q, autoescape=True))
    if after is not None:
        statement = statement.where(columns.policy_id > after)
    names = list(tx.execute(statement.limit(limit + 1)).scalars())
    shown = names[:limit]
    if not shown:
        return [], None
    facts = select(columns.policy_id, columns.version, columns.state).order_by(columns.created_ns)
    by_policy: dict[str, list[Any]] = defaultdict(list)
    for row in tx.execute(facts.where(columns.project_id == project, columns.policy_id.in_(shown))):
        by_policy[row.policy_id].append(row)
    chosen = [(project, name, current_version(by_policy[name]).version) for name in shown]
    groups = _load_groups(tx, project, shown)
    rows = []
    for version in sorted(load_versions(tx, chosen), key=lambda one: one.policy_id):
        in_review = [one for one in by_policy[version.policy_id] if one.state in _IN_REVIEW]
        rows.append({**version_to_json(version, groups), "in_review": len(in_review)})
    return rows, shown[-1] if len(names) > limit else None


def count_policies(tx: ReadTx, project: str) -> dict[str, int]:
    """Return how many policies there are, how many are active, and how many versions are in review."""
    columns = policy_version.c
    of_state = func.coalesce(func.sum(case((columns.state == "active", 1), else_=0)), 0)
    in_review = func.coalesce(func.sum(case((columns.state.in_(_IN_REVIEW), 1), else_=0)), 0)
    statement = select(func.count(distinct(columns.policy_id)), of_state, in_review)
    row = tx.execute(statement.where(columns.project_id == project)).one()
    return dict(zip(("policies", "active", "in_review"), map(int, row), strict=True))


def load_policy(tx: ReadTx, project: str, policy_id: str) -> dict[str, Any] | None:
    """Return one policy with the source of its current version and all versions, newest first."""
    versions = list_policy_versions(tx, project, policy_id=policy_id)
    if not versions:
        return None
    current = current_version(versions)
    row = version_to_json(current, _load_groups(tx, project, [policy_id]))
    listed = [_version_facts(version) for version in reversed(versions)]
    return {**row, "source": current.source, "versions": listed}


def load_version(tx: ReadTx, project: str, policy_id: str, version: str) -> dict[str, Any]:
    """Return one version with its source, verdicts and what it still needs; raise ``NotFoundError`` otherwise."""
    found = require_policy_version(tx, project, policy_id, version)
    verdicts = list_approvals(tx, project, kind="policy", subjects=[policy_subject(found.key)])
    try:
        needed: int | None = approvals_needed(found.source)
    except PolicyError:
        needed = None
    is_open = found.state in ("draft", "shadow")
    return {
        **version_to_json(found, _load_groups(tx, project, [policy_id])),
        "source": found.source,
        "approvals": [approval_to_json(one) for one in verdicts],
        "approvals_needed": needed,
        "missing": missing_steps(found) if is_open else None,
    }


def diff_versions(tx: ReadTx, project: str, policy_id: str, version: str, against: str | None) -> dict[str, Any]:
    """Return the fields in which a version differs from another, or from the active one."""
    chosen = require_policy_version(tx, project, policy_id, version)
    if against is None:
        active = list_policy_versions(tx, project, policy_id=policy_id, state="active")
        if not active:
            raise NotFoundError(f"policy {policy_id!r} has no active version; say against which to compare")
        other = active[0]
    else:
        other = require_policy_version(tx, project, policy_id, against)
    documents = [parse_source(one.source, one.version).tree.root for one in (other, chosen)]
    changes = [one.to_json() for one in diff_documents(documents[0], documents[1])]
    return {"policy_id": policy_id, "from": other.version, "to": chosen.version, "changes": changes}


def load_backtest(tx: ReadTx, project: str, policy_id: str, version: str) -> dict[str, Any]:
    """Return the report attached to a version; raise ``NotFoundError`` when there is none."""
    found = require_policy_version(tx, project, policy_id, version)
    stored = None if found.backtest_id is None else find_backtest(tx, project, found.backtest_id)
    if stored is None:
        raise NotFoundError(f"version {version[:80]!r} of {policy_id[:128]!r} has no back-test attached")
    return {
        "id": stored.id,
        "created_at": ns_to_rfc3339(stored.created_ns),
        "actor": stored.actor,
        "report": stored.report,
    }


def load_tally(tx: ReadTx, project: str, policy_id: str, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
    """Return what a policy's evaluations came to in every hour that touches [from, to), by version and hour."""
    tallies = list_tallies(tx, project, from_ns // HOUR_NS, -(-to_ns // HOUR_NS), policy_id=policy_id)
    return [
        {
            "version": one.version,
            "hour": ns_to_rfc3339(one.hour * HOUR_NS),
            "minutes": one.minutes.bit_count(),
            "evaluations": one.evaluations,
            "no_data": one.no_data,
            "errors": one.errors,
            "firings": one.firings,
        }
        for one in tallies
    ]


def current_version(versions: Sequence[Versioned]) -> Versioned:
    """Return the active version, or the newest of a list that is oldest first."""
    return next((version for version in versions if version.state == "active"), versions[-1])


def version_to_json(version: PolicyVersion, groups: Groups) -> dict[str, Any]:
    """Return the row of one version."""
    severity, owner, scope = _read_document(version.source)
    return {
        "id": version.policy_id,
        **_version_facts(version),
        "severity": severity,
        "owner": owner,
        "scope": scope,
        "groups": list(groups.get((version.policy_id, version.version), ())),
    }


def approval_to_json(one: Approval) -> dict[str, Any]:
    """Return one verdict."""
    return {
        "id": one.id,
        "kind": one.kind,
        "subject": one.subject,
        "requested_by": one.requested_by,
        "approver": one.approver,
        "verdict": one.verdict,
        "comment": one.comment,
        "at": ns_to_rfc3339(one.at_ns),
        "waived": one.waived,
    }


def _version_facts(version: PolicyVersion) -> dict[str, Any]:
    times = {
        "created_at": version.created_ns,
        "shadow_at": version.shadow_ns,
        "activated_at": version.activated_ns,
        "retired_at": version.retired_ns,
        "expires_at": version.expires_ns,
        "evaluated_at": version.evaluated_ns,
    }
    shown = {name: None if ns is None else ns_to_rfc3339(ns) for name, ns in times.items()}
    return {
        "version": version.version,
        "kind": version.kind,
        "state": version.state,
        "author": version.author,
        "origin": None if version.origin is None else dict(version.origin),
        "revision": version.revision,
        "backtest_id": version.backtest_id,
        **shown,
    }


def _read_document(source: str) -> tuple[str | None, str | None, dict[str, str]]:
    try:
        document = parse_policy(source, "policy")
    except PolicyError:
        return None, None, {}  # Written by another version of Custodes; its row still shows who wrote it and when.
    return document.severity, document.owner, document.scope.model_dump(exclude_none=True)


def _load_groups(tx: ReadTx, project: str, policy_ids: Collection[str]) -> Groups:
    columns = policy_state.c
    statement = select(policy_state).where(columns.project_id == project, columns.policy_id.in_(policy_ids))
    statement = statement.order_by(columns.group_key)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in tx.execute(statement):
        groups[row.policy_id, row.version].append(
            {"group": orjson.loads(row.group_key), "state": row.state, "since": ns_to_rfc3339(row.since_ns)}
        )
    return groups
