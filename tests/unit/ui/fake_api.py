"""A Custodes server that lives in memory, for tests of the console.

It is driven through ``answer``: a MockTransport puts it behind the real client, an http.server behind a real browser.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def _load(file: str) -> Any:
    # Test folders are no packages, so a module beside this one is loaded by its path.
    name = f"console_test_{file}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{file}.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


answers = _load("answers")
fairness = _load("fairness_answers")
drift = _load("drift_answers")
governance = _load("governance_answers")


class FakeApi:
    """Answers like a server. ``fail`` maps the start of a path to the status it is answered with."""

    def __init__(self, *, key: str = "secret-key", fail: Mapping[str, int] | None = None, **story: Any) -> None:
        self.story = answers.Story(**story)
        self.key = key
        self.fail = dict(fail or {})
        # Whether a drift reference waits for approval.
        self.waiting = False
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[tuple[str, Any]] = []
        self.governance = governance.Governance(self.story, answers.VERSION, answers.POLICY, answers.ago)

    def answer(
        self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Any]:
        """Return the status and the JSON document for one request."""
        self.requests.append((method, path, dict(params)))
        refused = next((status for start, status in self.fail.items() if path.startswith(start)), None)
        if refused is None and not self.story.dev and headers.get("authorization") != f"Bearer {self.key}":
            refused = 401
        if refused is not None:
            return problem(refused)
        parts = path.removeprefix("/api/v1/").strip("/").split("/")
        if method != "GET":
            self.bodies.append((path, json.loads(body) if body else None))
        if parts[0] in ("policies", "approvals", "silences", "actions", "endpoints", "endpoint-kinds", "reviews"):
            found = self.governance.answer(method, parts, params)
            return problem(404) if found is None else (200, found)
        if method in ("POST", "PATCH") and parts[0] == "incidents":
            return 200, self.story.incident_row()
        if method == "POST" and parts[0] == "exchanges":
            return self._reveal(body)
        if method == "GET" and len(parts) == 2 and parts[0] in ("traces", "incidents"):
            return self._one(*parts)
        if method == "GET" and parts[:2] == ["audit", "prove"]:
            return 200, self.story.proof(int(parts[2]))
        found = self._routes(params).get((method, "/".join(parts)))
        return (200, found()) if found else problem(404)

    def _routes(self, params: Mapping[str, str]) -> dict[tuple[str, str], Callable[[], Any]]:
        story = self.story
        return {
            ("GET", "readyz"): lambda: {"ready": True, "reasons": []},
            ("GET", "me"): story.me,
            ("GET", "overview"): story.empty_overview if story.empty else story.overview,
            ("GET", "fairness"): lambda: fairness.fairness(story),
            ("GET", "fairness/course"): fairness.fairness_course,
            ("GET", "drift"): lambda: drift.drift(story),
            ("GET", "drift/course"): drift.course,
            ("GET", "drift/episodes"): lambda: drift.episodes(story),
            ("GET", "drift/episodes/e1"): lambda: drift.episode(story),
            ("GET", "drift/episodes/e2"): lambda: drift.episode(story, ended=True),
            ("GET", "drift/references"): lambda: drift.references(story, waiting=self.waiting),
            ("POST", "drift/references"): lambda: drift.references(story, waiting=True)["rows"][0],
            ("POST", "drift/references/r2/approve"): lambda: drift.references(story, waiting=True)["rows"][0],
            ("POST", "drift/reports"): lambda: {"id": "p4", "state": "requested"},
            ("GET", "timeseries"): lambda: story.timeseries(params),
            ("GET", "traces"): lambda: story.traces(params),
            ("GET", "incidents"): lambda: story.incidents(params),
            ("GET", "audit/status"): story.audit_status,
            ("GET", "audit/entries"): lambda: story.audit_entries(params),
            ("POST", "audit/verify"): story.verification,
        }

    def _one(self, kind: str, identifier: str) -> tuple[int, Any]:
        if kind == "traces":
            return (200, self.story.trace()) if identifier == answers.TRACE_ID else problem(404)
        return (200, self.story.incident()) if identifier == answers.INCIDENT_ID else problem(404)

    def _reveal(self, body: bytes) -> tuple[int, Any]:
        if len(json.loads(body or b"{}").get("reason", "")) < 10:
            return problem(422)
        return 200, self.story.exchange(True) | {"audit": {"seq": 18234, "checkpoint_size": 18235}}


def problem(status: int) -> tuple[int, Any]:
    """Return an RFC 9457 answer."""
    titles = {
        400: "Bad request",
        401: "Unauthorized",
        403: "Forbidden",
        404: "Not found",
        422: "Invalid",
        500: "Internal error",
        503: "Unavailable",
    }
    return status, {
        "type": f"https://custodes.example/errors/{status}",
        "title": titles.get(status, "Error"),
        "status": status,
        "detail": f"{titles.get(status, 'Error')}: the fake server was told to answer {status}.",
        "error_id": "err-7f3a",
    }
