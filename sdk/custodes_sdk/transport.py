"""One HTTP exchange with the server: authorisation, retries, and errors by status."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from custodes_sdk.errors import CustodesSdkError, ServerUnavailable, UnexpectedResponse, status_to_error

_ATTEMPTS = 3
_LONGEST_WAIT_S = 5.0

Params = Mapping[str, str | int | float | None]


class Transport:
    """Sends requests to one server with one key; safe to share between threads.

    Only GET is repeated: after a connection that could not be opened or broke, and after 503 with ``Retry-After``.
    At most three attempts are made, and no wait is longer than 5 seconds.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        *,
        timeout: httpx.Timeout,
        http: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"accept": "application/json", "user-agent": "custodes-sdk"}
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        # trust_env=False: a proxy meant for the internet must not see traffic to the monitoring server.
        self._http = httpx.Client(
            base_url=base_url.rstrip("/"), headers=headers, timeout=timeout, transport=http, trust_env=False
        )
        self._sleep = sleep

    def close(self) -> None:
        """Close pooled connections. Further requests raise RuntimeError."""
        self._http.close()

    def get(self, path: str, params: Params | None = None, *, accept_status: tuple[int, ...] = ()) -> Any:
        """Return the parsed JSON of a GET; a status in ``accept_status`` counts as an answer, not an error."""
        return _parse(self._get(path, params, accept_status))

    def get_bytes(self, path: str) -> bytes:
        """Return the body of a GET as it was sent."""
        return self._get(path, None, ()).content

    def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: bytes | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        read_timeout_s: float | None = None,
    ) -> Any:
        """Send a write once; return its parsed JSON, None for an empty body."""
        headers = {**(headers or {}), **({"content-type": content_type} if content_type else {})}
        timeout: Any = httpx.USE_CLIENT_DEFAULT
        if read_timeout_s is not None:
            timeout = httpx.Timeout(self._http.timeout.connect, read=read_timeout_s)
        try:
            response = self._http.request(method, path, json=json, content=content, headers=headers, timeout=timeout)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        _raise_for_status(response)
        return _parse(response) if response.content else None

    def _get(self, path: str, params: Params | None, accept_status: tuple[int, ...]) -> httpx.Response:
        query = {name: value for name, value in (params or {}).items() if value is not None}
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = self._http.get(path, params=query)
            except (httpx.ConnectError, httpx.RemoteProtocolError) as error:
                if attempt == _ATTEMPTS:
                    raise self._unreachable(error) from error
                wait = 0.1 * attempt
            except httpx.TransportError as error:
                raise self._unreachable(error) from error
            else:
                if response.status_code in accept_status:
                    return response
                asked = _retry_after_s(response) if response.status_code == 503 else None
                if asked is None or asked > _LONGEST_WAIT_S or attempt == _ATTEMPTS:
                    _raise_for_status(response)
                    return response
                wait = asked
            self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _unreachable(self, error: httpx.TransportError) -> ServerUnavailable:
        reason = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
        return ServerUnavailable(
            f"The Custodes server at {self._http.base_url} {reason}. Check that it runs and that the address is right."
        )


def _parse(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        kind = response.headers.get("content-type", "no content type")
        raise UnexpectedResponse(
            f"Expected JSON, got {response.status_code} with {kind}; is this the address of a Custodes server?",
            status=response.status_code,
        ) from None


def _raise_for_status(response: httpx.Response) -> None:
    if response.is_success:
        return
    problem = _problem(response)
    detail = problem.get("detail") or problem.get("title") or f"The server answered {response.status_code}."
    error_id = problem.get("error_id")
    kind: type[CustodesSdkError] = status_to_error(response.status_code)
    raise kind(
        str(detail),
        status=response.status_code,
        error_id=str(error_id) if error_id else None,
        problem=problem,
        retry_after_s=_retry_after_s(response),
    )


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _retry_after_s(response: httpx.Response) -> float | None:
    """Return the wait the server asks for, in seconds; None when absent or given as a date."""
    try:
        wait = float(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return wait if wait >= 0 else None
