"""Errors as RFC 9457 problem documents: the one table from error class to status.

``type`` is stable and meant for programs, ``detail`` is meant for people, ``error_id`` finds the log line.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from math import ceil

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from custodes.kernel.errors import (
    AuthenticationError,
    ConflictError,
    CustodesError,
    InvalidInputError,
    MalformedError,
    NotFoundError,
    OverloadedError,
    PermissionError_,
    StaleError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)
from custodes.kernel.ids import new_uuid7
from custodes.kernel.logs import fields, get_logger
from policies.audit.errors import AuditError, NotInLogError, TileError
from policies.errors import PolicyError

RETRY_AFTER_S = 2
"""What 503 tells a client to wait when the error itself does not say; exporters drop batches above 5."""

_log = get_logger("rest")


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A row of the table: HTTP status and the last part of ``type``."""

    status: int
    slug: str

    @property
    def type(self) -> str:
        """The stable identifier."""
        return f"urn:custodes:problem:{self.slug}"


# The first row whose class matches decides, so subclasses stand above their parents.
PROBLEMS: tuple[tuple[type[Exception], ProblemKind], ...] = (
    (PolicyError, ProblemKind(422, "invalid-policy")),
    (TooLargeError, ProblemKind(413, "too-large")),
    (UnsupportedError, ProblemKind(415, "unsupported")),
    (MalformedError, ProblemKind(400, "malformed")),
    (InvalidInputError, ProblemKind(400, "invalid-input")),
    (AuthenticationError, ProblemKind(401, "unauthenticated")),
    (PermissionError_, ProblemKind(403, "forbidden")),
    (NotFoundError, ProblemKind(404, "not-found")),
    (StaleError, ProblemKind(412, "changed")),
    (ConflictError, ProblemKind(409, "conflict")),
    (OverloadedError, ProblemKind(503, "overloaded")),
    (UnavailableError, ProblemKind(503, "unavailable")),
    (NotInLogError, ProblemKind(404, "not-in-log")),
    (TileError, ProblemKind(404, "not-in-log")),
    (AuditError, ProblemKind(503, "audit-log-unavailable")),
)
# What the framework and the boundary refuse by status gets the type that our own errors have.
_HTTP_SLUGS = {400: "malformed", 413: "too-large", 415: "unsupported"}
_INTERNAL = ProblemKind(500, "internal")


def error_to_kind(error: Exception) -> ProblemKind:
    """Return the status and type of an error; an error that is not in the table is ours and gets 500."""
    return next((kind for known, kind in PROBLEMS if isinstance(error, known)), _INTERNAL)


def error_to_response(error: Exception) -> Response:
    """Return the problem document of an error, and log it under the same ``error_id``.

    The message of an error outside the table may hold anything, so it is logged by its type alone.
    """
    kind = error_to_kind(error)
    detail = str(error) if kind is not _INTERNAL else "something went wrong inside Custodes; the log has this error_id"
    extra: dict[str, object] = {}
    headers: dict[str, str] = {}
    if isinstance(error, PermissionError_):
        extra = {"role": error.role, "needed": list(error.needed)}
    elif isinstance(error, PolicyError):
        extra = {"findings": [finding_to_json(finding) for finding in error.findings]}
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="custodes"'
    elif kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = retry_after(error)
    return problem_response(kind, detail, extra, headers, cause=error)


def retry_after(error: Exception | None = None) -> str:
    """Return the ``Retry-After`` of a 503 in whole seconds, at least 1 and at most 5."""
    wait_s = error.retry_after_s if isinstance(error, OverloadedError) else RETRY_AFTER_S
    return str(max(1, ceil(wait_s)))


def problem_response(
    kind: ProblemKind,
    detail: str,
    extra: dict[str, object] | None = None,
    headers: dict[str, str] | None = None,
    cause: Exception | None = None,
) -> Response:
    """Return a problem document with a fresh ``error_id``, and log that it was given."""
    error_id = new_uuid7()
    severe = kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    (_log.error if severe else _log.info)(
        "request refused",
        extra=fields(error_id=error_id, status=kind.status, problem=kind.slug, error=type(cause).__name__),
        exc_info=cause if kind is _INTERNAL else None,
    )
    body = {
        "type": kind.type,
        "title": HTTPStatus(kind.status).phrase,
        "status": kind.status,
        "detail": detail,
        "error_id": error_id,
        **(extra or {}),
    }
    return Response(orjson.dumps(body), kind.status, headers, "application/problem+json")


def finding_to_json(finding: object) -> dict[str, object]:
    """Return a policy finding as JSON: where, what and the nearest valid name."""
    names = ("line", "field", "message", "nearest", "level")
    return {name: getattr(finding, name) for name in names}


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error that reaches ``app`` a problem document."""

    async def on_known(_: Request, error: Exception) -> Response:
        return error_to_response(error)

    async def on_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        slug = _HTTP_SLUGS.get(error.status_code) or HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        detail = "no such address; see /api/v1/openapi.json" if error.status_code == 404 else error.detail
        return problem_response(ProblemKind(error.status_code, slug), detail, headers=dict(error.headers or {}))

    async def on_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        problems = [_explain(one) for one in error.errors()]
        detail = "; ".join(f"{one['name']}: {one['message']}" for one in problems)
        return problem_response(ProblemKind(400, "invalid-parameter"), detail, {"parameters": problems})

    for known, _ in PROBLEMS:
        app.add_exception_handler(known, on_known)
    app.add_exception_handler(CustodesError, on_known)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)


def _explain(problem: dict[str, object]) -> dict[str, object]:
    """Return which parameter is wrong and why; the value is not repeated, since a body may hold secrets."""
    place = problem.get("loc")
    parts = [str(part) for part in place[1:]] if isinstance(place, tuple | list) else []
    message = str(problem.get("msg", "is not valid")).removeprefix("Value error, ")
    if problem.get("type") == "extra_forbidden":
        message = "no such parameter here"
    return {"name": ".".join(parts) or "body", "message": message}
