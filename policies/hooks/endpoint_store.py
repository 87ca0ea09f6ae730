"""The SQL of endpoints and their circuit breakers. Functions never commit; rows never leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from sqlalchemy import Row, and_, delete, func, insert, select, update

from custodes.db import ReadTx, WriteTx
from custodes.db.tables import endpoint, outbox
from policies.hooks.breaker import Breaker

MAX_DETAIL_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver. ``url`` is what may be shown of its address; ``sealed`` and ``previous`` are encrypted secrets.

    ``previous`` holds the signing keys that a rotation replaced; they sign beside the new ones until
    ``previous_until_ns``.
    """

    project_id: str
    id: str
    url: str
    sealed: bytes | None = field(repr=False)
    state: Literal["active", "disabled"]
    created_ns: int
    disabled_reason: str | None = None
    kind: str = "webhook"
    options: Mapping[str, str] = field(default_factory=dict)
    previous: bytes | None = field(default=None, repr=False)
    previous_until_ns: int | None = None
    revision: int = 1
    breaker: Breaker = field(default_factory=Breaker)
    delivered_ns: int | None = None
    failed_ns: int | None = None
    last_error: str | None = None

    def previous_at(self, now_ns: int) -> bytes | None:
        """Return the replaced keys while they still sign."""
        return self.previous if self.previous_until_ns is not None and now_ns < self.previous_until_ns else None


def insert_endpoint(tx: WriteTx, new: Endpoint) -> None:
    """Store a new endpoint; the unit of work raises ``ConflictError`` if its name is taken."""
    tx.execute(insert(endpoint).values(project_id=new.project_id, id=new.id, created_ns=new.created_ns, **_plain(new)))


def set_endpoint(tx: WriteTx, changed: Endpoint) -> None:
    """Store an endpoint as it was changed, one revision on. What is known of its receiver begins anew."""
    values = {**_plain(changed), "revision": endpoint.c.revision + 1}
    tx.execute(update(endpoint).where(_is_endpoint(changed.project_id, changed.id)).values(values))


def find_endpoint(tx: ReadTx, project_id: str, endpoint_id: str, *, lock: bool = False) -> Endpoint | None:
    """Return one endpoint, or ``None``; ``lock`` keeps others from changing it until the transaction ends."""
    statement = select(endpoint).where(_is_endpoint(project_id, endpoint_id))
    row = tx.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else _row_to_endpoint(row)


def list_endpoints(tx: ReadTx, project_id: str) -> list[Endpoint]:
    """Return the endpoints of a project by name."""
    statement = select(endpoint).where(endpoint.c.project_id == project_id).order_by(endpoint.c.id)
    return [_row_to_endpoint(row) for row in tx.execute(statement)]


def disable_endpoint(tx: WriteTx, project_id: str, endpoint_id: str, reason: str) -> None:
    """Disable an endpoint and dead-letter everything that still waits for it."""
    short = reason[:MAX_DETAIL_CHARACTERS]
    where = _is_endpoint(project_id, endpoint_id)
    changes = {"state": "disabled", "disabled_reason": short, "revision": endpoint.c.revision + 1}
    tx.execute(update(endpoint).where(where).values(changes))
    waiting = and_(outbox.c.project_id == project_id, outbox.c.endpoint_id == endpoint_id, outbox.c.state == "pending")
    tx.execute(update(outbox).where(waiting).values(state="dead", last_error=short, lease_owner=None))


def delete_endpoint(tx: WriteTx, project_id: str, endpoint_id: str) -> None:
    """Delete an endpoint and its secrets."""
    tx.execute(delete(endpoint).where(_is_endpoint(project_id, endpoint_id)))


def drop_previous_keys(tx: WriteTx, project_id: str, endpoint_id: str, now_ns: int) -> None:
    """Forget the replaced signing keys of an endpoint once their time is over."""
    where = and_(_is_endpoint(project_id, endpoint_id), endpoint.c.previous_until_ns <= now_ns)
    tx.execute(update(endpoint).where(where).values(previous=None, previous_until_ns=None))


# Breakers


def claim_probe(tx: WriteTx, known: Endpoint, until_ns: int) -> bool:
    """Keep everybody else from probing until a time, and return True; False when somebody was faster."""
    seen_ns = known.breaker.open_until_ns
    where = and_(_is_endpoint(known.project_id, known.id), endpoint.c.open_until_ns == seen_ns)
    return tx.execute(update(endpoint).where(where).values(open_until_ns=until_ns)).rowcount == 1


def set_breaker(tx: WriteTx, known: Endpoint, breaker: Breaker, now_ns: int, *, error: str | None) -> None:
    """Store the state of a breaker after an attempt; ``error`` is ``None`` when the receiver accepted."""
    values: dict[str, Any] = {"failures": breaker.failures, "open_until_ns": breaker.open_until_ns}
    if error is None:
        values |= {"delivered_ns": now_ns, "last_error": None}
    else:
        values |= {"failed_ns": now_ns, "last_error": error[:MAX_DETAIL_CHARACTERS]}
    tx.execute(update(endpoint).where(_is_endpoint(known.project_id, known.id)).values(values))


def end_rest(tx: WriteTx, project_id: str, endpoint_id: str, now_ns: int) -> None:
    """Let an endpoint whose breaker is open be tried now."""
    where = and_(_is_endpoint(project_id, endpoint_id), endpoint.c.open_until_ns > now_ns)
    tx.execute(update(endpoint).where(where).values(open_until_ns=now_ns))


def count_breakers(tx: ReadTx) -> int:
    """Return how many active endpoints, of all projects, have a breaker that is not closed."""
    where = and_(endpoint.c.state == "active", endpoint.c.open_until_ns.is_not(None))
    return int(tx.execute(select(func.count()).select_from(endpoint).where(where)).scalar_one())


def _is_endpoint(project_id: str, endpoint_id: str) -> Any:
    return and_(endpoint.c.project_id == project_id, endpoint.c.id == endpoint_id)


def _plain(one: Endpoint) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "url": one.url,
        "options": orjson.dumps(dict(one.options)) if one.options else None,
        "sealed": one.sealed,
        "previous": one.previous,
        "previous_until_ns": one.previous_until_ns,
        "state": one.state,
        "disabled_reason": one.disabled_reason,
        "failures": one.breaker.failures,
        "open_until_ns": one.breaker.open_until_ns,
    }


def _row_to_endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(
        project_id=row.project_id,
        id=row.id,
        url=row.url,
        sealed=row.sealed,
        state=row.state,
        created_ns=row.created_ns,
        disabled_reason=row.disabled_reason,
        kind=row.kind,
        options={} if row.options is None else orjson.loads(row.options),
        previous=row.previous,
        previous_until_ns=row.previous_until_ns,
        revision=row.revision,
        breaker=Breaker(row.failures, row.open_until_ns),
        delivered_ns=row.delivered_ns,
        failed_ns=row.failed_ns,
        last_error=row.last_error,
    )
