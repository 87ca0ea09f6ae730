"""The OTLP/HTTP routes: authenticate, make room, receive the body, answer after the commit.

Answers follow the OTLP/HTTP specification: in the request's encoding, ``google.rpc.Status`` for errors, and only codes
whose meaning for exporters is intended. They send again after 503 and drop the batch after anything else, so bad input
is a 4xx and whatever is wrong on this side is 503. Nothing is redirected: exporters do not follow with their body.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.auth import Principal
from collector.limits import Reservation
from collector.otlp.body import Encoding, guess_encoding, parse_content_type
from collector.otlp.responses import Signal, error_body, status_to_code, success_body
from collector.reception import Reception, Refusal, error_to_refusal
from collector.rest.dependencies import authenticate_request, get_authenticator
from collector.services import Services
from custodes.kernel.errors import OverloadedError
from custodes.kernel.logs import fields, get_logger

PREFIXES = ("/v1", "/api/public/otel/v1")
"""Where the signals are taken; the second is where SDKs of Langfuse send."""

OTLP_PATHS = frozenset(f"{prefix}/{signal}{end}" for prefix in PREFIXES for signal in Signal for end in ("", "/"))

_DISCARD_S = 5.0
_log = get_logger("otlp")

Handler = Callable[[Request], Awaitable[Response]]


def otlp_routes(services: Services) -> list[BaseRoute]:
    """Return the routes of every OTLP signal, and what answers all else below the same prefixes as OTLP asks."""
    reception = Reception(services)
    handlers = {f"{prefix}/{signal}": _handler(services, reception, signal) for signal in Signal for prefix in PREFIXES}
    routes: list[BaseRoute] = [Route(path, handler, methods=["POST"]) for path, handler in handlers.items()]
    return routes + [Mount(prefix, _elsewhere(handlers)) for prefix in PREFIXES]


def _elsewhere(handlers: Mapping[str, Handler]) -> ASGIApp:
    """Return the application for what no route takes: a slash too many, another method, another address."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        encoding = guess_encoding(request.headers.get("content-type"))
        handler = handlers.get(scope["path"].rstrip("/"))
        if handler is None:
            await _discard(request)
            places = ", ".join(f"{PREFIXES[0]}/{signal}" for signal in Signal)
            response = _refuse(encoding, Refusal(404, f"nothing is taken at this address; OTLP goes to {places}"))
        elif request.method != "POST":
            refusal = Refusal(405, f"{request.method} is not taken here; send OTLP with POST")
            response = _refuse(encoding, refusal, {"allow": "POST"})
        else:
            response = await handler(request)
        await response(scope, receive, send)

    return serve


def _handler(services: Services, reception: Reception, signal: Signal) -> Handler:
    """Return the handler that takes ``signal`` in and answers as OTLP asks."""

    async def handle(request: Request) -> Response:
        response = await _answer(request)
        services.metrics.requests.labels(signal.value, str(response.status_code)).inc()
        return response

    async def _answer(request: Request) -> Response:
        encoding = guess_encoding(request.headers.get("content-type"))
        try:
            # Who it is comes before what it sends: a stranger's body is never read.
            caller = await _authenticate(request)
            encoding = parse_content_type(request.headers.get("content-type"))
            with services.limits.admit(caller) as reservation:
                return await _store(request, caller, reservation, encoding)
        except ClientDisconnect:
            # Nobody reads the answer; 400 keeps the request counted as one that was not stored.
            return _refuse(encoding, Refusal(400, "the connection ended before the body was complete"))
        except OverloadedError as error:
            await _discard(request)
            return _refuse(encoding, error_to_refusal(error, signal))
        except Exception as error:
            headers = dict(getattr(error, "headers", None) or {})
            return _refuse(encoding, error_to_refusal(error, signal), headers)

    async def _store(request: Request, caller: Principal, reservation: Reservation, encoding: Encoding) -> Response:
        content_encoding = request.headers.get("content-encoding")
        rejected = await reception.take(
            signal, caller, reservation, await _receive(request, reservation), encoding, content_encoding
        )
        return Response(success_body(encoding, rejected, signal), 200, media_type=encoding.value)

    return handle


async def _authenticate(request: Request) -> Principal:
    """Return the caller, who may send; a key that was good a moment ago costs no thread."""
    caller = get_authenticator(request).recall(request.headers)
    if caller is None:
        caller = await run_in_threadpool(authenticate_request, request)
    caller.require("ingest")
    return caller


async def _receive(request: Request, reservation: Reservation) -> bytes:
    """Return the body as sent, each part of it counted as it arrives."""
    received = BytesIO()
    async for chunk in request.stream():
        reservation.grow(len(chunk))
        received.write(chunk)
    return received.getvalue()


async def _discard(request: Request) -> None:
    """Read what is left of a body and throw it away: many clients look for the answer only when all is sent."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_DISCARD_S):
            async for _ in request.stream():
                pass


def _refuse(encoding: Encoding, refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
    _log.info("request refused", extra=fields(status=refusal.status, reason=refusal.message))
    headers = dict(headers or {})
    if refusal.retry_after_s is not None:
        headers["retry-after"] = str(refusal.retry_after_s)
    if refusal.status == 401:
        headers["www-authenticate"] = 'Bearer realm="custodes"'
    body = error_body(encoding, status_to_code(refusal.status), refusal.message)
    return Response(body, refusal.status, headers, encoding.value)
