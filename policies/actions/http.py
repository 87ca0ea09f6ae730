"""JSON over HTTP to the servers that actions use, under the rules that webhooks follow for where they may go.

A host is resolved once, every address is checked, and the connection goes to an address that passed. Redirects are
not followed, proxies of the environment not used, and an answer is read up to a mebibyte and until a deadline.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import orjson

from policies.errors import EndpointError, UnresolvedError
from policies.hooks.address import AddressRules, Resolver, check_url, resolve_target, system_resolver
from policies.hooks.connection import Monotonic, PinnedBackend

MAX_ANSWER_BYTES: Final = 1 << 20
USER_AGENT: Final = "custodes-action/1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said. ``body`` is ``None`` when it was no JSON; ``text`` is its readable beginning."""

    status: int
    body: Any
    text: str

    @property
    def is_success(self) -> bool:
        """Whether it is 2xx."""
        return 200 <= self.status < 300

    def field(self, *path: str | int) -> Any:
        """Return what stands at a path of the body, ``None`` where nothing does."""
        value = self.body
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No complete answer. ``forbidden`` is set where trying again cannot help."""

    reason: str
    forbidden: bool = False


class JsonClient:
    """Calls one server. Stateless between calls and safe to share between threads."""

    def __init__(
        self,
        base_url: str,
        rules: AddressRules,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 15.0,
        resolver: Resolver = system_resolver,
        monotonic: Monotonic = time.monotonic,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        check_url(base_url)
        self._base_url = base_url.rstrip("/")
        self._rules = rules
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s
        self._resolver = resolver
        self._monotonic = monotonic
        self._ssl_context = ssl_context or ssl.create_default_context()

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer | NoAnswer:
        """Return the answer to one request; never raises for anything the other side does."""
        url = f"{self._base_url}{path}"
        try:
            addresses = resolve_target(url, self._rules, self._resolver)
        except EndpointError as error:
            hint = "CUSTODES_ACTION__ALLOWED_PRIVATE_CIDRS and CUSTODES_ACTION__ALLOW_HTTP"
            message = str(error).replace("CUSTODES_WEBHOOK__", "CUSTODES_ACTION__")
            return NoAnswer(f"{message} (see {hint})", forbidden=True)
        except UnresolvedError as error:
            return NoAnswer(str(error))
        try:
            return self._send(method, url, body, addresses, headers or {})
        except httpcore.TimeoutException:
            return NoAnswer(f"no complete answer within {self._timeout_s:g} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
            return NoAnswer(f"the connection failed: {type(error).__name__}")

    def _send(
        self, method: str, url: str, body: Mapping[str, Any] | None, addresses: list[str], more: Mapping[str, str]
    ) -> Answer | NoAnswer:
        content = b"" if body is None else orjson.dumps(dict(body))
        headers = {
            "host": check_url(url).netloc,
            "accept": "application/json",
            "user-agent": USER_AGENT,
            **({} if body is None else {"content-type": "application/json"}),
            **({"content-length": str(len(content))} if content or method != "GET" else {}),
            **self._headers,
            **more,
        }
        backend = PinnedBackend(addresses, self._monotonic() + self._timeout_s, self._monotonic)
        pool = httpcore.ConnectionPool(
            ssl_context=self._ssl_context, max_keepalive_connections=0, retries=0, network_backend=backend
        )
        with pool, pool.stream(method, url, headers=list(headers.items()), content=content) as response:
            parts, size = [], 0
            for chunk in response.iter_stream():
                parts.append(chunk)
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    return NoAnswer(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
            return _read(response.status, b"".join(parts))


def _read(status: int, content: bytes) -> Answer:
    try:
        body = orjson.loads(content) if content else None
    except orjson.JSONDecodeError:
        body = None
    text = "".join(c if c.isprintable() else " " for c in content[:200].decode("utf-8", "replace"))
    return Answer(status, body, text.strip())
