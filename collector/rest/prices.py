"""``/prices``: what tokens cost, for calls that arrive without their cost."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Query as QueryParameters
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.price_files import load_default_prices, read_day, row_to_price
from collector.price_rows import Price
from collector.rest.dependencies import PriceWriter, Reader, WithServices, json_response, page_response
from collector.rest.parameters import Query
from collector.store_prices import list_prices, put_prices, remove_prices
from custodes.kernel.clock import ns_to_rfc3339

router = APIRouter(tags=["prices"])


class NewPrice(BaseModel):
    """A price to set. ``model`` may end in ``*``; ``valid_from`` is a day or an RFC 3339 time."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(min_length=1, max_length=256)
    provider: str = Field("", max_length=128)
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None
    valid_from: str = Field("", max_length=40)
    source: str = Field("", max_length=200)
    as_of: str = Field("", max_length=10)


class PriceKey(Query):
    """Which price is meant; without ``valid_from`` those of every time."""

    model: str = Field(min_length=1, max_length=256)
    provider: str = Field("", max_length=128)
    valid_from: str | None = Field(None, max_length=40)


@router.get("/prices", summary="The project's prices, and the list prices behind them")
def get_prices(caller: Reader, services: WithServices) -> Response:
    """List own prices first, then the list prices; ``origin`` tells them apart."""
    with services.db.read() as tx:
        rows = [price_to_json(one, "project") for one in list_prices(tx, caller.project)]
    rows += [price_to_json(one, "default") for one in load_default_prices()]
    return page_response(rows, None)


@router.put("/prices", summary="Set the price of a model")
def put_price(body: NewPrice, caller: PriceWriter, services: WithServices) -> Response:
    """Store a price over one with the same provider, model and time; it is in force within ten seconds."""
    wanted = row_to_price(body.model_dump())
    now_ns = services.clock()
    with services.db.write() as tx:
        put_prices(tx, caller.project, [wanted], actor=caller.actor, actor_role=caller.role, now_ns=now_ns)
    return json_response(price_to_json(wanted, "project"))


@router.delete("/prices", summary="Remove the price of a model")
def delete_price(
    query: Annotated[PriceKey, QueryParameters()], caller: PriceWriter, services: WithServices
) -> Response:
    """Remove the project's own price; a list price behind it is in force again."""
    who = {"actor": caller.actor, "actor_role": caller.role}
    at_ns = None if query.valid_from is None else read_day(query.valid_from)
    key = {"provider": query.provider, "model": query.model}
    with services.db.write() as tx:
        removed, _ = remove_prices(tx, caller.project, **key, valid_from_ns=at_ns, **who, now_ns=services.clock())
    return json_response({**key, "removed": removed})


def price_to_json(one: Price, origin: str) -> dict[str, Any]:
    """Return a price as the API shows it; ``origin`` is ``project`` or ``default``."""
    return {
        "provider": one.provider,
        "model": one.model,
        "input_usd_per_mtok": one.input_usd_per_mtok,
        "output_usd_per_mtok": one.output_usd_per_mtok,
        "cached_input_usd_per_mtok": one.cached_input_usd_per_mtok,
        "valid_from": ns_to_rfc3339(one.valid_from_ns) if one.valid_from_ns else None,
        "source": one.source,
        "as_of": one.as_of or None,
        "origin": origin,
    }
