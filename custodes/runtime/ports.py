"""Listening sockets: bound early, so that a busy port is one clear message."""

from __future__ import annotations

import errno
import socket

from custodes.kernel.errors import UnavailableError


def bind_port(host: str, port: int, setting: str) -> socket.socket:
    """Return a listening TCP socket; raise ``UnavailableError`` naming the port and the setting otherwise."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY; without it, every kept-alive answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UnavailableError(
                f"port {port} on {host} is in use; stop the program that holds it, or choose another with {setting}"
            ) from error
        raise UnavailableError(f"cannot listen on {host}:{port}: {error.strerror}; see {setting}") from error
    return listener


def check_port_free(host: str, port: int, setting: str) -> None:
    """Raise ``UnavailableError`` unless the port could be bound now."""
    bind_port(host, port, setting).close()
