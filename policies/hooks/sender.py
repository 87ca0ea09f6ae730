"""One delivery attempt to an endpoint of any kind: open its secrets, format the event, make the calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from custodes.kernel.clock import SECOND_NS
from custodes.kernel.errors import CustodesError
from policies.errors import EndpointError
from policies.hooks.channels import Call, HttpCall, Target, read_event, require_channel
from policies.hooks.endpoint_store import Endpoint
from policies.hooks.mail import MailSender
from policies.hooks.secrets import SecretBox, open_secrets
from policies.hooks.signing import sign_headers
from policies.hooks.webhook import Delivered, Outcome, Rejected, RetryLater, Untold, WebhookSender

ADDRESS = "address"
SIGNING = "signing"


def signing_keys(box: SecretBox, receiver: Endpoint, now_ns: int) -> list[str]:
    """Return the keys that sign messages to an endpoint now, the replaced ones of a rotation last.

    Raises ``CustodesError`` when they cannot be decrypted; call it outside any unit of work.
    """
    found = [
        open_secrets(box, receiver.project_id, receiver.id, sealed).get(SIGNING, "")
        for sealed in (receiver.sealed, receiver.previous_at(now_ns))
    ]
    return " ".join(found).split()


class ChannelSender:
    """Makes delivery attempts. Stateless between them and safe to share between threads.

    Call it outside any unit of work: opening secrets may read the database, and receivers take their time.
    """

    def __init__(self, http: WebhookSender, mail: MailSender, box: SecretBox) -> None:
        self._http = http
        self._mail = mail
        self._box = box

    @property
    def timeout_s(self) -> float:
        """The longest an attempt takes: as long for the look-up of the host name as for the call."""
        return 2 * self._http.timeout_s

    def deliver(self, receiver: Endpoint, message_id: str, body: bytes, now_ns: int) -> Outcome:
        """Return the outcome of one attempt; never raises for anything the receiver does."""
        try:
            secrets = open_secrets(self._box, receiver.project_id, receiver.id, receiver.sealed)
            replaced = open_secrets(self._box, receiver.project_id, receiver.id, receiver.previous_at(now_ns))
        except CustodesError as error:
            # Somebody may bring the right key back, so nothing is given up.
            return RetryLater(str(error))
        try:
            channel = require_channel(receiver.kind)
            target = Target(secrets.pop(ADDRESS, receiver.url), receiver.options, secrets)
            calls: tuple[Call, ...] = channel.format(read_event(message_id, body), target)
            if channel.signs:
                keys = " ".join(one[SIGNING] for one in (secrets, replaced) if SIGNING in one)
                calls = tuple(_sign(one, keys, message_id, now_ns) for one in calls if isinstance(one, HttpCall))
        except EndpointError as error:
            return Rejected(str(error))
        except (KeyError, TypeError, ValueError) as error:
            # One message that cannot be written must not keep all others from being sent.
            return Rejected(f"this event cannot be told to a {receiver.kind} endpoint: {type(error).__name__}")
        outcome: Outcome = Untold(f"a {receiver.kind} endpoint is not told of this kind of event")
        for call in calls:
            outcome = self._make(call, now_ns)
            if not isinstance(outcome, Delivered):
                return outcome
        return outcome

    def _make(self, call: Call, now_ns: int) -> Outcome:
        if isinstance(call, HttpCall):
            return self._http.post(call.url, call.headers, call.body, now_ns)
        return self._mail.send(call)


def _sign(call: HttpCall, keys: str, message_id: str, now_ns: int) -> HttpCall:
    signed: Mapping[str, str] = sign_headers(keys, message_id, now_ns // SECOND_NS, call.body)
    return replace(call, headers={**call.headers, **signed})
