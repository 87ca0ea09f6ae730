"""``/exchanges``: one exchange, and its captured text against a reason that the audit log keeps."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.auth import Principal
from collector.rest.dependencies import Reader, Revealer, WithServices, json_response
from collector.rest.queries.trace_detail import load_exchange
from collector.rest.strict import confirm, require_log
from collector.services import Services
from custodes.db import WriteTx
from custodes.kernel.errors import InvalidInputError, NotFoundError
from custodes.kernel.ids import is_hex_id
from policies.audit.intake import append_event

router = APIRouter(tags=["exchanges"])


class RevealRequest(BaseModel):
    """Why somebody must read the text; it stays in the audit log for ever, so it holds no personal data."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    reason: str = Field(min_length=10, max_length=500, description="10 to 500 characters; kept in the audit log.")


@router.get("/exchanges/{exchange_id}", summary="One exchange with scores and evidence")
def get_exchange(exchange_id: str, caller: Reader, services: WithServices) -> Response:
    """Return one exchange. Captured text is there for the caller of ``--dev`` only."""
    return json_response(_load(services, caller, exchange_id, text_visible=caller.dev))


@router.post("/exchanges/{exchange_id}/reveal", summary="One exchange with its captured text (strict audit)")
def reveal_exchange(exchange_id: str, body: RevealRequest, caller: Revealer, services: WithServices) -> Response:
    """Return the text once a leaf that names the caller and the reason is under a signed checkpoint."""
    require_log(services)
    shown = _load(services, caller, exchange_id, text_visible=True)
    with services.db.write() as tx:
        intake_id = _log_reveal(tx, caller, shown["id"], body.reason, services.clock())
    return json_response({**shown, "audit": confirm(services, intake_id).to_json()})


def _log_reveal(tx: WriteTx, caller: Principal, exchange_id: str, reason: str, now_ns: int) -> int:
    return append_event(
        tx,
        action="exchange.revealed",
        actor=caller.actor,
        role=caller.role,
        object=f"exchange/{exchange_id}",
        data={"reason": reason},
        at_ns=now_ns,
        project=caller.project,
    )


def _load(services: Services, caller: Principal, exchange_id: str, *, text_visible: bool) -> dict[str, Any]:
    public_id = exchange_id.lower()
    if not (is_hex_id(public_id[:32], 32) and is_hex_id(public_id[32:], 16)):
        raise InvalidInputError(
            f"an exchange id is 48 hex characters (trace id, then span id), not {exchange_id[:64]!r}"
        )
    with services.db.read() as tx:
        found = load_exchange(tx, services.contents, caller.project, public_id, text_visible=text_visible)
    if found is None:
        raise NotFoundError(f"no exchange {public_id} in project {caller.project}")
    return found
