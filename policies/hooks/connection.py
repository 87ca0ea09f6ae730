"""TCP for webhooks: connects only to addresses that were checked, and never outlasts its deadline.

httpcore asks a network backend for every connection. This one ignores what the host name would
resolve to now and uses the addresses it was given, while TLS still sees the host name, so certificate and
SNI stay those of the host. The deadline covers the whole attempt: a receiver that sends one byte
a second cannot hold a worker.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

Monotonic = Callable[[], float]


class PinnedBackend(httpcore.NetworkBackend):
    """A network backend that connects to the first reachable of ``addresses`` before ``deadline_s``.

    ``deadline_s`` is on the scale of ``monotonic``.
    """

    def __init__(self, addresses: Sequence[str], deadline_s: float, monotonic: Monotonic) -> None:
        self._addresses = tuple(addresses)
        self._deadline_s = deadline_s
        self._monotonic = monotonic
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Return a stream to one of the pinned addresses; ``host`` is deliberately not looked up."""
        problem: Exception = httpcore.ConnectError(f"no address to connect to for {host!r}")
        for address in self._addresses:
            try:
                left_s = _left(self._deadline_s, self._monotonic, httpcore.ConnectTimeout)
                stream = self._sockets.connect_tcp(address, port, timeout=left_s)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
            else:
                return DeadlineStream(stream, self._deadline_s, self._monotonic)
        raise problem

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        """Refuse: a webhook never goes to a local socket."""
        raise httpcore.ConnectError("webhooks do not connect to local sockets")

    def sleep(self, seconds: float) -> None:
        """Refuse: an attempt never waits for a retry of its own."""
        raise httpcore.ConnectError("webhooks do not retry inside an attempt")


class DeadlineStream(httpcore.NetworkStream):
    """A stream whose every operation ends at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline_s: float, monotonic: Monotonic) -> None:
        self._stream = stream
        self._deadline_s = deadline_s
        self._monotonic = monotonic

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what arrives before the deadline; raise ``httpcore.ReadTimeout`` after it."""
        return self._stream.read(max_bytes, _left(self._deadline_s, self._monotonic, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send everything before the deadline; raise ``httpcore.WriteTimeout`` after it."""
        self._stream.write(buffer, _left(self._deadline_s, self._monotonic, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close the socket."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the stream under TLS for ``server_hostname``, under the same deadline."""
        left_s = _left(self._deadline_s, self._monotonic, httpcore.ConnectTimeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, left_s)
        return DeadlineStream(stream, self._deadline_s, self._monotonic)

    def get_extra_info(self, info: str) -> Any:
        """Return what the socket knows about itself."""
        return self._stream.get_extra_info(info)


def _left(deadline_s: float, monotonic: Monotonic, late: type[Exception]) -> float:
    left_s = deadline_s - monotonic()
    if left_s <= 0:
        raise late("the deadline of the attempt has passed")
    return left_s
