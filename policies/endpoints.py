"""What people do with webhook endpoints. Each call is one unit of work with its audit event."""

from __future__ import annotations

from dataclasses import dataclass

from custodes.db import Database
from policies.actors import Actor, record
from policies.errors import EndpointError
from policies.hooks.address import check_url
from policies.hooks.signing import generate_secret, parse_secrets
from policies.hooks.store import Endpoint, find_endpoint, insert_endpoint, list_endpoints, set_endpoint


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """An endpoint after a change. Its secret is shown to the caller once, here."""

    endpoint: Endpoint
    intake_id: int


def put_endpoint(
    db: Database, *, project_id: str, endpoint_id: str, url: str, secret: str | None, actor: Actor, now_ns: int
) -> EndpointChange:
    """Create a webhook endpoint, or give an existing one a new address and secret and make it active again.

    Without ``secret`` an existing endpoint keeps its own and a new one gets a fresh one. Raises
    ``EndpointError`` for an unusable name, address or secret.
    """
    if not endpoint_id or len(endpoint_id) > 64:
        raise EndpointError(f"an endpoint name has 1 to 64 characters, not {len(endpoint_id)}")
    check_url(url)
    if secret is not None:
        parse_secrets(secret)
    with db.write() as tx:
        existing = find_endpoint(tx, project_id, endpoint_id)
        chosen = secret or (existing.secret if existing else generate_secret())
        created_ns = existing.created_ns if existing else now_ns
        stored = Endpoint(project_id, endpoint_id, url, chosen, "active", created_ns)
        if existing is None:
            insert_endpoint(tx, stored)
        else:
            set_endpoint(tx, project_id, endpoint_id, url, chosen)
        action = "endpoint.changed" if existing else "endpoint.created"
        data = {"url": url, "secret_changed": existing is None or chosen != existing.secret}
        intake_id = record(tx, actor, action, f"endpoint/{endpoint_id}", data, project_id, now_ns)
        return EndpointChange(stored, intake_id)


def list_project_endpoints(db: Database, project_id: str) -> list[Endpoint]:
    """Return the project's endpoints by name."""
    with db.read() as tx:
        return list_endpoints(tx, project_id)
