"""One attempt to an endpoint of any kind, over real HTTP, with secrets out of the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import standardwebhooks

from collector.content import MasterSecretBox
from custodes.db import Database
from custodes.kernel.clock import HOUR_NS, SECOND_NS, Clock
from custodes.kernel.settings import Settings
from policies.actors import Actor
from policies.endpoints import EndpointChange, EndpointSpec, create_endpoint, require_endpoint, rotate_signing_key
from policies.errors import EndpointError
from policies.hooks.address import AddressRules
from policies.hooks.mail import MailSender
from policies.hooks.sender import ChannelSender
from policies.hooks.signing import verify_headers
from policies.hooks.webhook import Delivered, Outcome, Rejected, RetryLater, Untold, WebhookSender

ANN = Actor("ann", "operator")
RULES = AddressRules.of(["127.0.0.0/8"], allow_http=True)
BODY = orjson.dumps(
    {
        "type": "incident.opened",
        "timestamp": "2026-11-21T10:00:00.000000Z",
        "data": {"incident_id": "inc-1", "project": "default", "severity": "high", "title": "t", "summary": "s"},
    }
)


def now() -> int:
    return time.time_ns()


@pytest.fixture
def send(database: Database, secret_box: MasterSecretBox) -> Callable[..., Outcome]:
    """Return a function that makes one attempt to an endpoint as it is stored."""

    def attempt(name: str = "oncall", now_ns: int | None = None, body: bytes = BODY) -> Outcome:
        sender = ChannelSender(WebhookSender(RULES), MailSender(RULES), secret_box)
        return sender.deliver(require_endpoint(database, "default", name), "msg_1", body, now_ns or now())

    return attempt


@pytest.fixture
def create(database: Database, secret_box: MasterSecretBox) -> Callable[..., EndpointChange]:
    """Return a function that creates an endpoint."""

    def make(url: str | None, kind: str = "webhook", name: str = "oncall", **more: Any) -> EndpointChange:
        return create_endpoint(database, secret_box, "default", name, EndpointSpec(kind, url, **more), ANN, now())

    return make


class TestKinds:
    def test_a_webhook_is_verified_by_an_independent_library(
        self, create: Callable[..., EndpointChange], send: Callable[..., Outcome], receiver: Any
    ) -> None:
        secret = create(receiver.url).secret
        assert secret is not None
        assert send() == Delivered(204)
        (request,) = receiver.requests
        assert standardwebhooks.Webhook(secret).verify(request.body, request.headers) == orjson.loads(BODY)

    def test_so_is_an_event_in_an_envelope(
        self, create: Callable[..., EndpointChange], send: Callable[..., Outcome], receiver: Any
    ) -> None:
        secret = create(receiver.url, "cloudevents").secret
        assert secret is not None
        assert send() == Delivered(204)
        (request,) = receiver.requests
        event = standardwebhooks.Webhook(secret).verify(request.body, request.headers)
        assert (event["specversion"], event["type"], event["id"]) == ("1.0", "custodes.incident.opened", "msg_1")
        assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"

    def test_an_ed25519_key_signs_v1a(
        self, create: Callable[..., EndpointChange], send: Callable[..., Outcome], receiver: Any
    ) -> None:
        change = create(receiver.url, scheme="v1a")
        (public,) = change.public_keys
        send()
        (request,) = receiver.requests
        assert request.headers["webhook-signature"].startswith("v1a,")
        assert verify_headers([public], request.headers, request.body, now() // SECOND_NS)
        assert not verify_headers([public], request.headers, request.body + b" ", now() // SECOND_NS)

    @pytest.mark.parametrize("kind", ["slack", "teams"])
    def test_an_address_that_is_a_secret_is_used_and_never_shown(
        self,
        create: Callable[..., EndpointChange],
        send: Callable[..., Outcome],
        receiver: Any,
        database: Database,
        kind: str,
    ) -> None:
        create(receiver.url + "/token", kind)
        assert send() == Delivered(204)
        assert receiver.requests[0].path == "/hook/token"
        assert "webhook-signature" not in receiver.requests[0].headers
        stored = require_endpoint(database, "default", "oncall")
        assert stored.url.endswith("/…")
        assert "token" not in repr(stored)
        assert stored.sealed is not None
        assert b"token" not in stored.sealed

    def test_alertmanager_is_reached_below_its_base(
        self, create: Callable[..., EndpointChange], send: Callable[..., Outcome], receiver: Any
    ) -> None:
        create(receiver.url, "alertmanager", secrets={"token": "t0k"})
        assert send() == Delivered(204)
        assert receiver.requests[0].path == "/hook/api/v2/alerts"
        assert receiver.requests[0].headers["authorization"] == "Bearer t0k"

    def test_an_event_a_kind_is_not_told_of_makes_no_call(
        self, create: Callable[..., EndpointChange], send: Callable[..., Outcome], receiver: Any
    ) -> None:
        create(receiver.url, "pagerduty", secrets={"routing_key": "k" * 32})
        assert isinstance(send(body=b'{"type":"audit.checkpoint","timestamp":"","data":{}}'), Untold)
        assert receiver.requests == []

    def test_calls_are_made_in_order_until_one_fails(
        self, create: Callable[..., EndpointChange], send: Callable[..., Outcome], receiver: Any
    ) -> None:
        create(receiver.url, "pagerduty", secrets={"routing_key": "k" * 32})
        test = BODY.replace(b"incident.opened", b"endpoint.test")
        receiver.answers = [(202, {}, b""), (429, {"retry-after": "7"}, b"")]
        assert send(body=test) == RetryLater("answered 429", 429, 7.0)
        assert [orjson.loads(one.body)["event_action"] for one in receiver.requests] == ["trigger", "resolve"]

    def test_mail_goes_by_smtp(self, create: Callable[..., EndpointChange], send: Callable[..., Outcome]) -> None:
        create("smtp://127.0.0.1:1", "email", options={"from": "a@example.org", "to": "b@example.org"})
        assert send() == RetryLater("the connection failed: ConnectionRefusedError")


class TestRotation:
    def test_both_keys_sign_until_the_overlap_ends(
        self,
        create: Callable[..., EndpointChange],
        send: Callable[..., Outcome],
        receiver: Any,
        database: Database,
        secret_box: MasterSecretBox,
    ) -> None:
        old, start_ns = create(receiver.url).secret, now()
        new = rotate_signing_key(database, secret_box, "default", "oncall", HOUR_NS, ANN, start_ns).secret
        assert old is not None
        assert new is not None
        assert new != old
        send()
        during = receiver.requests[-1]
        assert len(during.headers["webhook-signature"].split(" ")) == 2
        for secret in (old, new):
            assert standardwebhooks.Webhook(secret).verify(during.body, during.headers)
        late_ns = start_ns + HOUR_NS
        send(now_ns=late_ns)
        after = receiver.requests[-1]
        assert not verify_headers([old], after.headers, after.body, late_ns // SECOND_NS)
        assert verify_headers([new], after.headers, after.body, late_ns // SECOND_NS)

    def test_a_key_can_be_replaced_by_one_of_the_other_scheme(
        self,
        create: Callable[..., EndpointChange],
        send: Callable[..., Outcome],
        receiver: Any,
        database: Database,
        secret_box: MasterSecretBox,
    ) -> None:
        old = create(receiver.url).secret
        change = rotate_signing_key(database, secret_box, "default", "oncall", HOUR_NS, ANN, now(), scheme="v1a")
        send()
        request = receiver.requests[-1]
        kinds = [one.split(",")[0] for one in request.headers["webhook-signature"].split(" ")]
        assert kinds == ["v1a", "v1"]
        assert old is not None
        assert standardwebhooks.Webhook(old).verify(request.body, request.headers)
        assert verify_headers(change.public_keys, request.headers, request.body, now() // SECOND_NS)

    def test_without_overlap_the_old_key_ends_at_once(
        self,
        create: Callable[..., EndpointChange],
        send: Callable[..., Outcome],
        receiver: Any,
        database: Database,
        secret_box: MasterSecretBox,
    ) -> None:
        create(receiver.url)
        rotate_signing_key(database, secret_box, "default", "oncall", 0, ANN, now())
        send()
        assert " " not in receiver.requests[-1].headers["webhook-signature"]

    def test_kinds_without_signatures_have_nothing_to_rotate(
        self, create: Callable[..., EndpointChange], database: Database, secret_box: MasterSecretBox
    ) -> None:
        create("https://hooks.slack.com/services/T/B/x", "slack")
        with pytest.raises(EndpointError, match="carry no signature"):
            rotate_signing_key(database, secret_box, "default", "oncall", HOUR_NS, ANN, now())


class TestSecrets:
    def test_a_key_that_is_not_there_costs_attempts_and_not_the_message(
        self, create: Callable[..., EndpointChange], database: Database, tmp_path: Path
    ) -> None:
        create("https://a.example/")
        (tmp_path / "content.key").rename(tmp_path / "kept")
        clock: Clock = now
        box = MasterSecretBox(database, Settings(data_dir=tmp_path), clock)
        sender = ChannelSender(WebhookSender(RULES), MailSender(RULES), box)
        outcome = sender.deliver(require_endpoint(database, "default", "oncall"), "msg_1", BODY, now())
        assert isinstance(outcome, RetryLater)
        assert "restore it from your backup" in outcome.reason

    @pytest.mark.parametrize(
        "body", [b"no json", b"{}", b'{"type":"incident.opened","timestamp":"?","data":{"incident_id":"a"}}']
    )
    def test_an_event_that_cannot_be_written_is_given_up_alone(
        self, create: Callable[..., EndpointChange], send: Callable[..., Outcome], body: bytes
    ) -> None:
        create("https://a.example", "alertmanager")
        outcome = send(body=body)
        assert isinstance(outcome, Rejected)
        assert "cannot be told" in outcome.reason

    def test_an_address_that_is_forbidden_is_refused_for_every_kind(
        self, create: Callable[..., EndpointChange], send: Callable[..., Outcome]
    ) -> None:
        create("https://169.254.169.254/latest/meta-data", "slack")
        outcome = send()
        assert isinstance(outcome, Rejected)
        assert "may not reach" in outcome.reason
