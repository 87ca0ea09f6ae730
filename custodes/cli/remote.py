"""Policies on a server: what a pipeline does that holds a key and no database.

Answers are the API's own documents; refusals come back as the errors that the same step raises on a database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import click
import httpx

from custodes.kernel.errors import (
    AuthenticationError,
    ConflictError,
    CustodesError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)

_YAML = {"content-type": "application/yaml"}
_ERRORS: Mapping[int, type[CustodesError]] = {
    400: InvalidInputError,
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    413: InvalidInputError,
    415: InvalidInputError,
    422: InvalidInputError,
}


class PolicyServer:
    """The policies of one project on a server, by an API key."""

    def __init__(
        self, url: str, key: str | None, *, timeout_s: float = 600.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # A proxy meant for the internet must not see the key.
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1/", headers=headers, timeout=timeout_s, trust_env=False,
            transport=transport,
        )  # fmt: skip
        self._url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def submit(self, text: str, origin: Mapping[str, str] | None) -> dict[str, Any]:
        """Store a policy as a draft and return its version; one that is there already is returned as it is."""
        return self._ask("POST", "policies", params=dict(origin or {}), content=text.encode(), headers=_YAML)

    def try_file(self, text: str, span: Mapping[str, str]) -> dict[str, Any]:
        """Return the report of a back-test of a file; nothing is stored."""
        return self._ask("POST", "policies/backtest", params=dict(span), content=text.encode(), headers=_YAML)

    def backtest(
        self, policy_id: str, version: str, span: Mapping[str, str], labels_from: Sequence[str]
    ) -> dict[str, Any]:
        """Run a stored version over the past, attach the report, and return the version with it."""
        body = {**span, "labels_from": list(labels_from)}
        return self._ask("POST", f"{_path(policy_id, version)}/backtest", json=body)

    def source_of(self, policy_id: str, version: str) -> str:
        """Return the text of a stored version."""
        return str(self._ask("GET", _path(policy_id, version))["source"])

    def versions(self, policy_id: str) -> list[dict[str, Any]]:
        """Return the versions of a policy, newest first; raise ``NotFoundError`` for one that does not exist."""
        return list(self._ask("GET", f"policies/{quote(policy_id, safe='')}")["versions"])

    def _ask(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **given)
            document = response.json()
        except httpx.HTTPError as error:
            raise UnavailableError(f"the server at {self._url} cannot be asked: {type(error).__name__}") from error
        except ValueError as error:
            raise UnavailableError(f"{self._url} answered no JSON; is it a Custodes server?") from error
        if not isinstance(document, dict):
            raise UnavailableError(f"{self._url} answered something else than Custodes does")
        if response.is_success:
            return document
        findings = [_finding(one) for one in document.get("findings", ()) if isinstance(one, dict)]
        said = "\n".join(findings) or str(document.get("detail") or document.get("title") or response.status_code)
        raise _ERRORS.get(response.status_code, UnavailableError)(said)


def backtest_there(
    server: PolicyServer,
    file_or_id: str,
    version_id: str | None,
    span: Mapping[str, str],
    labels_from: Sequence[str],
    *,
    attach: bool,
) -> dict[str, Any]:
    """Return the report that a server makes; a stored version in review gets it attached."""
    if Path(file_or_id).is_file():
        return server.try_file(Path(file_or_id).read_text("utf-8"), span)
    known = [(one["version"], one["state"]) for one in reversed(server.versions(file_or_id))]
    version, state = known[pick_version(file_or_id, known, version_id, ("draft", "shadow", "approved", "active"))]
    if not attach or state not in ("draft", "shadow", "approved"):
        return server.try_file(server.source_of(file_or_id, version), span)
    made = server.backtest(file_or_id, version, span, labels_from)
    click.echo(f"attached; {file_or_id} {version} is {made['state']}", err=True)
    report: dict[str, Any] = made["report"]
    return report


def pick_version(
    policy_id: str, versions: Sequence[tuple[str, str]], version_id: str | None, states: tuple[str, ...]
) -> int:
    """Return which of some versions with their states, oldest first, is meant."""
    if not versions:
        raise NotFoundError(f"there is no file and no policy {policy_id!r}; see custodes policy list")
    if version_id is not None:
        wanted = version_id if version_id.startswith("sha256:") else f"sha256:{version_id}"
        found = [index for index, (version, _) in enumerate(versions) if version.startswith(wanted)]
        if len(found) != 1:
            many = "several versions begin" if found else "no version begins"
            raise NotFoundError(f"{many} with {version_id!r}; see custodes policy list")
        return found[0]
    for state in states:
        if in_state := [index for index, (_, known) in enumerate(versions) if known == state]:
            return in_state[-1]
    raise NotFoundError(
        f"no version of {policy_id!r} is {' or '.join(states)}; see custodes policy list, or name one with --version"
    )


def _path(policy_id: str, version: str) -> str:
    return f"policies/{quote(policy_id, safe='')}/versions/{quote(version, safe='')}"


def _finding(one: Mapping[str, Any]) -> str:
    place = f"line {one.get('line')}: {one.get('field')}" if one.get("field") else f"line {one.get('line')}"
    nearest = f" (did you mean {one['nearest']!r}?)" if one.get("nearest") else ""
    return f"{place}: {one.get('message')}{nearest}"
