"""The server behind the proxy: its address, and the one pool of connections to it."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpcore

from custodes.kernel.errors import ConfigurationError

Headers = Iterable[tuple[bytes, bytes]]

_CONNECT_TIMEOUT_S = 10.0
_KEEP_S = 60.0
_MAX_CONNECTIONS = 1_000
# RFC 9110 section 7.6.1, and what only means something between two neighbours.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
    }
)
_PROVIDERS = (
    ("api.openai.com", "openai"),
    (".openai.azure.com", "azure.ai.openai"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.groq.com", "groq"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "x_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
)


def split_address(option: str, address: str, example: str) -> SplitResult:
    """Return the parts of an http or https address with a host and, if any, a port from 1 to 65535.

    Raises ``ConfigurationError`` naming the option otherwise.
    """
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ConfigurationError(f"{option} {address!r} is not an address: {error}; write it like {example}") from error
    if not usable:
        raise ConfigurationError(f"{option} {address!r} names no server; write it like {example}")
    return parts


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where calls go. ``path`` is empty or begins with a slash and ends without one."""

    scheme: str
    host: str
    port: int | None
    path: str

    @classmethod
    def parse(cls, address: str) -> Upstream:
        """Return the upstream of an address; raise ``ConfigurationError`` for one that cannot be used."""
        parts = split_address("--upstream", address, "https://api.openai.com or http://127.0.0.1:8000")
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ConfigurationError("--upstream takes scheme, host, port and path only; clients send their own keys")
        return cls(parts.scheme, parts.hostname or "", parts.port, parts.path.rstrip("/"))

    @property
    def authority(self) -> bytes:
        """The value of the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port is None else f"{host}:{self.port}").encode("ascii", "ignore")

    @property
    def provider(self) -> str:
        """The provider's name in the GenAI conventions; ``openai_compatible`` for a server nobody knows."""
        known = (name for end, name in _PROVIDERS if self.host == end or (end[0] == "." and self.host.endswith(end)))
        return next(known, "openai_compatible")

    def url(self, raw_path: bytes, query: bytes) -> httpcore.URL:
        """Return the address of a request; a path that begins with the upstream's own is not given it twice."""
        prefix = self.path.encode()
        target = raw_path if prefix and raw_path.startswith(prefix + b"/") else prefix + raw_path
        return httpcore.URL(
            scheme=self.scheme.encode(),
            host=self.host.encode(),
            port=self.port,
            target=target + (b"?" + query if query else b""),
        )

    def request_headers(self, headers: Headers, *, codings: frozenset[bytes] | None) -> list[tuple[bytes, bytes]]:
        """Return what the upstream gets: everything but what ends at a hop, our own names, and its own ``Host``.

        With ``codings`` the client's ``Accept-Encoding`` is narrowed to these, so that the answer can be read here.
        """
        given = list(headers)
        dropped = _HOP_BY_HOP | _named_in_connection(given) | {b"host"}
        kept = [(b"host", self.authority)]
        for name, value in given:
            lowered = name.lower()
            if lowered in dropped or lowered.startswith(b"x-custodes-"):
                continue
            if lowered == b"accept-encoding" and codings is not None:
                kept.append((name, _narrow(value, codings)))
            else:
                kept.append((name, value))
        return kept


def response_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return what the client gets of an upstream's headers."""
    given = list(headers)
    dropped = _HOP_BY_HOP | _named_in_connection(given)
    return [(name.lower(), value) for name, value in given if name.lower() not in dropped]


def open_pool() -> httpcore.AsyncConnectionPool:
    """Return a pool that keeps connections for a minute. Certificates are those of the system, or SSL_CERT_FILE."""
    return httpcore.AsyncConnectionPool(
        ssl_context=ssl.create_default_context(),
        max_connections=_MAX_CONNECTIONS,
        max_keepalive_connections=100,
        keepalive_expiry=_KEEP_S,
    )


def timeouts(answer_s: float) -> dict[str, dict[str, float]]:
    """Return the limits of one call: ``answer_s`` seconds between any two pieces of the answer."""
    waits = {"connect": _CONNECT_TIMEOUT_S, "read": answer_s, "write": answer_s, "pool": _CONNECT_TIMEOUT_S}
    return {"timeout": waits}


def _named_in_connection(headers: list[tuple[bytes, bytes]]) -> frozenset[bytes]:
    values = (value for name, value in headers if name.lower() == b"connection")
    return frozenset(name.strip().lower() for value in values for name in value.split(b","))


def _narrow(value: bytes, codings: frozenset[bytes]) -> bytes:
    kept = [part.strip() for part in value.split(b",") if part.partition(b";")[0].strip().lower() in codings]
    return b", ".join(kept) or b"identity"
