"""The SQL of policy versions, the state of their groups, and tallies. Functions never commit; rows never leave."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import Row, and_, delete, insert, or_, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.keys import is_one_of
from custodes.db.tables import policy_state, policy_tally, policy_version
from custodes.kernel.errors import ConflictError, NotFoundError
from policies.engine.state import GroupState, json_to_state, state_to_json
from policies.groups import Group, key_to_group

VersionState = Literal["draft", "shadow", "approved", "active", "retired", "rejected"]
VersionKind = Literal["Policy", "ExchangePolicy"]
WATCHING: tuple[VersionState, ...] = ("active", "shadow", "approved")
"""States in which a version is evaluated: active for real, the others in shadow."""
_CHUNK = 200


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One stored version of a policy with its source text.

    ``revision`` rises with every change. ``origin`` says from where it came (``repository``, ``commit``, ``path``).
    ``expires_ns`` is set for a version activated by break-glass, and ``replaces`` names the one it replaced.
    """

    project_id: str
    policy_id: str
    version: str
    source: str
    state: VersionState
    author: str
    created_ns: int
    activated_ns: int | None = None
    retired_ns: int | None = None
    kind: VersionKind = "Policy"
    origin: Mapping[str, str] | None = None
    revision: int = 1
    shadow_ns: int | None = None
    evaluated_ns: int | None = None
    expires_ns: int | None = None
    replaces: str | None = None
    backtest_id: str | None = None

    @property
    def key(self) -> VersionKey:
        """What identifies it."""
        return (self.project_id, self.policy_id, self.version)

    @property
    def begun_ns(self) -> int:
        """When it began to be evaluated as it is now. Its first minute is the first whole one after that."""
        begun_ns = self.activated_ns if self.state == "active" else self.shadow_ns
        return self.created_ns if begun_ns is None else begun_ns

    @property
    def mode(self) -> Literal["live", "shadow"]:
        """Whether what it decides counts."""
        return "live" if self.state == "active" else "shadow"


VersionKey = tuple[str, str, str]
"""Project, policy and version."""
Watched = tuple[VersionKey, int | None]
"""A version that is evaluated, and the minute it was last evaluated at, in unix ns."""


@dataclass(frozen=True, slots=True)
class StoredState:
    """The state of one group and the incident that is open for it, if any."""

    group: Group
    state: GroupState
    incident_id: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What one version's evaluations of one hour came to. Bit m of ``minutes`` says that minute m was evaluated."""

    project_id: str
    policy_id: str
    version: str
    hour: int
    minutes: int = 0
    evaluations: int = 0
    no_data: int = 0
    errors: int = 0
    firings: int = 0


# Policy versions


def insert_policy_version(tx: WriteTx, version: PolicyVersion) -> None:
    """Store a new version; the unit of work raises ``ConflictError`` if this very version exists."""
    tx.execute(
        insert(policy_version).values(
            project_id=version.project_id,
            policy_id=version.policy_id,
            version=version.version,
            source=version.source,
            kind=version.kind,
            state=version.state,
            author=version.author,
            origin=None if version.origin is None else orjson.dumps(dict(version.origin)),
            revision=version.revision,
            created_ns=version.created_ns,
            shadow_ns=version.shadow_ns,
            activated_ns=version.activated_ns,
            retired_ns=version.retired_ns,
            expires_ns=version.expires_ns,
            replaces=version.replaces,
            backtest_id=version.backtest_id,
        )
    )


def find_policy_version(
    tx: ReadTx, project_id: str, policy_id: str, version: str, *, lock: bool = False
) -> PolicyVersion | None:
    """Return one version, or ``None``. With ``lock`` nobody else can change it until the unit of work ends."""
    statement = select(policy_version).where(_is_version(project_id, policy_id, version))
    row = tx.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else _row_to_version(row)


def require_policy_version(
    tx: ReadTx, project_id: str, policy_id: str, version: str, *, lock: bool = False
) -> PolicyVersion:
    """Return one version; raise ``NotFoundError`` when there is none."""
    found = find_policy_version(tx, project_id, policy_id, version, lock=lock)
    if found is None:
        raise NotFoundError(f"policy {policy_id[:128]!r} has no version {version[:80]!r}; see custodes policy list")
    return found


def list_policy_versions(
    tx: ReadTx,
    project_id: str | None = None,
    *,
    policy_id: str | None = None,
    state: VersionState | None = None,
) -> list[PolicyVersion]:
    """Return versions by project, policy and time, oldest first; ``None`` does not restrict."""
    columns = policy_version.c
    statement = select(policy_version).order_by(columns.project_id, columns.policy_id, columns.created_ns)
    wanted = ((columns.project_id, project_id), (columns.policy_id, policy_id), (columns.state, state))
    statement = statement.where(*(column == value for column, value in wanted if value is not None))
    return [_row_to_version(row) for row in tx.execute(statement)]


def list_undecided(tx: ReadTx, project_id: str) -> list[PolicyVersion]:
    """Return the versions that wait for a second person: in shadow, or active by break-glass; oldest first."""
    columns = policy_version.c
    waits = or_(columns.state == "shadow", and_(columns.state == "active", columns.expires_ns.is_not(None)))
    statement = select(policy_version).where(columns.project_id == project_id, waits)
    statement = statement.order_by(columns.policy_id, columns.created_ns)
    return [_row_to_version(row) for row in tx.execute(statement)]


def list_watching(tx: ReadTx, project_id: str | None, kind: VersionKind | None = None) -> list[Watched]:
    """Return the versions that are evaluated, without their text, in a fixed order, with their last minute."""
    columns = policy_version.c
    statement = (
        select(columns.project_id, columns.policy_id, columns.version, columns.evaluated_ns)
        .where(columns.state.in_(WATCHING))
        .order_by(columns.project_id, columns.policy_id, columns.version)
    )
    if project_id is not None:
        statement = statement.where(columns.project_id == project_id)
    if kind is not None:
        statement = statement.where(columns.kind == kind)
    return [((row.project_id, row.policy_id, row.version), row.evaluated_ns) for row in tx.execute(statement)]


def list_expired(tx: WriteTx, project_id: str | None, now_ns: int) -> list[PolicyVersion]:
    """Return, locked, the active versions whose time has run out."""
    columns = policy_version.c
    statement = select(policy_version).where(columns.state == "active", columns.expires_ns <= now_ns)
    if project_id is not None:
        statement = statement.where(columns.project_id == project_id)
    ordered = statement.order_by(columns.project_id, columns.policy_id, columns.version).with_for_update()
    return [_row_to_version(row) for row in tx.execute(ordered)]


def load_versions(tx: ReadTx, keys: Collection[VersionKey], *, lock: bool = False) -> list[PolicyVersion]:
    """Return versions by key, locked when asked; those that have vanished are left out."""
    columns = (policy_version.c.project_id, policy_version.c.policy_id, policy_version.c.version)
    ordered = sorted(keys)
    found = []
    for start in range(0, len(ordered), _CHUNK):
        statement = select(policy_version).where(is_one_of(columns, ordered[start : start + _CHUNK]))
        statement = statement.order_by(*columns)
        rows = tx.execute(statement.with_for_update() if lock else statement)
        found += [_row_to_version(row) for row in rows]
    return found


def lock_policy(tx: WriteTx, project_id: str, policy_id: str) -> list[PolicyVersion]:
    """Return every version of a policy, locked until the unit of work ends."""
    columns = policy_version.c
    statement = select(policy_version).where(columns.project_id == project_id, columns.policy_id == policy_id)
    return [_row_to_version(row) for row in tx.execute(statement.order_by(columns.version).with_for_update())]


def update_version(tx: WriteTx, version: PolicyVersion, **changes: Any) -> None:
    """Change columns of a version and raise its revision; raise ``ConflictError`` when it has changed meanwhile."""
    where = and_(_is_version(*version.key), policy_version.c.revision == version.revision)
    done = tx.execute(update(policy_version).where(where).values(**changes, revision=version.revision + 1))
    if done.rowcount != 1:
        raise ConflictError(f"version {version.version} of {version.policy_id!r} changed meanwhile; read it again")


def mark_evaluated(tx: WriteTx, keys: Sequence[VersionKey], at_ns: int) -> None:
    """Note that versions were evaluated at a minute."""
    columns = (policy_version.c.project_id, policy_version.c.policy_id, policy_version.c.version)
    for start in range(0, len(keys), _CHUNK):
        part = list(keys[start : start + _CHUNK])
        tx.execute(update(policy_version).where(is_one_of(columns, part)).values(evaluated_ns=at_ns))


def _is_version(project_id: str, policy_id: str, version: str) -> Any:
    columns = policy_version.c
    return and_(columns.project_id == project_id, columns.policy_id == policy_id, columns.version == version)


def _row_to_version(row: Row[Any]) -> PolicyVersion:
    return PolicyVersion(
        row.project_id,
        row.policy_id,
        row.version,
        row.source,
        row.state,
        row.author,
        row.created_ns,
        row.activated_ns,
        row.retired_ns,
        row.kind,
        None if row.origin is None else orjson.loads(row.origin),
        row.revision,
        row.shadow_ns,
        row.evaluated_ns,
        row.expires_ns,
        row.replaces,
        row.backtest_id,
    )


# State of groups


def list_states(tx: ReadTx, project_id: str, policy_id: str, version: str) -> list[StoredState]:
    """Return the state of every group of one policy version, by group key."""
    statement = select(policy_state).where(_is_state_of(project_id, policy_id, version))
    return [_row_to_state(row) for row in tx.execute(statement.order_by(policy_state.c.group_key))]


def list_states_of(tx: ReadTx, keys: Collection[VersionKey]) -> dict[VersionKey, list[StoredState]]:
    """Return the state of every group of some versions, by version and in the order of group keys."""
    columns = policy_state.c
    place = (columns.project_id, columns.policy_id, columns.version)
    ordered = sorted(keys)
    found: dict[VersionKey, list[StoredState]] = {key: [] for key in ordered}
    for start in range(0, len(ordered), _CHUNK):
        statement = select(policy_state).where(is_one_of(place, ordered[start : start + _CHUNK]))
        for row in tx.execute(statement.order_by(*place, columns.group_key)):
            found[row.project_id, row.policy_id, row.version].append(_row_to_state(row))
    return found


def find_state(tx: ReadTx, key: VersionKey, group: Group) -> StoredState:
    """Return the state of one group; that of a group nobody has seen yet is the first one."""
    statement = select(policy_state).where(_is_state_of(*key), policy_state.c.group_key == group.key)
    row = tx.execute(statement).first()
    return StoredState(group, GroupState()) if row is None else _row_to_state(row)


def save_states(
    tx: WriteTx, project_id: str, policy_id: str, version: str, states: Sequence[StoredState], now_ns: int
) -> None:
    """Store the state of groups, replacing what was there."""
    if not states:
        return
    statement = tx.insert(policy_state)
    replaced = ("state", "since_ns", "body", "incident_id")
    statement = statement.on_conflict_do_update(
        index_elements=list(policy_state.primary_key.columns),
        set_={name: statement.excluded[name] for name in replaced},
    )
    rows = [
        {
            "project_id": project_id,
            "policy_id": policy_id,
            "version": version,
            "group_key": stored.group.key,
            "state": stored.state.state,
            "since_ns": now_ns if stored.state.since_ns is None else stored.state.since_ns,
            "body": state_to_json(stored.state),
            "incident_id": stored.incident_id,
        }
        for stored in states
    ]
    tx.execute_many(statement, rows)


def delete_states(tx: WriteTx, project_id: str, policy_id: str, version: str) -> None:
    """Forget the state of every group of one policy version."""
    tx.execute(delete(policy_state).where(_is_state_of(project_id, policy_id, version)))


def _is_state_of(project_id: str, policy_id: str, version: str) -> Any:
    columns = policy_state.c
    return and_(columns.project_id == project_id, columns.policy_id == policy_id, columns.version == version)


def _row_to_state(row: Row[Any]) -> StoredState:
    return StoredState(key_to_group(row.group_key), json_to_state(row.body), row.incident_id)


# Tallies


def add_tallies(tx: WriteTx, tallies: Sequence[Tally]) -> None:
    """Add to the hourly tallies."""
    statement = tx.insert(policy_tally)
    columns, new = policy_tally.c, statement.excluded
    sums = {name: columns[name] + new[name] for name in ("evaluations", "no_data", "errors", "firings")}
    statement = statement.on_conflict_do_update(
        index_elements=list(policy_tally.primary_key.columns),
        set_={"minutes": columns.minutes.bitwise_or(new.minutes), **sums},
    )
    fields = tuple(policy_tally.columns.keys())
    tx.execute_many(statement, [{name: getattr(tally, name) for name in fields} for tally in tallies])


def list_tallies(
    tx: ReadTx,
    project_id: str,
    from_hour: int,
    to_hour: int,
    *,
    policy_id: str | None = None,
    version: str | None = None,
) -> list[Tally]:
    """Return the tallies of the hours in [from, to), by policy, version and hour."""
    columns = policy_tally.c
    statement = select(policy_tally).where(
        columns.project_id == project_id, columns.hour >= from_hour, columns.hour < to_hour
    )
    if policy_id is not None:
        statement = statement.where(columns.policy_id == policy_id)
    if version is not None:
        statement = statement.where(columns.version == version)
    statement = statement.order_by(columns.policy_id, columns.version, columns.hour)
    return [Tally(**row._mapping) for row in tx.execute(statement)]
