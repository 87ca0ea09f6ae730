"""``/keys``: API keys of the caller's project. Role changes are strict actions."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.auth import (
    CreatedKey,
    KeyLimits,
    KeyRecord,
    Principal,
    Role,
    RotatedKey,
    create_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from collector.rest.dependencies import (
    KeyAdministrator,
    WithAuthenticator,
    WithServices,
    json_response,
    page_response,
)
from collector.rest.strict import confirm, require_log
from custodes.db import WriteTx
from custodes.kernel.clock import DAY_NS, HOUR_NS, MINUTE_NS, ns_to_rfc3339, rfc3339_to_ns
from custodes.kernel.errors import InvalidInputError

router = APIRouter(tags=["keys"])
DEFAULT_OVERLAP = "24h"
_LIFETIME = re.compile(r"([1-9]\d{0,4})([dh])", re.ASCII)
_OVERLAP = re.compile(r"(\d{1,5})([dhm])", re.ASCII)
_UNITS_NS = {"d": DAY_NS, "h": HOUR_NS, "m": MINUTE_NS}


class NewKey(BaseModel):
    """A key to create. ``expires`` is a lifetime such as ``90d`` or ``12h``, or an RFC 3339 time."""

    model_config = ConfigDict(extra="forbid")
    role: Role
    expires: str | None = Field(None, max_length=40)
    note: str = Field("", max_length=200, pattern=r"^[^\x00-\x1f]*$")
    max_spans_per_s: float | None = Field(None, gt=0, le=1e9)
    max_concurrent: int | None = Field(None, ge=1, le=1_000_000)


class Rotation(BaseModel):
    """How long the old key goes on working: ``24h``, ``30m``, ``7d``, or ``0h`` for not at all."""

    model_config = ConfigDict(extra="forbid")
    overlap: str = Field(default=DEFAULT_OVERLAP, max_length=40)


@router.get("/keys", summary="The project's keys, without their secrets")
def get_keys(caller: KeyAdministrator, services: WithServices) -> Response:
    """List every key the project ever had, newest first."""
    with services.db.read() as tx:
        return page_response([key_to_json(record) for record in list_keys(tx, caller.project)], None)


@router.post("/keys", status_code=201, summary="Create a key (strict audit)")
def post_key(body: NewKey, caller: KeyAdministrator, services: WithServices) -> Response:
    """Return the new key; ``secret`` is its text, shown this once."""
    require_log(services)
    with services.db.write() as tx:
        created = _create(tx, caller, body, services.clock())
    place = confirm(services, created.intake_id)
    return json_response({**key_to_json(created.record), "secret": created.text, "audit": place.to_json()}, 201)


@router.post("/keys/{key_id}/rotate", status_code=201, summary="Replace a key, with overlap (strict audit)")
def post_rotation(
    key_id: str,
    caller: KeyAdministrator,
    services: WithServices,
    authenticator: WithAuthenticator,
    body: Rotation | None = None,
) -> Response:
    """Return the successor with its ``secret``, shown this once, and under ``old`` the key it replaces."""
    require_log(services)
    with services.db.write() as tx:
        made = _rotate(tx, caller, key_id[:64], (body or Rotation()).overlap, services.clock())
    authenticator.forget(made.old.id)
    place = confirm(services, made.intake_id)
    shown = {**key_to_json(made.record), "secret": made.text, "old": key_to_json(made.old)}
    return json_response({**shown, "audit": place.to_json()}, 201)


@router.delete("/keys/{key_id}", summary="Revoke a key (strict audit)")
def delete_key(
    key_id: str, caller: KeyAdministrator, services: WithServices, authenticator: WithAuthenticator
) -> Response:
    """Make a key useless from now on."""
    require_log(services)
    with services.db.write() as tx:
        intake_id = _revoke(tx, caller, key_id[:64], services.clock())
    authenticator.forget(key_id)
    return json_response({"id": key_id, "audit": confirm(services, intake_id).to_json()})


def _create(tx: WriteTx, caller: Principal, body: NewKey, now_ns: int) -> CreatedKey:
    return create_key(
        tx,
        project_id=caller.project,
        role=body.role,
        actor=caller.actor,
        actor_role=caller.role,
        now_ns=now_ns,
        expires_ns=read_expiry(body.expires, now_ns),
        note=body.note,
        limits=KeyLimits(body.max_spans_per_s, body.max_concurrent),
    )


def _rotate(tx: WriteTx, caller: Principal, key_id: str, overlap: str, now_ns: int) -> RotatedKey:
    return rotate_key(
        tx,
        key_id,
        project_id=caller.project,
        overlap_ns=read_overlap(overlap),
        actor=caller.actor,
        actor_role=caller.role,
        now_ns=now_ns,
    )


def _revoke(tx: WriteTx, caller: Principal, key_id: str, now_ns: int) -> int:
    return revoke_key(tx, key_id, project_id=caller.project, actor=caller.actor, actor_role=caller.role, now_ns=now_ns)


def read_expiry(written: str | None, now_ns: int) -> int | None:
    """Return when a key ends; raise ``InvalidInputError`` for a time that is no time, or past."""
    if written is None:
        return None
    lifetime = _LIFETIME.fullmatch(written)
    if lifetime is not None:
        return now_ns + int(lifetime[1]) * _UNITS_NS[lifetime[2]]
    try:
        expires_ns = rfc3339_to_ns(written)
    except ValueError as error:
        raise InvalidInputError(
            f"expires is neither a lifetime nor a time: {written!r}; write e.g. 90d or 2027-01-31T00:00:00Z"
        ) from error
    if expires_ns <= now_ns:
        raise InvalidInputError(f"expires lies in the past: {written!r}")
    return expires_ns


def read_overlap(written: str) -> int:
    """Return the nanoseconds of an overlap such as ``24h``; raise ``InvalidInputError`` for anything else."""
    match = _OVERLAP.fullmatch(written)
    if match is None:
        raise InvalidInputError(f"overlap is not a duration: {written!r}; write e.g. 24h, 30m or 7d")
    return int(match[1]) * _UNITS_NS[match[2]]


def key_to_json(record: KeyRecord) -> dict[str, Any]:
    """Return a key as the API shows it, without its text."""
    times = {
        "created_at": record.created_ns,
        "expires_at": record.expires_ns,
        "revoked_at": record.revoked_ns,
        "last_used_at": record.last_used_ns,
    }
    return {
        "id": record.id,
        "project": record.project,
        "role": record.role,
        "note": record.note,
        "max_spans_per_s": record.limits.max_spans_per_s,
        "max_concurrent": record.limits.max_concurrent,
        "replaced_by": record.replaced_by,
        **{name: None if ns is None else ns_to_rfc3339(ns) for name, ns in times.items()},
    }
