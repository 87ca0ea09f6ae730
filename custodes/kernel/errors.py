"""The error tree of Custodes.

Errors carry data and say what failed, the value seen and what to do; one table at the HTTP edge
(``collector.rest.problems``) maps them to status codes.

::

    CustodesError
    ├── ConfigurationError      settings, data directory, keys on disk: start-up stops
    ├── UnavailableError        a dependency cannot be used right now; trying again later can help
    │   ├── OverloadedError     intake is full; carries retry_after_s
    │   └── DatabaseError       the database refused or is unreachable
    ├── InvalidInputError       the caller sent something unusable; trying again cannot help
    │   ├── MalformedError      bytes that cannot be decoded
    │   ├── TooLargeError       a limit was exceeded; carries limit and seen
    │   └── UnsupportedError    a media type, encoding or kind we do not speak
    ├── AuthenticationError     no key, or a key that is not valid
    ├── PermissionError_        a valid key whose role may not do this
    ├── NotFoundError           no such thing in this project
    └── ConflictError           the object changed, or the state forbids the action
        └── StaleError          the caller named a revision that is not the present one

``detectors`` has a root of its own (``detectors.errors``), because it knows none of our packages.
"""

from __future__ import annotations


class CustodesError(Exception):
    """Root of every error Custodes raises on purpose."""


class ConfigurationError(CustodesError):
    """A setting, file or directory is unusable; the message names it and what to do."""


class UnavailableError(CustodesError):
    """Something needed is not available now; the same call may succeed later."""


class OverloadedError(UnavailableError):
    """The intake is full. ``retry_after_s`` is at most 5, because exporters drop batches on longer waits."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = min(retry_after_s, 5.0)


class DatabaseError(UnavailableError):
    """The database cannot be reached, opened or written."""


class InvalidInputError(CustodesError):
    """The caller's input cannot be used; repeating the call cannot help."""


class MalformedError(InvalidInputError):
    """Bytes that do not decode as what they claim to be."""


class TooLargeError(InvalidInputError):
    """A documented limit was exceeded."""

    def __init__(self, message: str, *, limit: int, seen: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.seen = seen


class UnsupportedError(InvalidInputError):
    """A media type, content encoding or kind that is not spoken here."""


class AuthenticationError(CustodesError):
    """No credentials, or credentials that are not valid."""


class PermissionError_(CustodesError):
    """Valid credentials whose role may not do this; carries the role seen and the roles that may."""

    def __init__(self, message: str, *, role: str, needed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.role = role
        self.needed = needed


class NotFoundError(CustodesError):
    """No such object in the caller's project."""


class ConflictError(CustodesError):
    """The object changed meanwhile, or its state forbids the action."""


class StaleError(ConflictError):
    """The caller acts on a revision of the object that is not the present one; reading it again helps."""
