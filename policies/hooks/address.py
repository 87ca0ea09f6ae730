"""Which addresses a webhook may reach. A host is resolved once, every address it has is checked, and the
connection goes to an address that passed, so a name cannot mean one thing when checked and another when used.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from custodes.kernel.errors import ConfigurationError
from policies.errors import EndpointError, UnresolvedError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]
"""A function from host and port to every address the host has now; raises ``OSError`` when it has none."""

# Ranges that carry an inner IPv4 address, or that ``is_global`` calls public although nobody should be there.
_NEVER_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",  # carrier-grade NAT
        "192.0.0.0/24",  # IETF protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",  # benchmarking
        "240.0.0.0/4",  # reserved
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # local NAT64
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "::/96",  # IPv4-compatible, as ::127.0.0.1
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # former site-local
    )
)


@dataclass(frozen=True, slots=True)
class AddressRules:
    """What a webhook may reach: public addresses, and private ones inside ``private`` networks.

    ``ports`` are those that may be connected to, on private addresses too; ``None`` permits every port.
    """

    private: tuple[Network, ...] = ()
    allow_http: bool = False
    ports: frozenset[int] | None = None

    @classmethod
    def of(
        cls, private_cidrs: Sequence[str] = (), *, allow_http: bool = False, ports: Sequence[int] | None = None
    ) -> AddressRules:
        """Return the rules for networks written as CIDR; raise ``ConfigurationError`` for anything else."""
        try:
            networks = tuple(ipaddress.ip_network(text, strict=False) for text in private_cidrs)
        except ValueError as error:
            raise ConfigurationError(
                f"CUSTODES_WEBHOOK__ALLOWED_PRIVATE_CIDRS: {error}; write networks such as 10.1.0.0/16"
            ) from error
        return cls(networks, allow_http, None if ports is None else frozenset(ports))

    def permits(self, address: IPAddress) -> bool:
        """Return whether a connection may be made to ``address``."""
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        real: IPAddress = mapped or address
        if any(real in network for network in self.private if network.version == real.version):
            return True
        is_odd = any(real in network for network in _NEVER_PUBLIC if network.version == real.version)
        return real.is_global and not real.is_multicast and not is_odd


def check_url(url: str) -> SplitResult:
    """Return the parts of an absolute http(s) URL without credentials; raise ``EndpointError`` otherwise."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise EndpointError("the webhook address is not a URL; write e.g. https://example.org/hook") from error
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > 2048:
        raise EndpointError("a webhook address is at most 2048 printable ASCII characters without spaces")
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise EndpointError("a webhook address is an absolute https URL, e.g. https://example.org/hook")
    if parts.username is not None or parts.password is not None:
        raise EndpointError("a webhook address carries no user name or password; receivers check the signature")
    return parts


def check_address(url: str, *, mail: bool = False) -> SplitResult:
    """Return the parts of an endpoint's address: of a mail server, or http(s); raise ``EndpointError`` otherwise."""
    if not mail:
        return check_url(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise EndpointError(
            "a mail server is written smtps://mail.example.org or smtp://mail.example.org:587"
        ) from error
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and parts.username is None
    is_text = url.isascii() and url.isprintable() and " " not in url and len(url) <= 2048
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or port == 0 or not plain or not is_text:
        raise EndpointError("a mail server is written smtps://mail.example.org or smtp://mail.example.org:587")
    return parts


def shown_address(url: str) -> str:
    """Return an address whose path is a secret as it may be shown: ``https://hooks.slack.com/…``."""
    parts = check_url(url)
    return f"{parts.scheme}://{parts.netloc}/…"


def resolve_target(url: str, rules: AddressRules, resolver: Resolver) -> list[str]:
    """Return the addresses of the URL's host, all of them permitted, in the resolver's order.

    Raises ``EndpointError`` when the URL is unusable or *any* address is forbidden, and
    ``UnresolvedError`` when the host has no address now.
    """
    parts = check_url(url)
    if parts.scheme == "http" and not rules.allow_http:
        raise EndpointError("http webhooks are switched off; use https, or set CUSTODES_WEBHOOK__ALLOW_HTTP=true")
    return resolve_host(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), rules, resolver)


def resolve_host(host: str, port: int, rules: AddressRules, resolver: Resolver) -> list[str]:
    """Return the addresses of a host, all of them permitted; raises as :func:`resolve_target`."""
    if rules.ports is not None and port not in rules.ports:
        raise EndpointError(
            f"port {port} is not one of those that may be reached; if it is right, add it to "
            "CUSTODES_WEBHOOK__ALLOWED_PORTS"
        )
    try:
        found = resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise UnresolvedError(f"the host {host!r} does not resolve") from error
    addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
    if not addresses:
        raise UnresolvedError(f"the host {host!r} has no address")
    for address in addresses:
        if not rules.permits(address):
            raise EndpointError(
                f"{host!r} leads to {address}, which webhooks may not reach; if it is yours, add its network to "
                "CUSTODES_WEBHOOK__ALLOWED_PRIVATE_CIDRS"
            )
    return [str(address) for address in addresses]


def within(resolver: Resolver, timeout_s: float) -> Resolver:
    """Return ``resolver`` with a limit on its time: a name server that hangs must not hold a worker.

    The operating system's look-up cannot be interrupted, so a late one ends by itself in a thread nobody waits for.
    """

    def resolve(host: str, port: int) -> Sequence[str]:
        answers: queue.SimpleQueue[Sequence[str] | OSError | UnicodeError] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(resolver(host, port))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        threading.Thread(target=ask, name="custodes-resolver", daemon=True).start()
        try:
            answer = answers.get(timeout=timeout_s)
        except queue.Empty as error:
            raise TimeoutError(f"no answer from a name server within {timeout_s:g} s") from error
        if isinstance(answer, OSError | UnicodeError):
            raise answer
        return answer

    return resolve


def system_resolver(host: str, port: int) -> list[str]:
    """Return every address the operating system knows for ``host``, without repetition."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
