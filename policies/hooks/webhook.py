"""One POST: connect to a checked address, send, and say what happened as a value.

Only 2xx is success. Redirects are not followed, proxies from the environment are not used, and no more
than 256 bytes of an answer are ever read; none of them are kept.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpcore

from custodes.kernel.clock import SECOND_NS
from policies.errors import EndpointError, UnresolvedError
from policies.hooks.address import AddressRules, Resolver, check_url, resolve_target, system_resolver
from policies.hooks.connection import Monotonic, PinnedBackend
from policies.hooks.signing import sign_headers

MAX_READ_BYTES = 256
USER_AGENT = "custodes-webhook/1"
_THROTTLED = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver accepted: it answered 2xx, or a mail server 250."""

    status: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The attempt failed in a way that a later one may not."""

    reason: str
    status: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The endpoint itself is unusable (address, secret); trying again cannot help."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The receiver answered 410: it wants no more messages."""

    status: int = 410


@dataclass(frozen=True, slots=True)
class Untold:
    """This kind of receiver is not told of such an event: nothing was sent, and the message is done."""

    reason: str


Outcome = Delivered | RetryLater | Rejected | Gone | Untold


class WebhookSender:
    """Makes single POSTs. Stateless between attempts and safe to share between threads."""

    def __init__(
        self,
        rules: AddressRules,
        *,
        timeout_s: float = 20.0,
        resolver: Resolver = system_resolver,
        ssl_context: ssl.SSLContext | None = None,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._rules = rules
        self._timeout_s = timeout_s
        self._resolver = resolver
        self._ssl_context = ssl_context or ssl.create_default_context()
        self._monotonic = monotonic

    @property
    def timeout_s(self) -> float:
        """The longest an attempt takes, apart from the look-up of the host name."""
        return self._timeout_s

    def send(self, url: str, secret: str, message_id: str, body: bytes, now_ns: int) -> Outcome:
        """Return the outcome of one signed POST of JSON; never raises for anything the receiver does."""
        try:
            signed = sign_headers(secret, message_id, now_ns // SECOND_NS, body)
        except EndpointError as error:
            return Rejected(str(error))
        return self.post(url, {"content-type": "application/json", **signed}, body, now_ns)

    def post(self, url: str, headers: Mapping[str, str], body: bytes, now_ns: int) -> Outcome:
        """Return the outcome of one POST; never raises for anything the receiver does."""
        try:
            addresses = resolve_target(url, self._rules, self._resolver)
        except EndpointError as error:
            return Rejected(str(error))
        except UnresolvedError as error:
            return RetryLater(str(error))
        try:
            return self._post(url, headers, body, addresses, now_ns)
        except httpcore.TimeoutException:
            return RetryLater(f"no complete answer within {self._timeout_s:g} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
            return RetryLater(f"the connection failed: {type(error).__name__}")

    def _post(self, url: str, given: Mapping[str, str], body: bytes, addresses: list[str], now_ns: int) -> Outcome:
        backend = PinnedBackend(addresses, self._monotonic() + self._timeout_s, self._monotonic)
        headers = {
            "host": check_url(url).netloc,
            "content-length": str(len(body)),
            "user-agent": USER_AGENT,
            **given,
        }
        pool = httpcore.ConnectionPool(
            ssl_context=self._ssl_context, max_keepalive_connections=0, retries=0, network_backend=backend
        )
        with pool, pool.stream("POST", url, headers=list(headers.items()), content=body) as response:
            _read_a_little(response)
            return _judge(response.status, _header(response, b"retry-after"), now_ns)


def _judge(status: int, retry_after: str | None, now_ns: int) -> Outcome:
    if 200 <= status < 300:
        return Delivered(status)
    if status == 410:
        return Gone()
    if 300 <= status < 400:
        return RetryLater(f"answered {status}; redirects are not followed, set the final address", status)
    waits_s = parse_retry_after(retry_after, now_ns) if status in _THROTTLED else None
    return RetryLater(f"answered {status}", status, waits_s)


def parse_retry_after(value: str | None, now_ns: int) -> float | None:
    """Return the seconds a ``Retry-After`` header asks for, ``None`` when it is absent, malformed or in the past."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        seconds = moment.timestamp() - now_ns / SECOND_NS
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return seconds if seconds > 0 else None


def _header(response: httpcore.Response, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), None)


def _read_a_little(response: httpcore.Response) -> None:
    """Read what a polite receiver sends, so that it isn't cut off; stop at 256 bytes whatever follows."""
    seen = 0
    for chunk in response.iter_stream():
        seen += len(chunk)
        if seen >= MAX_READ_BYTES:
            return
