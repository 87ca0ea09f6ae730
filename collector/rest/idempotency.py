"""``Idempotency-Key``: a write that is sent twice happens once, and both are answered alike.

A client that does not know whether its request arrived repeats it with the same key. Answers are kept for 24 hours,
for each caller apart. Only successes are kept: what was refused may be repeated under its key. A secret that was
shown once is not kept; a repeated request finds ``null`` in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from collector.rest.dependencies import authenticate_request, get_services
from collector.rest.queries.idempotency import RequestKey, StoredAnswer, claim_key, keep_answer, release_key
from custodes.kernel.errors import InvalidInputError

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_SECRETS = ("secret",)
MAX_KEY_CHARACTERS = 128

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class IdempotentRoute(APIRoute):
    """A route whose writes honour ``Idempotency-Key``."""

    def get_route_handler(self) -> Handler:
        """Return the handler that looks for the key before it does anything."""
        handle = super().get_route_handler()

        async def once(request: Request) -> Response:
            key = request.headers.get("idempotency-key")
            if key is None or request.method not in _WRITES:
                return await handle(request)
            if not 1 <= len(key) <= MAX_KEY_CHARACTERS or not key.isprintable():
                raise InvalidInputError("Idempotency-Key has 1 to 128 printable characters, e.g. a UUID")
            return await _handle_once(request, key, handle)

        return once


async def _handle_once(request: Request, key: str, handle: Handler) -> Response:
    services = get_services(request)
    caller = await run_in_threadpool(authenticate_request, request)
    named = RequestKey(caller.project, caller.actor, key, _fingerprint(request, await request.body()))
    stored = await run_in_threadpool(claim_key, services.db, named, services.clock())
    if stored is not None:
        return _replay(stored)
    try:
        response = await handle(request)
    except BaseException:
        await run_in_threadpool(release_key, services.db, named)
        raise
    if 200 <= response.status_code < 300:
        answer = StoredAnswer(response.status_code, _without_secrets(response.body), response.headers.get("etag"))
        await run_in_threadpool(keep_answer, services.db, named, answer)
    else:
        await run_in_threadpool(release_key, services.db, named)
    return response


def _fingerprint(request: Request, body: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (request.method, request.url.path, request.url.query, request.headers.get("if-match", "")):
        digest.update(part.encode())
        digest.update(b"\0")
    digest.update(body)
    return digest.digest()


def _replay(stored: StoredAnswer) -> Response:
    headers = {"idempotency-replayed": "true"}
    if stored.etag is not None:
        headers["etag"] = stored.etag
    return Response(stored.body, stored.status, headers, "application/json")


def _without_secrets(body: bytes | memoryview) -> bytes:
    payload = orjson.loads(body)
    if isinstance(payload, dict) and any(name in payload for name in _SECRETS):
        return orjson.dumps({**payload, **{name: None for name in _SECRETS if name in payload}})
    return bytes(body)
