"""Which addresses a webhook may reach. A host is resolved once, every address it has is checked, and the
connection goes to an address that passed, so a name cannot mean one thing when checked and another when used.
"""

from __future__ import annotations

import ipaddress
import socket
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
        "fec0::/10",  # former site-local
    )
)


@dataclass(frozen=True, slots=True)
class AddressRules:
    """What a webhook may reach: public addresses, and private ones inside ``private`` networks."""

    private: tuple[Network, ...] = ()
    allow_http: bool = False

    @classmethod
    def of(cls, private_cidrs: Sequence[str] = (), *, allow_http: bool = False) -> AddressRules:
        """Return the rules for networks written as CIDR; raise ``ConfigurationError`` for anything else."""
        try:
            networks = tuple(ipaddress.ip_network(text, strict=False) for text in private_cidrs)
        except ValueError as error:
            raise ConfigurationError(
                f"CUSTODES_WEBHOOK__ALLOWED_PRIVATE_CIDRS: {error}; write networks such as 10.1.0.0/16"
            ) from error
        return cls(networks, allow_http)

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


def resolve_target(url: str, rules: AddressRules, resolver: Resolver) -> list[str]:
    """Return the addresses of the URL's host, all of them permitted, in the resolver's order.

    Raises ``EndpointError`` when the URL is unusable or *any* address is forbidden, and
    ``UnresolvedError`` when the host has no address now.
    """
    parts = check_url(url)
    if parts.scheme == "http" and not rules.allow_http:
        raise EndpointError("http webhooks are switched off; use https, or set CUSTODES_WEBHOOK__ALLOW_HTTP=true")
    host = parts.hostname or ""
    try:
        found = resolver(host, parts.port or (443 if parts.scheme == "https" else 80))
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


def system_resolver(host: str, port: int) -> list[str]:
    """Return every address the operating system knows for ``host``, without repetition."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
