"""The OTLP/HTTP routes: authenticate, read the body within bounds, hand it to the intake, answer after the commit.

Answers follow the OTLP/HTTP specification: in the request's encoding, ``google.rpc.Status`` for errors, and only codes
whose meaning for exporters is intended. They send again after 503 and drop the batch after anything else, so bad input
is a 4xx and whatever is wrong on this side is 503.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from collector.auth import Principal
from collector.otlp.body import Encoding, guess_encoding, parse_content_type, read_body
from collector.otlp.responses import RpcCode, error_body, success_body
from collector.otlp_unstored import LOGS, METRICS, Signal, count_records, rejection_body
from collector.rest.dependencies import authenticate_request
from collector.rest.problems import error_to_kind, retry_after
from collector.services import Services
from custodes.kernel.errors import AuthenticationError, CustodesError
from custodes.kernel.ids import new_uuid7
from custodes.kernel.logs import fields, get_logger

TRACE_PATHS = ("/v1/traces", "/api/public/otel/v1/traces")
UNSTORED_PATHS = {"/v1/logs": LOGS, "/v1/metrics": METRICS}
OTLP_PATHS = frozenset({*TRACE_PATHS, *UNSTORED_PATHS})

_RPC_CODES = {
    401: RpcCode.UNAUTHENTICATED,
    403: RpcCode.PERMISSION_DENIED,
    413: RpcCode.RESOURCE_EXHAUSTED,
    503: RpcCode.UNAVAILABLE,
}
_log = get_logger("otlp")

Handler = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request, Principal, Encoding], Awaitable[bytes]]


def otlp_routes(services: Services) -> list[BaseRoute]:
    """Return the routes of every OTLP signal."""
    traces = _handler(services, "traces", _store_traces(services))
    routes: list[BaseRoute] = [Route(path, traces, methods=["POST"]) for path in TRACE_PATHS]
    for path, signal in UNSTORED_PATHS.items():
        routes.append(Route(path, _handler(services, signal.name, _reject(services, signal)), methods=["POST"]))
    return routes


def _store_traces(services: Services) -> Work:
    async def work(request: Request, caller: Principal, encoding: Encoding) -> bytes:
        body = await request.body()
        headers = request.headers
        stored = await run_in_threadpool(
            services.intake.ingest_body,
            caller.project,
            body,
            headers.get("content-type"),
            headers.get("content-encoding"),
        )
        outcome = await asyncio.wrap_future(stored)
        return success_body(encoding, outcome.rejected)

    return work


def _reject(services: Services, signal: Signal) -> Work:
    async def work(request: Request, _: Principal, encoding: Encoding) -> bytes:
        body = await request.body()
        return await run_in_threadpool(answer, body, request.headers.get("content-encoding"), encoding)

    def answer(body: bytes, content_encoding: str | None, encoding: Encoding) -> bytes:
        plain = read_body(body, content_encoding, services.settings.ingest)
        return rejection_body(count_records(plain, encoding, signal), encoding, signal)

    return work


def _handler(services: Services, signal: str, work: Work) -> Handler:
    """Return the handler that does ``work`` for an authenticated caller and answers as OTLP asks."""

    async def handle(request: Request) -> Response:
        encoding = guess_encoding(request.headers.get("content-type"))
        try:
            # Who it is comes before what it sends: a stranger's body is never read.
            caller = await run_in_threadpool(authenticate_request, request)
            caller.require("ingest")
            encoding = parse_content_type(request.headers.get("content-type"))
            response = Response(await work(request, caller, encoding), 200, media_type=encoding.value)
        except ClientDisconnect:
            # Nobody reads the answer; 400 keeps the request counted as one that was not stored.
            response = _refuse(encoding, 400, "the connection ended before the body was complete")
        except HTTPException as error:
            response = _refuse(encoding, error.status_code, error.detail, dict(error.headers or {}))
        except CustodesError as error:
            response = _refuse_known(encoding, error)
        except Exception:
            error_id = new_uuid7()
            _log.exception("a request failed", extra=fields(signal=signal, error_id=error_id))
            message = f"something went wrong inside Custodes; its log has error_id {error_id}"
            response = _refuse(encoding, 503, message, {"retry-after": retry_after()})
        services.metrics.requests.labels(signal, str(response.status_code)).inc()
        return response

    return handle


def _refuse_known(encoding: Encoding, error: CustodesError) -> Response:
    """Answer one of our own errors; what is not the client's fault is 503, whatever REST makes of it."""
    status = error_to_kind(error).status
    if status in (409, 500):
        status = 503
    headers = {"retry-after": retry_after(error)} if status == 503 else {}
    if isinstance(error, AuthenticationError):
        headers["www-authenticate"] = 'Bearer realm="custodes"'
    return _refuse(encoding, status, str(error), headers)


def _refuse(encoding: Encoding, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    _log.info("request refused", extra=fields(status=status, reason=message))
    body = error_body(encoding, _RPC_CODES.get(status, RpcCode.INVALID_ARGUMENT), message)
    return Response(body, status, headers, encoding.value)
