"""A project's own prices in the database; every change is an audit event of its own transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select

from collector.auth.store_projects import require_project
from collector.price_rows import Price
from custodes.db import ReadTx, WriteTx
from custodes.db.tables import price
from custodes.kernel.errors import NotFoundError
from policies.audit.intake import append_event

_KEY = ("project_id", "provider", "model", "valid_from_ns")
_FIGURES = (
    "input_usd_per_mtok",
    "output_usd_per_mtok",
    "cached_input_usd_per_mtok",
    "source",
    "as_of",
)


def list_prices(tx: ReadTx, project: str) -> list[Price]:
    """Return the project's own prices, of every time, by model, provider and time."""
    order = (price.c.model, price.c.provider, price.c.valid_from_ns)
    rows = tx.execute(select(price).where(price.c.project_id == project).order_by(*order))
    names = ("model", "provider", "valid_from_ns", *_FIGURES)
    return [Price(**{name: getattr(row, name) for name in names}) for row in rows]


def put_prices(tx: WriteTx, project: str, prices: Sequence[Price], *, actor: str, actor_role: str, now_ns: int) -> int:
    """Store prices, each over one with the same provider, model and time; return the id of the audit event.

    The event holds the figures of a single price; of several it says how many and for which models. Raises
    ``NotFoundError`` when there is no such project.
    """
    require_project(tx, project)
    statement = tx.insert(price)
    changed = {name: statement.excluded[name] for name in (*_FIGURES, "changed_ns")}
    statement = statement.on_conflict_do_update(index_elements=_KEY, set_=changed)
    tx.execute_many(statement, [{**_to_row(project, one), "changed_ns": now_ns} for one in prices])
    data: dict[str, Any] = {"change": "set", "prices": len(prices)}
    if len(prices) == 1:
        data |= _figures(prices[0])
    else:
        data["models"] = sorted({one.model for one in prices})[:100]
    place = prices[0].model if len(prices) == 1 else "table"
    return _append(tx, project, place, data, actor=actor, actor_role=actor_role, now_ns=now_ns)


def remove_prices(
    tx: WriteTx,
    project: str,
    *,
    provider: str,
    model: str,
    valid_from_ns: int | None,
    actor: str,
    actor_role: str,
    now_ns: int,
) -> tuple[int, int]:
    """Delete a model's price of one time, or of all times; return how many rows went and the audit event's id.

    Raises ``NotFoundError`` when there is none; list prices that travel with Custodes cannot be removed.
    """
    provider, model = provider.strip().lower(), model.strip().lower()
    statement = delete(price).where(price.c.project_id == project, price.c.provider == provider, price.c.model == model)
    if valid_from_ns is not None:
        statement = statement.where(price.c.valid_from_ns == valid_from_ns)
    removed = tx.execute(statement).rowcount
    if not removed:
        raise NotFoundError(
            f"project {project!r} has no price of its own for model {model[:80]!r} of "
            f"{repr(provider[:40]) if provider else 'any provider'}; custodes price list shows what there is"
        )
    data = {"change": "removed", "prices": removed, "provider": provider, "model": model}
    return removed, _append(tx, project, model, data, actor=actor, actor_role=actor_role, now_ns=now_ns)


def _to_row(project: str, one: Price) -> dict[str, Any]:
    return {"project_id": project, "valid_from_ns": one.valid_from_ns, **_figures(one)}


def _figures(one: Price) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ("provider", "model", *_FIGURES)}


def _append(
    tx: WriteTx, project: str, place: str, data: Mapping[str, Any], *, actor: str, actor_role: str, now_ns: int
) -> int:
    return append_event(
        tx,
        action="price.changed",
        actor=actor,
        role=actor_role,
        object=f"price/{place}",
        data=data,
        at_ns=now_ns,
        project=project,
    )
