"""What people do with endpoints. Each call is one unit of work with its audit event, which never holds a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from custodes.db import Database
from custodes.kernel.clock import DAY_NS, ns_to_rfc3339
from custodes.kernel.errors import ConflictError, InvalidInputError, NotFoundError, StaleError
from policies.actors import Actor, record
from policies.errors import EndpointError
from policies.hooks.address import check_address, shown_address
from policies.hooks.breaker import Breaker
from policies.hooks.channels import Channel, require_channel
from policies.hooks.endpoint_store import (
    Endpoint,
    delete_endpoint,
    disable_endpoint,
    find_endpoint,
    insert_endpoint,
    list_endpoints,
    set_endpoint,
)
from policies.hooks.secrets import SecretBox, open_secrets, seal_secrets
from policies.hooks.sender import ADDRESS, SIGNING
from policies.hooks.signing import PrivateKey, generate_private_key, generate_secret, parse_secrets

MAX_NAME_CHARACTERS = 64
LONGEST_OVERLAP_NS = 30 * DAY_NS
Scheme = Literal["v1", "v1a"]


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """What an endpoint is to be. ``url`` may be left out where the kind has one of its own.

    ``signing`` are keys of the caller's making; without them an endpoint that signs gets one of ``scheme``.
    """

    kind: str = "webhook"
    url: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    signing: str | None = field(default=None, repr=False)
    scheme: Scheme = "v1"


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """An endpoint after a change. ``secret`` are its signing keys, ``is_new_secret`` whether this change made them."""

    endpoint: Endpoint
    intake_id: int
    secret: str | None = field(default=None, repr=False)
    is_new_secret: bool = False

    @property
    def public_keys(self) -> list[str]:
        """What receivers of Ed25519 signatures verify with; not a secret."""
        keys = () if self.secret is None else parse_secrets(self.secret)
        return [one.public_text() for one in keys if isinstance(one, PrivateKey)]


def create_endpoint(
    db: Database, box: SecretBox, project_id: str, endpoint_id: str, spec: EndpointSpec, actor: Actor, now_ns: int
) -> EndpointChange:
    """Create an endpoint. Raises ``EndpointError`` for unusable values and ``ConflictError`` if its name is taken."""
    _check_name(endpoint_id)
    channel, secrets = _check_spec(spec)
    if channel.signs:
        secrets[SIGNING] = spec.signing or _generate(spec.scheme)
    made = Endpoint(
        project_id=project_id,
        id=endpoint_id,
        url=_shown(channel, spec.url),
        sealed=seal_secrets(box, project_id, endpoint_id, secrets),
        state="active",
        created_ns=now_ns,
        kind=channel.kind,
        options=dict(spec.options),
    )
    with db.write() as tx:
        if find_endpoint(tx, project_id, endpoint_id) is not None:
            # Overwriting it would redirect its alarms.
            raise ConflictError(f"endpoint {endpoint_id!r} exists already; change it, or take another name")
        insert_endpoint(tx, made)
        data = _describe(made, secrets)
        intake_id = record(tx, actor, "endpoint.created", f"endpoint/{endpoint_id}", data, project_id, now_ns)
    return EndpointChange(made, intake_id, secrets.get(SIGNING), is_new_secret=channel.signs)


def change_endpoint(
    db: Database,
    box: SecretBox,
    project_id: str,
    endpoint_id: str,
    spec: EndpointSpec,
    actor: Actor,
    now_ns: int,
    expected: int | None = None,
) -> EndpointChange:
    """Give an endpoint a new address, options or secrets, enable it and close its breaker.

    What ``spec`` leaves out stays as it is: address, signing keys, and each secret by its name; options are replaced
    when any are given. The kind stays. Raises ``NotFoundError``, ``EndpointError``, and ``StaleError`` when the
    endpoint is not at revision ``expected``.
    """
    with db.read() as tx:
        known = _require(find_endpoint(tx, project_id, endpoint_id), project_id, endpoint_id)
    if spec.kind != known.kind:
        raise ConflictError(f"endpoint {endpoint_id!r} is of kind {known.kind}; remove it first, or take another name")
    held = open_secrets(box, project_id, endpoint_id, known.sealed)
    whole = replace(
        spec,
        url=spec.url or held.get(ADDRESS, known.url),
        options=spec.options or known.options,
        secrets={**{name: held[name] for name in held if name not in (ADDRESS, SIGNING)}, **spec.secrets},
    )
    channel, secrets = _check_spec(whole)
    if channel.signs:
        secrets[SIGNING] = spec.signing or held.get(SIGNING) or _generate(spec.scheme)
    changed = replace(
        known,
        url=_shown(channel, whole.url),
        options=dict(whole.options),
        sealed=seal_secrets(box, project_id, endpoint_id, secrets),
        state="active",
        disabled_reason=None,
        breaker=Breaker(),
    )
    names = sorted(name for name in secrets if secrets[name] != held.get(name))
    intake_id = _store(db, known, changed, "endpoint.changed", {**_describe(changed, names)}, actor, now_ns, expected)
    is_new = SIGNING in names
    return EndpointChange(replace(changed, revision=known.revision + 1), intake_id, secrets.get(SIGNING), is_new)


def put_endpoint(
    db: Database,
    box: SecretBox,
    *,
    project_id: str,
    endpoint_id: str,
    url: str | None,
    secret: str | None,
    actor: Actor,
    now_ns: int,
    kind: str = "webhook",
) -> EndpointChange:
    """Create an endpoint, or give the one of that name a new address and secret and make it active again."""
    spec = EndpointSpec(kind, url, signing=secret)
    with db.read() as tx:
        existing = find_endpoint(tx, project_id, endpoint_id)
    if existing is None:
        return create_endpoint(db, box, project_id, endpoint_id, spec, actor, now_ns)
    return change_endpoint(db, box, project_id, endpoint_id, spec, actor, now_ns)


def rotate_signing_key(
    db: Database,
    box: SecretBox,
    project_id: str,
    endpoint_id: str,
    overlap_ns: int,
    actor: Actor,
    now_ns: int,
    expected: int | None = None,
    scheme: Scheme | None = None,
) -> EndpointChange:
    """Give an endpoint a new signing key; until the overlap ends every message carries the signatures of both.

    ``scheme`` is that of the present key unless given. A rotation during an overlap ends it: the key before last
    signs no more. Raises ``NotFoundError``, ``EndpointError`` for kinds without signatures, ``StaleError``.
    """
    if not 0 <= overlap_ns <= LONGEST_OVERLAP_NS:
        raise InvalidInputError("the overlap of two keys is at most 30 days")
    with db.read() as tx:
        known = _require(find_endpoint(tx, project_id, endpoint_id), project_id, endpoint_id)
    if not require_channel(known.kind).signs:
        raise EndpointError(f"messages to {known.kind} carry no signature; change the endpoint's secrets instead")
    held = open_secrets(box, project_id, endpoint_id, known.sealed)
    is_asymmetric = any(isinstance(one, PrivateKey) for one in parse_secrets(held[SIGNING]))
    fresh = _generate(scheme or ("v1a" if is_asymmetric else "v1"))
    until_ns = now_ns + overlap_ns if overlap_ns else None
    changed = replace(
        known,
        sealed=seal_secrets(box, project_id, endpoint_id, {**held, SIGNING: fresh}),
        previous=seal_secrets(box, project_id, endpoint_id, {SIGNING: held[SIGNING]}) if overlap_ns else None,
        previous_until_ns=until_ns,
    )
    data = {"old_until": None if until_ns is None else ns_to_rfc3339(until_ns)}
    intake_id = _store(db, known, changed, "endpoint.rotated", data, actor, now_ns, expected)
    return EndpointChange(replace(changed, revision=known.revision + 1), intake_id, fresh, is_new_secret=True)


def remove_endpoint(db: Database, project_id: str, endpoint_id: str, actor: Actor, now_ns: int) -> int:
    """Delete an endpoint, give up what still waits for it, and return the audit event's intake number."""
    with db.write() as tx:
        _require(find_endpoint(tx, project_id, endpoint_id), project_id, endpoint_id)
        disable_endpoint(tx, project_id, endpoint_id, "the endpoint was removed")
        delete_endpoint(tx, project_id, endpoint_id)
        return record(tx, actor, "endpoint.removed", f"endpoint/{endpoint_id}", {}, project_id, now_ns)


def list_project_endpoints(db: Database, project_id: str) -> list[Endpoint]:
    """Return the project's endpoints by name."""
    with db.read() as tx:
        return list_endpoints(tx, project_id)


def require_endpoint(db: Database, project_id: str, endpoint_id: str) -> Endpoint:
    """Return one endpoint of the project; raise ``NotFoundError`` when there is none."""
    with db.read() as tx:
        return _require(find_endpoint(tx, project_id, endpoint_id), project_id, endpoint_id)


def _store(
    db: Database,
    known: Endpoint,
    changed: Endpoint,
    action: str,
    data: Mapping[str, Any],
    actor: Actor,
    now_ns: int,
    expected: int | None,
) -> int:
    """Store a change of what was read as ``known`` and return its intake number, unless somebody was faster."""
    with db.write() as tx:
        present = _require(find_endpoint(tx, known.project_id, known.id, lock=True), known.project_id, known.id)
        if present.revision != known.revision or expected not in (None, present.revision):
            raise StaleError(f"endpoint {known.id!r} is at revision {present.revision}; read it again")
        set_endpoint(tx, changed)
        return record(tx, actor, action, f"endpoint/{known.id}", data, known.project_id, now_ns)


def _check_spec(spec: EndpointSpec) -> tuple[Channel, dict[str, str]]:
    """Return the channel, and the secrets to keep for it without signing keys; raise ``EndpointError`` otherwise."""
    channel = require_channel(spec.kind)
    address = spec.url or channel.default_url
    if address is None:
        raise EndpointError(f"{channel.kind} needs an address")
    check_address(address, mail=channel.address == "mail")
    channel.check_settings(spec.options, spec.secrets)
    if spec.signing is not None:
        if not channel.signs:
            raise EndpointError(f"messages to {channel.kind} carry no signature, so no signing secret is taken")
        parse_secrets(spec.signing)
    secrets = dict(spec.secrets)
    if channel.address == "secret":
        secrets[ADDRESS] = address
    return channel, secrets


def _shown(channel: Channel, url: str | None) -> str:
    address = url or channel.default_url or ""
    return shown_address(address) if channel.address == "secret" else address


def _describe(one: Endpoint, secrets: Any) -> dict[str, Any]:
    """Return what the audit log records: names of options and secrets, because their values may name people."""
    return {"kind": one.kind, "url": one.url, "options": sorted(one.options), "secrets": sorted(secrets)}


def _generate(scheme: Scheme) -> str:
    return generate_private_key() if scheme == "v1a" else generate_secret()


def _check_name(endpoint_id: str) -> None:
    if not 1 <= len(endpoint_id) <= MAX_NAME_CHARACTERS:
        raise EndpointError(f"an endpoint name has 1 to 64 characters, not {len(endpoint_id)}")


def _require(found: Endpoint | None, project_id: str, endpoint_id: str) -> Endpoint:
    if found is None:
        raise NotFoundError(f"no endpoint {endpoint_id[:64]!r} in project {project_id}")
    return found
