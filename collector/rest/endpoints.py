"""``/endpoints``: where messages go, what became of them, and sending again what was given up."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from collector.rest.dependencies import (
    EndpointReader,
    EndpointWriter,
    Expected,
    WithServices,
    actor_of,
    json_response,
    page_response,
    revision_response,
)
from collector.rest.endpoint_json import channel_to_json, endpoint_to_json, message_to_json, trial_to_json
from collector.rest.idempotency import IdempotentRoute
from collector.rest.parameters import DEFAULT_LIMIT, Limit, decode_cursor, encode_cursor
from collector.rest.parameters import Query as QueryModel
from collector.rest.strict import confirm, require_log
from collector.services import Services
from custodes.kernel.errors import InvalidInputError
from policies.dead_letters import MOST_REPLAYED, discard_dead_letters, replay_dead_letters, try_endpoint
from policies.endpoints import (
    EndpointChange,
    EndpointSpec,
    change_endpoint,
    create_endpoint,
    list_project_endpoints,
    remove_endpoint,
    require_endpoint,
    rotate_signing_key,
)
from policies.hooks.breaker import breaker_rules
from policies.hooks.channels import CHANNELS
from policies.hooks.store import OutboxState, count_messages, list_attempts, list_deliveries
from policies.rules.duration import parse_duration

router = APIRouter(tags=["endpoints"], route_class=IdempotentRoute)

_Settings = Annotated[dict[str, str], Field(default_factory=dict, max_length=32)]


class EndpointBody(BaseModel):
    """What an endpoint is to be. ``url`` may be left out where the kind has an address of its own."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    kind: str | None = Field(None, min_length=1, max_length=16)
    url: str | None = Field(None, min_length=1, max_length=2048)
    options: _Settings
    secrets: _Settings
    signing: Literal["v1", "v1a"] = "v1"

    def spec(self, kind: str) -> EndpointSpec:
        """Return the same as the rest of the house knows it; ``kind`` stands in where none was given."""
        return EndpointSpec(self.kind or kind, self.url, self.options, self.secrets, scheme=self.signing)


class NewEndpoint(EndpointBody):
    """A new receiver; ``id`` is the name policies use."""

    id: str = Field(pattern=r"^[a-z0-9]([a-z0-9_.-]{0,62}[a-z0-9])?$")


class RotationBody(BaseModel):
    """How long both keys sign, as 24h or 7d."""

    model_config = ConfigDict(extra="forbid")
    overlap: str = Field("24h", max_length=16)
    signing: Literal["v1", "v1a"] | None = None


class ReplayBody(BaseModel):
    """Which dead messages to send again; all without ``messages``."""

    model_config = ConfigDict(extra="forbid")
    messages: list[str] | None = Field(None, min_length=1, max_length=MOST_REPLAYED)


class DeliveryQuery(QueryModel):
    """``state`` leaves out messages in other states."""

    state: OutboxState | None = None
    cursor: str | None = Field(None, max_length=200, description="next_cursor of the page before.")
    limit: Limit = DEFAULT_LIMIT

    def before(self) -> str | None:
        """Return the id of the last message of the page before."""
        key = decode_cursor(self.cursor, str)
        return None if key is None else str(key[0])


@router.get("/endpoints", summary="Receivers, without their secrets")
def get_endpoints(caller: EndpointReader, services: WithServices) -> Response:
    """List the project's receivers by name, with their breakers and how many messages wait or were given up."""
    found = list_project_endpoints(services.db, caller.project)
    with services.db.read() as tx:
        counts = count_messages(tx, caller.project)
    return page_response([endpoint_to_json(one, counts.get(one.id, {}), services.clock()) for one in found], None)


@router.get("/endpoint-kinds", summary="Kinds of receivers, with their options and secrets")
def get_endpoint_kinds(caller: EndpointReader) -> Response:
    """List the kinds an endpoint can be of; ``address`` is shown, secret, or that of a mail server."""
    return page_response([channel_to_json(one) for one in CHANNELS.values()], None)


@router.get("/endpoints/{endpoint_id}", summary="One receiver")
def get_endpoint(endpoint_id: str, caller: EndpointReader, services: WithServices) -> Response:
    """Return one receiver; its ETag is what ``If-Match`` takes."""
    found = require_endpoint(services.db, caller.project, endpoint_id)
    with services.db.read() as tx:
        counts = count_messages(tx, caller.project).get(endpoint_id, {})
    return revision_response(endpoint_to_json(found, counts, services.clock()))


@router.post("/endpoints", status_code=201, summary="Create a receiver (strict audit)")
def post_endpoint(body: NewEndpoint, caller: EndpointWriter, services: WithServices) -> Response:
    """Return the new receiver; ``secret`` signs its webhooks and is shown this once."""
    require_log(services)
    spec, actor, now_ns = body.spec("webhook"), actor_of(caller), services.clock()
    change = create_endpoint(services.db, services.secret_box, caller.project, body.id, spec, actor, now_ns)
    return _changed(services, change, 201)


@router.put("/endpoints/{endpoint_id}", summary="Change a receiver and enable it (strict audit)")
def put_endpoint(
    endpoint_id: str, body: EndpointBody, caller: EndpointWriter, services: WithServices, expected: Expected
) -> Response:
    """Give a receiver another address, options or secrets; what is left out stays. The kind cannot change."""
    require_log(services)
    known = require_endpoint(services.db, caller.project, endpoint_id)
    spec, actor, now_ns = body.spec(known.kind), actor_of(caller), services.clock()
    change = change_endpoint(
        services.db, services.secret_box, caller.project, endpoint_id, spec, actor, now_ns, expected
    )
    return _changed(services, change, 200)


@router.post("/endpoints/{endpoint_id}/rotate", summary="Replace the signing key, both sign for a while (strict audit)")
def post_rotation(
    endpoint_id: str, body: RotationBody, caller: EndpointWriter, services: WithServices, expected: Expected
) -> Response:
    """Return the receiver with its new ``secret``, shown this once."""
    require_log(services)
    overlap_ns, actor, now_ns = _duration(body.overlap), actor_of(caller), services.clock()
    change = rotate_signing_key(
        services.db, services.secret_box, caller.project, endpoint_id, overlap_ns, actor, now_ns, expected, body.signing
    )
    return _changed(services, change, 200)


@router.delete("/endpoints/{endpoint_id}", summary="Remove a receiver (strict audit)")
def delete_endpoint(endpoint_id: str, caller: EndpointWriter, services: WithServices) -> Response:
    """Remove a receiver; messages that still wait for it are given up."""
    require_log(services)
    intake_id = remove_endpoint(services.db, caller.project, endpoint_id, actor_of(caller), services.clock())
    return json_response({"id": endpoint_id, "audit": confirm(services, intake_id).to_json()})


@router.post("/endpoints/{endpoint_id}/test", summary="Send a test message now")
def post_test(endpoint_id: str, caller: EndpointWriter, services: WithServices) -> Response:
    """Return what came of one attempt; a receiver that refuses is an answer, not an error."""
    trial = try_endpoint(
        services.db,
        services.sender,
        caller.project,
        endpoint_id,
        actor_of(caller),
        services.clock(),
        console_url=services.console_url,
        rules=breaker_rules(services.settings.webhook),
    )
    return json_response({"id": endpoint_id, **trial_to_json(trial)})


@router.get("/endpoints/{endpoint_id}/deliveries", summary="Messages to one receiver, newest first")
def get_deliveries(
    endpoint_id: str, query: Annotated[DeliveryQuery, Query()], caller: EndpointReader, services: WithServices
) -> Response:
    """List messages with their attempts, never with their bodies."""
    require_endpoint(services.db, caller.project, endpoint_id)
    with services.db.read() as tx:
        found = list_deliveries(
            tx, caller.project, endpoint_id, state=query.state, before=query.before(), limit=query.limit + 1
        )
        page = found[: query.limit]
        attempts = list_attempts(tx, [one.id for one in page])
    more = encode_cursor(page[-1].id) if len(found) > query.limit else None
    return page_response([message_to_json(one, attempts) for one in page], more)


@router.post("/endpoints/{endpoint_id}/replay", summary="Send dead messages again (strict audit)")
def post_replay(endpoint_id: str, body: ReplayBody, caller: EndpointWriter, services: WithServices) -> Response:
    """Bring dead messages back under their old ids; those that are not dead are left alone."""
    require_log(services)
    done = replay_dead_letters(
        services.db, caller.project, endpoint_id, body.messages, actor_of(caller), services.clock()
    )
    audit = None if done.intake_id is None else confirm(services, done.intake_id).to_json()
    return json_response({"replayed": list(done.replayed), "skipped": dict(done.skipped), "audit": audit})


@router.post("/endpoints/{endpoint_id}/discard", summary="Remove dead messages for good (strict audit)")
def post_discard(endpoint_id: str, body: ReplayBody, caller: EndpointWriter, services: WithServices) -> Response:
    """Remove dead messages, these or the oldest 500; those that are not dead are left alone."""
    require_log(services)
    done = discard_dead_letters(
        services.db, caller.project, endpoint_id, body.messages, actor_of(caller), services.clock()
    )
    audit = None if done.intake_id is None else confirm(services, done.intake_id).to_json()
    return json_response({"discarded": list(done.replayed), "skipped": dict(done.skipped), "audit": audit})


def _changed(services: Services, change: EndpointChange, status: int) -> Response:
    place = confirm(services, change.intake_id)
    shown = endpoint_to_json(change.endpoint, {}, services.clock())
    secret = {"secret": change.secret} if change.is_new_secret else {}
    return revision_response({**shown, **secret, "public_keys": change.public_keys, "audit": place.to_json()}, status)


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidInputError(f"overlap: {error}") from error
