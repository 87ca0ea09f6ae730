"""What can go wrong between a client and a Custodes server.

CustodesSdkError
├── ServerUnavailable      nothing answered in time, or the server answered 503
├── Unauthorized           401: no key, or a key the server does not accept
├── Forbidden              403: the key's role may not do this
├── NotFound               404: deleted, expired by retention, or never there
├── Conflict               409 or 412: someone else changed it first
├── Invalid                400, 413, 415 or 422: the request itself is wrong
├── RateLimited            429
├── ServerFailed           any other 5xx
└── UnexpectedResponse     the answer is not what this client understands
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class CustodesSdkError(Exception):
    """Root of every error this package raises.

    ``message`` is written for people. ``status`` is the HTTP status, None when no answer arrived.
    ``error_id`` is the identifier under which the server logged the failure, None when it gave none.
    ``problem`` is the RFC 9457 document, empty when there was none.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error_id: str | None = None,
        problem: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.error_id = error_id
        self.problem: Mapping[str, Any] = dict(problem or {})
        self.retry_after_s = retry_after_s


class ServerUnavailable(CustodesSdkError):
    """Nothing answered in time, or the server said 503."""


class Unauthorized(CustodesSdkError):
    """The server does not accept this key, or none was sent."""


class Forbidden(CustodesSdkError):
    """The key is valid, but its role may not do this."""


class NotFound(CustodesSdkError):
    """The object was deleted, has expired by retention, or never existed."""


class Conflict(CustodesSdkError):
    """The object changed since it was read."""


class Invalid(CustodesSdkError):
    """The server refused the request as malformed; ``problem`` may hold ``findings``."""


class RateLimited(CustodesSdkError):
    """Too many requests; ``retry_after_s`` says how long to wait when the server did."""


class ServerFailed(CustodesSdkError):
    """The server failed while answering; look for ``error_id`` in its log."""


class UnexpectedResponse(CustodesSdkError):
    """The answer is not JSON, or lacks what this client needs. Usually a version mismatch or a proxy's page."""


_BY_STATUS: dict[int, type[CustodesSdkError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: RateLimited,
    503: ServerUnavailable,
}


def status_to_error(status: int) -> type[CustodesSdkError]:
    """Return the error class for an HTTP status of 400 and above."""
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return ServerFailed if status >= 500 else Invalid
