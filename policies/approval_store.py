"""The SQL of approvals and back-tests. Functions never commit; rows never leave.

That nobody approves what they asked for themselves is a constraint of the table, not a habit of this code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import orjson
from sqlalchemy import insert, select

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import approval, policy_backtest
from policies.store import VersionKey

Kind = Literal["policy", "silence", "drift", "action"]
Verdict = Literal["approved", "rejected", "break_glass"]


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's verdict on something another one asked for."""

    id: str
    project_id: str
    kind: Kind
    subject: str
    requested_by: str
    approver: str
    verdict: Verdict
    comment: str
    at_ns: int
    waived: bool = False


@dataclass(frozen=True, slots=True)
class StoredBacktest:
    """A back-test that was attached to a version."""

    id: str
    key: VersionKey
    from_ns: int
    to_ns: int
    created_ns: int
    actor: str
    report: Mapping[str, Any]


def policy_subject(key: VersionKey) -> str:
    """Return how approvals name a policy version."""
    return f"{key[1]}@{key[2]}"


def insert_approval(tx: WriteTx, made: Approval) -> None:
    """Store a verdict; ``ConflictError`` when this person has given one before, or asked for it themselves."""
    tx.execute(insert(approval).values(**{one.name: getattr(made, one.name) for one in fields(Approval)}))


def list_approvals(
    tx: ReadTx, project_id: str, *, kind: Kind | None = None, subjects: Sequence[str] | None = None, limit: int = 500
) -> list[Approval]:
    """Return verdicts, newest first."""
    columns = approval.c
    statement = select(approval).where(columns.project_id == project_id)
    if kind is not None:
        statement = statement.where(columns.kind == kind)
    if subjects is not None:
        statement = statement.where(columns.subject.in_(subjects))
    statement = statement.order_by(columns.at_ns.desc(), columns.id.desc()).limit(limit)
    return [Approval(**row._mapping) for row in tx.execute(statement)]


def insert_backtest(tx: WriteTx, made: StoredBacktest) -> None:
    """Store a back-test."""
    project_id, policy_id, version = made.key
    tx.execute(
        insert(policy_backtest).values(
            id=made.id,
            project_id=project_id,
            policy_id=policy_id,
            version=version,
            from_ns=made.from_ns,
            to_ns=made.to_ns,
            created_ns=made.created_ns,
            actor=made.actor,
            body=orjson.dumps(dict(made.report)),
        )
    )


def find_backtest(tx: ReadTx, project_id: str, backtest_id: str) -> StoredBacktest | None:
    """Return one back-test of the project, or ``None``."""
    columns = policy_backtest.c
    statement = select(policy_backtest).where(columns.project_id == project_id, columns.id == backtest_id)
    row = tx.execute(statement).first()
    if row is None:
        return None
    key = (row.project_id, row.policy_id, row.version)
    return StoredBacktest(row.id, key, row.from_ns, row.to_ns, row.created_ns, row.actor, orjson.loads(row.body))
